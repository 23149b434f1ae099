"""Memory and processor time of a container, as the daemon tells them."""

from collections.abc import Mapping
from typing import Any

from local_server.domain.executor_errors import EngineUnavailable
from local_server.executor.engine import SandboxUsage
from local_server.executor.engines.docker.daemon import Daemon, Refused, query


async def container_usage(daemon: Daemon, container: str) -> SandboxUsage | None:
    """None when it cannot be told."""
    # Not through the SDK: asked twice within a second the daemon lets the second wait, and threads are few. Without
    # `one-shot` it always waits, to compute a rate nobody asked for.
    path = query(f"/containers/{container}/stats", **{"stream": "0", "one-shot": "1"})
    try:
        stream = await daemon.open("GET", path)
    except (Refused, EngineUnavailable):
        return None
    try:
        async for stats in stream.json_lines():
            return _read_usage(stats)
    except (OSError, EOFError, ValueError):
        return None
    finally:
        await stream.close()
    return None


def _read_usage(stats: Mapping[str, Any]) -> SandboxUsage | None:
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    # What the docker command subtracts too: file pages the kernel may drop at any time (cgroup v2, v1).
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    return SandboxUsage(max(0, memory["usage"] - cache), stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9)
