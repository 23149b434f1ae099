"""Looks at this machine and says what works, what does not, and the command that mends it."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from local_server.domain.executor_errors import ToolchainMissing
from local_server.domain.manifest import Runtime
from local_server.executor.engine import EngineHealth
from local_server.executor.engines.process.toolchains import Toolchains
from local_server.gateway.shared_limits import SharedLimits
from local_server.wire.server import Check

LOW_DISK_BYTES = 1 << 30
FEW_WATCHES = 16_384
INOTIFY = Path("/proc/sys/fs/inotify/max_user_watches")
SAFE_SQLITE = (3, 51, 3)


def examine(
    home: Path,
    engine: str,
    health: EngineHealth,
    memory_mb: Mapping[str, int],
    limits: SharedLimits | None = None,
) -> list[Check]:
    """Every check, most important first. `memory_mb`: what each API that runs may use, all its replicas together.
    Blocking: asks the toolchains their version."""
    checks = [_engine(engine, health), *_limits(limits), _memory(memory_mb, psutil.virtual_memory().total >> 20)]
    checks += [_disk(home), _permissions(home), _python(), _sqlite()]
    checks += _toolchains(engine)
    checks += _watches()
    return checks


def _engine(engine: str, health: EngineHealth) -> Check:
    if not health.available:
        fix = "Start Docker, or run without it: apimarket serve --engine process"
        return Check(name="engine", status="failed", detail=f"{engine}: {health.detail}", fix=fix)
    if engine == "process":
        detail = "local processes (no isolation): the code of your APIs runs as you, with your files in reach"
        fix = "For isolation, install and start Docker, then: apimarket stop && apimarket"
        return Check(name="engine", status="warning", detail=detail, fix=fix)
    return Check(name="engine", status="ok", detail=f"{engine} {health.version}".strip())


def _limits(limits: SharedLimits | None) -> Iterator[Check]:
    """Where several servers count limits together."""
    if limits is None:
        return
    place, trouble, alone = limits.counter.place, limits.counter.trouble, sum(limits.fallbacks.values())
    if trouble:
        detail = f"Redis at {place} {trouble}: this server counts alone, {alone:,} calls since it started"
        fix = "Mend it, or correct APIMARKET_REDIS_URL; it is looked at each second"
        yield Check(name="shared limits", status="warning", detail=detail, fix=fix)
    else:
        detail = f"counted in Redis at {place}; {alone:,} calls since the start were counted by this server alone"
        yield Check(name="shared limits", status="ok", detail=detail)


def _toolchains(engine: str) -> Iterator[Check]:
    toolchains = Toolchains(os.environ)
    for runtime in (Runtime.NODE, Runtime.GO):
        if engine == "docker":
            yield Check(name=runtime, status="ok", detail="runs in containers; nothing is needed on this machine")
            continue
        try:
            found = toolchains.find(runtime, None)
        except ToolchainMissing as error:
            fix = f"pip install 'apimarket[{runtime}]'"
            yield Check(name=runtime, status="warning", detail=error.detail, fix=fix)
        else:
            yield Check(name=runtime, status="ok", detail=f"{found.version} ({found.program})")


def _memory(memory_mb: Mapping[str, int], total_mb: int) -> Check:
    may_use = sum(memory_mb.values())
    detail = f"the APIs that run may use {may_use / 1024:.1f} GiB in all; this machine has {total_mb / 1024:.1f} GiB"
    if may_use > total_mb:
        largest = max(memory_mb, key=lambda name: memory_mb[name])
        fix = f"Lower memory_mb or replicas in the apimarket.toml of {largest}, or stop some: apimarket stop NAME"
        return Check(name="memory", status="warning", detail=detail, fix=fix)
    return Check(name="memory", status="ok", detail=detail)


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(home).free
    detail = f"{free / (1 << 30):.1f} GiB free in {home}"
    if free < LOW_DISK_BYTES:
        return Check(name="disk", status="warning", detail=detail, fix="Free some space; layers and logs need it.")
    return Check(name="disk", status="ok", detail=detail)


def _permissions(home: Path) -> Check:
    token = home / "token"
    # That a group may pass through it is what an embedded PostgreSQL needs, which does not run as root.
    loose = [path for path in (home, token) if path.exists() and path.stat().st_mode & 0o067]
    if loose and os.name == "posix":
        names = ", ".join(str(path) for path in loose)
        return Check(name="permissions", status="failed", detail=f"others can read {names}", fix=f"chmod go= {names}")
    return Check(name="permissions", status="ok", detail="the data directory and the token are yours alone")


def _python() -> Check:
    return Check(name="python", status="ok", detail=sys.version.split()[0])


def _sqlite() -> Check:
    detail = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < SAFE_SQLITE:
        # Versions before 3.51.3 can corrupt a WAL that two processes write or checkpoint at once.
        detail += "; kept safe by one writer and the lock on the data directory"
    return Check(name="sqlite", status="ok", detail=detail)


def _watches() -> Iterator[Check]:
    if not INOTIFY.exists():
        return
    limit = int(INOTIFY.read_text())
    if limit < FEW_WATCHES:
        detail = f"this system allows {limit} file watches; beyond them, saves are found by polling"
        yield Check(
            name="file watches", status="warning", detail=detail, fix="sudo sysctl fs.inotify.max_user_watches=524288"
        )
