"""Every process that descends from a sandbox, found and ended, even those that left its group and lost their parent.

A variable in the environment marks them: it is inherited by whatever a program starts.
"""

import os
import signal
from collections.abc import Iterable

import psutil

MARK = "API_SANDBOX"
"""Not one of the APIMARKET_ variables, which agents take out of a program's environment."""


def descendants(pid: int) -> list[psutil.Process]:
    """A process and all below it. Blocking, about a millisecond."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


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


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Blocking."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def signal_group(pid: int, number: int) -> None:
    """Signal the process group a child leads; nothing happens when it is gone."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        else:
            os.kill(pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError):
        return
