"""Listens to what the daemon tells of this installation's containers: the kernel's out-of-memory kills."""

import asyncio
import json
from collections.abc import Callable

from local_server.domain.executor_errors import EngineUnavailable
from local_server.executor.engines.docker.daemon import Daemon, Refused, query
from local_server.executor.engines.docker.hardening import LABEL

_AGAIN_S = 2.0


async def watch_out_of_memory(daemon: Daemon, install_id: str, note: Callable[[str], None]) -> None:
    """Call `note` with the id of each container in which the kernel killed something. Runs until cancelled; events
    while the daemon is away are lost, and cost no more than a word in a log."""
    filters = {"type": ["container"], "event": ["oom"], "label": [f"{LABEL}install={install_id}"]}
    path = query("/events", filters=json.dumps(filters))
    while True:
        try:
            stream = await daemon.open("GET", path)
        except (EngineUnavailable, Refused):
            await asyncio.sleep(_AGAIN_S)
            continue
        try:
            async for event in stream.json_lines():
                note(str(event["Actor"]["ID"]))
        except (OSError, EOFError, ValueError):
            await asyncio.sleep(_AGAIN_S)
        finally:
            await stream.close()
