"""The catalogue with many listings in the real store: how long searching, browsing and publishing take.

Words are drawn as in a language: the commonest stands in most READMEs, most stand in few. Queries are drawn the same
way: one word, two words, a word as it is being typed. Each is answered whole, as the route answers it: ranked, counted
and with its first page. Times are wall clock; the CPU they took tells how much of them a busy machine spent elsewhere.
Run: scripts/bench market [--listings 100000]
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from local_server.domain.catalogue import Endpoint, Listing, ListingTexts, Standing
from local_server.domain.catalogue_search import NO_FILTERS, Filters, Sort
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Visibility
from local_server.domain.packs import make_frame
from local_server.events.bus import Bus
from local_server.marketplace.catalogue import Catalogue, Question
from local_server.storage.base import Storage, Tx
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.publishing.conftest import Account, Market, a_pack, in_pieces
from tests.storage.factories import ALICE, NOON, an_api, an_id

BATCH = 500
ASKED = 200
PUBLISHERS, PUBLISHED, FILES = 8, 40, 5
"""So many accounts at once, each so many new APIs of so many files."""
STANDING = 10
"""One in so many has been reviewed, subscribed to and called."""
WORDS, README_WORDS = 20_000, 120
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split()  # noqa: SIM905


class Dice:
    def __init__(self) -> None:
        self._random = random.Random(7)
        self._words = [self._word(number) for number in range(WORDS)]
        self._weights = [1 / (rank + 2) for rank in range(WORDS)]

    def words(self, count: int) -> list[str]:
        return self._random.choices(self._words, self._weights, k=count)

    def below(self, number: int) -> int:
        return self._random.randrange(number)

    def _word(self, number: int) -> str:
        parts = []
        number += len(_SYLLABLES)
        while number:
            number, part = divmod(number, len(_SYLLABLES))
            parts.append(_SYLLABLES[part])
        return "".join(parts)


def listing(number: int, dice: Dice) -> tuple[Listing, ListingTexts, Standing]:
    words = dice.words(12)
    made = Listing(
        api_id=ApiId(an_id(number)),
        owner="alice",
        slug=f"{words[0]}-{words[1]}-{number}",
        summary=" ".join(words),
        tags=tuple(dict.fromkeys(f"tag-{dice.below(300)}" for _ in range(3))),
        category=f"category-{dice.below(20)}",
        runtime=("python", "node", "go")[dice.below(3)],
        visibility=Visibility.PUBLIC,
        version="1.0.0",
        free=dice.below(3) > 0,
        price_from_minor=0,
        currency="EUR",
        published_at=NOON + timedelta(seconds=number),
        updated_at=NOON + timedelta(seconds=number),
    )
    endpoints = tuple(Endpoint("GET", f"/{word}/{{id}}", "") for word in dice.words(5))
    reviews = dice.below(30)
    standing = Standing(reviews * (1 + dice.below(5)), reviews, dice.below(2000), 1000, dice.below(100), 50_000)
    return made, ListingTexts(" ".join(dice.words(README_WORDS)), endpoints), standing


async def fill(storage: Storage, listings: int, dice: Dice) -> float:
    await storage.write(lambda tx: tx.accounts.add(ALICE))
    began = time.perf_counter()
    for first in range(1, listings + 1, BATCH):
        batch = [listing(number, dice) for number in range(first, min(first + BATCH, listings + 1))]

        def add(tx: Tx, batch: Sequence[tuple[Listing, ListingTexts, Standing]] = batch, first: int = first) -> None:
            for place, (made, texts, standing) in enumerate(batch):
                tx.registry.add(an_api(first + place, made.slug))
                tx.catalogue.put(made, texts, NOON)
                if place % STANDING == 0:
                    tx.catalogue.stand(made.api_id, standing, NOON)

        await storage.write(add)
    return time.perf_counter() - began


async def measure(what: str, asks: Sequence[Callable[[], Awaitable[object]]]) -> None:
    took, cpu = [], time.process_time()
    for ask in asks:
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / len(asks)
    took.sort()
    p50, p95 = took[len(took) // 2], took[int(len(took) * 0.95)]
    print(f"| {what} | {p50:.1f} ms | {p95:.1f} ms | {took[-1]:.1f} ms | {cpu_ms:.1f} ms |")


def question(text: str = "", filters: Filters = NO_FILTERS, sort: Sort = Sort.BEST) -> Question:
    return Question(text, filters, sort, 20, None)


async def bench(storage: Storage, listings: int) -> None:
    dice = Dice()
    seconds = await fill(storage, listings, dice)
    print(f"\n{storage.description}: {listings:,} listings in {seconds:.0f} s ({listings / seconds:,.0f}/s)\n")
    print("| | p50 | p95 | slowest | CPU |\n|---|---|---|---|---|")
    catalogue = Catalogue(storage, RealSystem())
    drawn = {
        "search, one word": [dice.words(1)[0] for _ in range(ASKED)],
        "search, two words": [" ".join(dice.words(2)) for _ in range(ASKED)],
        "search, while typing": [dice.words(1)[0][: 1 + dice.below(4)] for _ in range(ASKED)],
        "search, the commonest word": [dice._words[0]] * 20,
    }
    for what, texts in drawn.items():
        await measure(what, [lambda text=text: catalogue.search(question(text)) for text in texts])  # type: ignore[misc]
    tagged = [Filters(tags=(f"tag-{dice.below(300)}",)) for _ in range(ASKED)]
    await measure("search in a tag", [lambda f=f: catalogue.search(question(dice.words(1)[0], f)) for f in tagged])  # type: ignore[misc]
    await measure("browse a tag, with facets", [lambda f=f: catalogue.search(question("", f)) for f in tagged])  # type: ignore[misc]
    for sort in Sort:
        await measure(f"browse by {sort}, with facets", [lambda s=sort: catalogue.search(question(sort=s))] * 20)
    await measure("every tag, counted", [catalogue.tags] * 20)
    ids = [listing(1 + dice.below(listings), dice) for _ in range(ASKED)]

    async def publish(made: Listing, texts: ListingTexts) -> None:
        await storage.write(lambda tx: tx.catalogue.put(made, texts, NOON))

    await measure("publish again", [lambda m=m, t=t: publish(m, t) for m, t, _ in ids])  # type: ignore[misc]


@dataclass(frozen=True)
class Publisher:
    """One account with packs that are made and signed already: only the marketplace's part is measured."""

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


async def publisher(market: Market, number: int, dice: Dice) -> Publisher:
    account = await market.account(number + 2, f"publisher-{number}")
    packs = []
    for turn in range(PUBLISHED):
        slug = f"{dice.words(1)[0]}-{number}-{turn}"
        files = {f"part_{part}.py": " ".join(dice.words(100)).encode() for part in range(FILES)}
        files["README.md"] = " ".join(dice.words(README_WORDS)).encode()
        head = account.head(slug, files, "1.0.0", visibility="public")
        packs.append((slug, a_pack(head, [make_frame(content) for content in files.values()])))
    return Publisher(account, packs)


async def bench_publishing(storage: Storage, home: Path) -> None:
    market, dice = Market(home, storage, Bus()), Dice()
    publishers = [await publisher(market, number, dice) for number in range(PUBLISHERS)]
    began, cpu = time.perf_counter(), time.process_time()
    took = sorted(
        each for times in await asyncio.gather(*(one.publish(market) for one in publishers)) for each in times
    )
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    p50, p95 = took[len(took) // 2], took[int(len(took) * 0.95)]
    figures = f"{p50:.1f} ms | {p95:.1f} ms | {took[-1]:.1f} ms | {cpu_s * 1000 / len(took):.1f} ms"
    print(f"| publish, {PUBLISHERS} at once | {figures} |")
    print(f"\n{len(took)} new APIs of {FILES + 1} files were published in {seconds:.1f} s: {len(took) / seconds:.0f}/s")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=100_000)
    listings = parser.parse_args().listings
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "registry.db"
        storage = await SqliteStorage.open(path, lambda event: None)
        try:
            await bench(storage, listings)
            await bench_publishing(storage, path.parent)
        finally:
            await storage.close()
        print(f"\n{path.stat().st_size / listings:,.0f} bytes a listing")


if __name__ == "__main__":
    asyncio.run(main())
