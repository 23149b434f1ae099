"""A machine as a process of its own, to be killed: publishes what its directory holds, and pulls it back.

python -m tests.sync.publishing_process HOME URL publish|drain|pull
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from local_server.domain.publish_errors import NothingNew
from tests.sync.conftest import machine_at


async def main(home: str, url: str, act: str) -> None:
    machine = await machine_at(Path(home), url)
    try:
        if act == "publish":
            with suppress(NothingNew):  # it was queued before the process was killed
                await machine.queue()
        if act == "pull":
            await machine.pulling.pull(machine.api, write=True)
        else:
            for entry in await machine.drain():
                print(entry.semver, entry.state)
    finally:
        await machine.storage.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
