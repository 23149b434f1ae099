"""A child of test_sqlite.py: writes until it is killed, and prints each number once its act is committed."""

import asyncio
import sys
from itertools import count
from pathlib import Path

from local_server.storage.base import Tx
from local_server.storage.sqlite import SqliteStorage
from tests.storage.factories import ALICE, an_api, an_execution


def act(tx: Tx, number: int) -> None:
    api = an_api(number)
    tx.registry.add(api)
    tx.usage.add([an_execution(api, number * 10 + row) for row in range(5)])


async def write_until_killed(path: Path, first: int) -> None:
    storage = await SqliteStorage.open(path, lambda event: None)
    if not await storage.read(lambda tx: tx.accounts.all()):
        await storage.write(lambda tx: tx.accounts.add(ALICE))
    for number in count(first):
        await storage.write(lambda tx, number=number: act(tx, number))
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(write_until_killed(Path(sys.argv[1]), int(sys.argv[2])))
