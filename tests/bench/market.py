"""The catalogue with many listings in the real stores: how long searching, browsing, following and publishing take.

Queries are drawn as the words of the listings are: one word, two words, a word as it is being typed. Each is answered
whole, as the route answers it: ranked, counted and with its first page. Times are wall clock; the CPU is that of this
process alone, and tells how much of them a busy machine or PostgreSQL spent.
Run: scripts/bench market [--listings 100000] [--postgres]
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from local_server.domain.catalogue_search import NO_FILTERS, Filters, Sort
from local_server.marketplace.catalogue import Catalogue, Found, Question
from local_server.storage.base import Storage
from local_server.storage.embedded import EmbeddedPostgres
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.bench import publishing
from tests.bench._catalogue import Dice, Listed, fill, listing
from tests.storage.factories import NOON

ASKED = 200
DEEP_PAGES = 50
FEED_PAGE = 500
"""Changes asked for at once."""


async def measure(what: str, asks: Sequence[Callable[[], Awaitable[object]]]) -> None:
    took, cpu = [], time.process_time()
    for ask in asks:
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / len(asks)
    took.sort()
    p50, p95 = took[len(took) // 2], took[int(len(took) * 0.95)]
    print(f"| {what} | {p50:.1f} ms | {p95:.1f} ms | {took[-1]:.1f} ms | {cpu_ms:.1f} ms |", flush=True)


def question(
    text: str = "", filters: Filters = NO_FILTERS, sort: Sort = Sort.BEST, cursor: str | None = None
) -> Question:
    return Question(text, filters, sort, 20, cursor)


async def bench(storage: Storage, listings: int) -> None:
    catalogue, dice = Catalogue(storage, RealSystem()), Dice()
    print("| | p50 | p95 | slowest | CPU |\n|---|---|---|---|---|")
    await bench_searching(catalogue, dice)
    await bench_browsing(catalogue, dice)
    for what, counted in {"every tag": catalogue.tags, "every category": catalogue.categories}.items():
        await measure(f"{what}, counted", [counted] * 20)
    since = [dice.below(listings) for _ in range(ASKED)]
    await measure(f"{FEED_PAGE} changes", [lambda s=s: catalogue.changes(s, FEED_PAGE) for s in since])  # type: ignore[misc]
    again = [listing(1 + dice.below(listings), dice) for _ in range(ASKED)]
    await measure("list again with other words", [lambda one=one: put(storage, one) for one in again])  # type: ignore[misc]


async def bench_searching(catalogue: Catalogue, dice: Dice) -> None:
    drawn = {
        "search, one word": [dice.words(1)[0] for _ in range(ASKED)],
        "search, two words": [" ".join(dice.words(2)) for _ in range(ASKED)],
        "search, while typing": [dice.words(1)[0][: 1 + dice.below(4)] for _ in range(ASKED)],
        "search, the commonest word": [dice.commonest] * 20,
    }
    for what, texts in drawn.items():
        await measure(what, [lambda text=text: catalogue.search(question(text)) for text in texts])  # type: ignore[misc]
    narrowed = {
        "search in a tag": [Filters(tags=(f"tag-{dice.below(300)}",)) for _ in range(ASKED)],
        "search in a category": [Filters(category=f"category-{dice.below(20)}") for _ in range(ASKED)],
        "search at four stars and up": [Filters(min_rating=4)] * ASKED,
    }
    for what, filters in narrowed.items():
        asked = [question(dice.words(1)[0], one) for one in filters]
        await measure(what, [lambda q=q: catalogue.search(q) for q in asked])  # type: ignore[misc]


async def bench_browsing(catalogue: Catalogue, dice: Dice) -> None:
    tags = [Filters(tags=(f"tag-{dice.below(300)}",)) for _ in range(ASKED)]
    await measure("browse a tag", [lambda f=f: catalogue.search(question("", f)) for f in tags])  # type: ignore[misc]
    for sort in Sort:
        await measure(f"browse by {sort}", [lambda s=sort: catalogue.search(question(sort=s))] * 20)  # type: ignore[misc]
        rated = question(filters=Filters(min_rating=4), sort=sort)
        await measure(f"browse by {sort}, four stars and up", [lambda q=rated: catalogue.search(q)] * 20)  # type: ignore[misc]
        pages = Pages(catalogue, sort)
        await measure(f"browse by {sort}, page after page", [pages.turn] * DEEP_PAGES)


class Pages:
    def __init__(self, catalogue: Catalogue, sort: Sort) -> None:
        self._catalogue, self._sort = catalogue, sort
        self._cursor: str | None = None

    async def turn(self) -> Found:
        found = await self._catalogue.search(question(sort=self._sort, cursor=self._cursor))
        self._cursor = found.next
        return found


async def put(storage: Storage, listed: Listed) -> None:
    await storage.write(lambda tx: tx.catalogue.put(listed.listing, listed.texts, NOON))


@asynccontextmanager
async def sqlite(home: Path, listings: int) -> AsyncIterator[Storage]:
    path = home / "registry.db"
    storage = await SqliteStorage.open(path, lambda event: None)
    try:
        await filled(storage, listings)
        yield storage
    finally:
        await storage.close()
    print(f"{path.stat().st_size / listings:,.0f} bytes a listing")


@asynccontextmanager
async def postgres(home: Path, listings: int) -> AsyncIterator[Storage]:
    """The one that comes from a package, with the settings that `apimarket serve` gives it."""
    server = EmbeddedPostgres(home / "postgres")
    await asyncio.to_thread(server.start)
    try:
        storage = await PostgresStorage.open(server.url, lambda event: None)
        try:
            await filled(storage, listings)
            # Its own housekeeping would do so within a minute, and get in the way of what is measured.
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("vacuum analyze")
                row = connection.execute("select pg_database_size(current_database())").fetchone()
            yield storage
        finally:
            await storage.close()
    finally:
        await asyncio.to_thread(server.stop)
    assert row is not None
    print(f"{row[0] / listings:,.0f} bytes a listing")


async def filled(storage: Storage, listings: int) -> None:
    seconds = await fill(storage, listings, Dice())
    print(f"\n{storage.description}: {listings:,} listings in {seconds:.0f} s ({listings / seconds:,.0f}/s)\n")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=100_000)
    parser.add_argument(
        "--postgres", action="store_true", help="beside SQLite, in the PostgreSQL that comes from a package"
    )
    args = parser.parse_args()
    for opened in (sqlite, postgres) if args.postgres else (sqlite,):
        # PostgreSQL does not run as root, and then must be able to come here.
        with tempfile.TemporaryDirectory() as directory:
            home = Path(directory) / "home"
            home.mkdir()
            Path(directory).chmod(0o711)
            async with opened(home, args.listings) as storage:
                await bench(storage, args.listings)
                print(f"\n{publishing.HEADER}")
                await publishing.bench(storage, home, [8])


if __name__ == "__main__":
    asyncio.run(main())
