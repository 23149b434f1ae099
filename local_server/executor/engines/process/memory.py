"""What a sandbox of processes uses, and ending what uses too much: the kernel limits processes, not families."""

import psutil

from local_server.executor.engine import SandboxUsage
from local_server.executor.engines.process.family import descendants


def read_usage(pid: int) -> SandboxUsage | None:
    """Blocking, about a millisecond a process. None when the process is gone."""
    family = descendants(pid)
    if not family:
        return None
    return SandboxUsage(sum(_proportional(process) for process in family), sum(map(_cpu_seconds, family)))


def share_of(pid: int, limit_bytes: int) -> float:
    """What a process and all below it use, as a share of the limit; 1.0 and more is too much. Blocking. Shared pages
    count once, as they do for a container; far below the limit it is an estimate from above."""
    family = descendants(pid)
    resident = sum(map(_resident, family)) / limit_bytes
    return resident if resident <= 1.0 else sum(map(_proportional, family)) / limit_bytes


def end_the_largest(pid: int) -> bool:
    """Kill the largest process below `pid`; whether one was. Blocking."""
    family = descendants(pid)
    if not family:
        return False
    largest = max(family[1:] or family, key=_proportional)
    try:
        largest.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        details = process.memory_full_info()
        return int(getattr(details, "pss", 0) or details.uss)
    except (psutil.Error, OSError):
        return _resident(process)


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    # Children that were waited for count with their parent, so the sum never falls much when one ends.
    waited = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + waited)
