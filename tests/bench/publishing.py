"""How many versions a marketplace takes in, on each store: by one account, and by several at once.

Each account publishes new APIs one after the other. The packs are made and signed before, so that only the
marketplace's part is measured. Disks are written to as they are for users: a version is answered when it outlives a
power cut. CPU is that of the server, without PostgreSQL's.
Run: scripts/bench publishing [--stores sqlite postgres18] [--publishers 1 8] [--files 1000 --apis 2]
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from local_server.domain.packs import make_frame
from local_server.events.bus import Bus
from local_server.storage.base import Storage
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sqlite import SqliteStorage
from tests.bench._catalogue import README_WORDS, Dice
from tests.postgres.clusters import running, trouble
from tests.publishing.conftest import Account, Market, a_pack, in_pieces

STORES = ("sqlite", "postgres15", "postgres18")
HEADER = (
    "| store | at once | visibility | a second | p50 | p95 | slowest | CPU each |\n|---|---|---|---|---|---|---|---|"
)


class Size(NamedTuple):
    apis: int = 40
    """New ones of each account."""
    files: int = 5
    """Of each, beside its README."""


@dataclass(frozen=True)
class Publisher:
    account: Account
    packs: Sequence[tuple[str, bytes]]

    async def publish(self, market: Market) -> list[float]:
        """Milliseconds of each."""
        took = []
        for slug, pack in self.packs:
            began = time.perf_counter()
            await market.open.intake.publish(self.account.user, self.account.user.handle, slug, in_pieces(pack))
            took.append((time.perf_counter() - began) * 1000)
        return took


async def publisher(market: Market, number: int, visibility: str, size: Size, dice: Dice) -> Publisher:
    account = await market.account(number, f"{visibility}-{number}")
    packs = []
    for turn in range(size.apis):
        slug = f"{dice.words(1)[0]}-{number}-{turn}"
        files = {f"part_{part}.py": " ".join(dice.words(100)).encode() for part in range(size.files)}
        files["README.md"] = " ".join(dice.words(README_WORDS)).encode()
        head = account.head(slug, files, "1.0.0", visibility=visibility)
        packs.append((slug, a_pack(head, [make_frame(content) for content in files.values()])))
    return Publisher(account, packs)


async def bench(storage: Storage, home: Path, counts: Sequence[int], size: Size = Size()) -> None:
    market, dice, number = Market(home, storage, Bus()), Dice(), 0
    for visibility in ("private", "public"):
        for count in counts:
            publishers = [
                await publisher(market, number + place, visibility, size, dice) for place in range(1, count + 1)
            ]
            number += count
            began, cpu = time.perf_counter(), time.process_time()
            all_took = await asyncio.gather(*(one.publish(market) for one in publishers))
            seconds, cpu_ms = time.perf_counter() - began, (time.process_time() - cpu) * 1000
            took = sorted(each for times in all_took for each in times)
            p50, p95 = took[len(took) // 2], took[int(len(took) * 0.95)]
            rate, each_ms = f"{len(took) / seconds:.0f}", cpu_ms / len(took)
            times = f"{p50:.1f} ms | {p95:.1f} ms | {took[-1]:.1f} ms | {each_ms:.1f} ms"
            print(f"| {storage.description} | {count} | {visibility} | {rate} | {times} |", flush=True)


@asynccontextmanager
async def opened(store: str, home: Path) -> AsyncIterator[Storage]:
    if store == "sqlite":
        storage: Storage = await SqliteStorage.open(home / "registry.db", lambda event: None)
        try:
            yield storage
        finally:
            await storage.close()
        return
    with running(int(store.removeprefix("postgres")), lasting=True) as cluster:
        storage = await PostgresStorage.open(cluster.empty_database(), lambda event: None)
        try:
            yield storage
        finally:
            await storage.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=["sqlite", "postgres18"])
    parser.add_argument("--publishers", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--apis", type=int, default=Size().apis)
    parser.add_argument("--files", type=int, default=Size().files)
    arguments = parser.parse_args()
    print(HEADER)
    for store in arguments.stores:
        if store != "sqlite" and (reason := trouble(int(store.removeprefix("postgres")))):
            print(f"| {store} | {reason} |")
            continue
        with tempfile.TemporaryDirectory() as directory:
            async with opened(store, Path(directory)) as storage:
                await bench(storage, Path(directory), arguments.publishers, Size(arguments.apis, arguments.files))


if __name__ == "__main__":
    asyncio.run(main())
