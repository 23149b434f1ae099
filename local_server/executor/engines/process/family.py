"""Every process that descends from a sandbox, found and ended, even those that left its group and lost their parent.

A variable in the environment marks them: it is inherited by whatever a program starts.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "API_SANDBOX"
"""Not one of the APIMARKET_ variables, which agents take out of a program's environment."""
_ROUNDS, _ROUND_S = 50, 0.02
_LISTED = Path(f"/proc/self/task/{os.getpid()}/children")


def descendants(pid: int) -> list[psutil.Process]:
    """A process and all below it. Blocking; a tenth of a millisecond where the kernel lists children, else some
    milliseconds, since every process of the machine is then asked for its parent."""
    try:
        parent = psutil.Process(pid)
        return [parent, *_children(pid)] if _LISTED.exists() else [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _children(pid: int) -> Iterator[psutil.Process]:
    """All below a process, by the kernel's own lists (proc(5), /proc/PID/task/TID/children)."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError, psutil.NoSuchProcess):
            for child in listed.read_text().split():
                yield psutil.Process(int(child))
                yield from _children(int(child))


def marked(prefix: str) -> list[psutil.Process]:
    """This user's processes whose mark begins with `prefix`. Blocking, some milliseconds for hundreds of processes."""
    own, found = os.getpid(), []
    for process in psutil.process_iter():
        try:
            if process.pid != own and process.environ().get(MARK, "").startswith(prefix):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # not ours to look at, or gone
    return found


def end_marked(prefix: str) -> None:
    """Kill every process with such a mark, and what these started meanwhile. Blocking."""
    for _ in range(_ROUNDS):
        found = marked(prefix)
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if not found:
            return
        # Not psutil's waiting: it would reap children that asyncio waits for.
        time.sleep(_ROUND_S)


def signal_group(pid: int, number: int) -> None:
    """Signal the process group a child leads; nothing happens when it is gone."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        else:
            os.kill(pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError):
        return
