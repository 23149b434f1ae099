"""A copy of a large marketplace's catalogue: how long the first one takes, how large it is, how fast it is searched.

The marketplace is the real route over its real store, on a port and in a process of its own; the copy is made by the
follower, as the server's is. The catalogue is that of `scripts/bench market`.
Run: scripts/bench market_copy [--listings 100000]
"""

import argparse
import asyncio
import multiprocessing
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI

from local_server.domain.catalogue_search import Filters, Sort
from local_server.marketplace.catalogue import Catalogue
from local_server.marketplace.copies import Copies
from local_server.marketplace.routes import MarketPorts, make_routers
from local_server.registry.reference import register_convertor
from local_server.storage.base import Tx
from local_server.storage.sqlite import SqliteStorage
from local_server.sync.catalogue import CatalogueFollower
from local_server.system import RealSystem
from tests.bench._catalogue import Dice, fill, listing
from tests.bench.market import ASKED, measure, question
from tests.storage.factories import NOON

CHANGED = 100
"""Listings that change before the copy is brought up to date."""


def serve(directory: str, listings: int, told: Connection) -> None:
    """The marketplace; it changes `CHANGED` listings when it is told to."""
    asyncio.run(_serve(Path(directory), listings, told))


async def _serve(directory: Path, listings: int, told: Connection) -> None:
    storage = await SqliteStorage.open(directory / "registry.db", lambda event: None)
    await fill(storage, listings, Dice())
    market = SimpleNamespace(catalogue=Catalogue(storage, RealSystem()))
    register_convertor()
    app = FastAPI()
    app.include_router(make_routers(MarketPorts(lambda request: market, None, None))[0])  # type: ignore[arg-type, return-value]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve([listener]))
        told.send(listener.getsockname()[1])
        while await asyncio.to_thread(told.recv):
            await storage.write(lambda tx: _change(tx, listings))
            told.send(True)
        server.should_exit = True
        await serving
    await storage.close()


def _change(tx: Tx, listings: int) -> None:
    dice = Dice()
    for _ in range(CHANGED):
        made, texts, _ = listing(1 + dice.below(listings), dice)
        tx.catalogue.put(made, texts, NOON)


async def bench(url: str, home: Path, told: Connection) -> None:
    storage, system = await SqliteStorage.open(home / "registry.db", lambda event: None), RealSystem()
    follower = CatalogueFollower(storage, system, lambda: [url])

    async def meant(given: str | None) -> str:
        return url

    began, cpu = time.perf_counter(), time.process_time()
    await follower.refresh(url)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    assert follower.troubles == {}, follower.troubles
    copy = await storage.read(lambda tx: tx.copies.get(url))
    assert copy is not None
    size = sum(path.stat().st_size for path in home.iterdir())
    print(
        f"\nfirst copy: {copy.listings:,} listings in {took_s:.1f} s ({cpu_s:.1f} s CPU), {size / 1e6:.0f} MB on disk"
    )
    told.send(True)
    await asyncio.to_thread(told.recv)
    began = time.perf_counter()
    await follower.refresh(url)
    print(f"brought up to date after {CHANGED} changes: {(time.perf_counter() - began) * 1000:.0f} ms\n")
    await search(Copies(storage, system, follower, meant))
    await storage.close()


async def search(copies: Copies) -> None:
    print("| in the copy | p50 | p95 | slowest | CPU |\n|---|---|---|---|---|")
    dice = Dice()

    async def ask(what: str, asked: list[tuple[str, Filters, Sort]]) -> None:
        await measure(what, [lambda q=question(*one): copies.search(None, q, None) for one in asked])  # type: ignore[misc]

    none = Filters()
    await ask("search, one word", [(dice.words(1)[0], none, Sort.BEST) for _ in range(ASKED)])
    await ask("search, two words", [(" ".join(dice.words(2)), none, Sort.BEST) for _ in range(ASKED)])
    await ask("search, while typing", [(dice.words(1)[0][: 1 + dice.below(4)], none, Sort.BEST) for _ in range(ASKED)])
    tags = [Filters(tags=(f"tag-{dice.below(300)}",)) for _ in range(ASKED)]
    await ask("search in a tag", [(dice.words(1)[0], tag, Sort.BEST) for tag in tags])
    await ask("browse a tag, with facets", [("", tag, Sort.BEST) for tag in tags])
    for sort in Sort:
        await ask(f"browse by {sort}, with facets", [("", none, sort)] * 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=100_000)
    listings = parser.parse_args().listings
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as hub, tempfile.TemporaryDirectory() as home:
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(hub, listings, theirs))
        process.start()
        theirs.close()  # or its end would not be noticed
        try:
            asyncio.run(bench(f"http://127.0.0.1:{ours.recv()}", Path(home), ours))
        finally:
            ours.send(False)
            process.join(30)
            process.kill()


if __name__ == "__main__":
    main()
