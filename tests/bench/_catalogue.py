"""A catalogue of any size for benchmarks, written in bulk through the same tables and triggers as every listing.

Words are drawn as in a language: the commonest stands in most READMEs, most stand in few.
"""

import random
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from local_server.domain.catalogue import Endpoint, Listing, ListingTexts, Standing, place_of, quality
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Visibility
from local_server.storage.base import Storage, Tx
from local_server.storage.dialect import Dialect
from local_server.storage.sql.catalogue_rows import QUALITY, listing_row, standing_row, texts_row
from local_server.storage.sql.connection import Connection
from local_server.storage.sql.rows import api_row
from tests.storage.factories import ALICE, NOON, an_api, an_id

BATCH = 1_000
STANDING = 10
"""One in so many has been reviewed, subscribed to and called."""
WORDS, README_WORDS = 20_000, 120
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split()  # noqa: SIM905


class Dice:
    def __init__(self) -> None:
        self._random = random.Random(7)
        self._words = [self._word(number) for number in range(WORDS)]
        self._weights = list(accumulate(1 / (rank + 2) for rank in range(WORDS)))

    @property
    def commonest(self) -> str:
        return self._words[0]

    def words(self, count: int) -> list[str]:
        return self._random.choices(self._words, cum_weights=self._weights, k=count)

    def below(self, number: int) -> int:
        return self._random.randrange(number)

    def _word(self, number: int) -> str:
        parts = []
        number += len(_SYLLABLES)
        while number:
            number, part = divmod(number, len(_SYLLABLES))
            parts.append(_SYLLABLES[part])
        return "".join(parts)


class Listed(NamedTuple):
    listing: Listing
    texts: ListingTexts
    standing: Standing


def listing(number: int, dice: Dice) -> Listed:
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
    texts = ListingTexts(" ".join(dice.words(README_WORDS)), endpoints)
    return Listed(made, texts, _standing(dice) if number % STANDING == 0 else Standing())


def _standing(dice: Dice) -> Standing:
    reviews = dice.below(30)
    return Standing(reviews * (1 + dice.below(5)), reviews, dice.below(2000), 1000, dice.below(100), 50_000)


async def fill(storage: Storage, listings: int, dice: Dice) -> float:
    """Into an empty one; the seconds it took."""
    await storage.write(lambda tx: tx.accounts.add(ALICE))
    began = time.perf_counter()
    for first in range(1, listings + 1, BATCH):
        numbered = [(number, listing(number, dice)) for number in range(first, min(first + BATCH, listings + 1))]
        await storage.write(lambda tx, numbered=numbered: _add(tx, numbered))  # type: ignore[misc]
    return time.perf_counter() - began


def _add(tx: Tx, numbered: Sequence[tuple[int, Listed]]) -> None:
    connection: Connection = tx.catalogue._connection  # type: ignore[attr-defined]
    rows = [_rows(connection.dialect, number, listed) for number, listed in numbered]
    # In the order in which the index of words holds them: it takes in the many of one transaction at once.
    rows.sort(key=lambda row: row["listings"]["place"])
    for table in ("apis", "listings", "listing_texts"):
        _insert(connection, table, [row[table] for row in rows])
    tags = [{"tag": tag, "place": row["listings"]["place"]} for row in rows for tag in row["listings"]["tags"].split()]
    _insert(connection, "listing_tags", tags)
    for name in ("listing", "change"):
        connection.change(
            "insert into marketplace_numbers (name, last) values (:name, :last) "
            "on conflict (name) do update set last = excluded.last",
            {"name": name, "last": numbered[-1][0]},
        )


def _rows(dialect: Dialect, number: int, listed: Listed) -> Mapping[str, dict[str, Any]]:
    """What stands in each table when it was registered, listed and measured."""
    made, texts, standing = listed
    good = quality(standing, made.updated_at, NOON)
    place, row = place_of(good, number), listing_row(dialect, made)
    ranked = {"seq": number, "place": place, "quality": round(good * QUALITY), "changed": number}
    texts_of = {name: row[name] for name in ("slug", "owner", "summary", "tags")} | texts_row(dialect, texts)
    return {
        "apis": dict(api_row(dialect, an_api(number, made.slug))),
        "listings": row | standing_row(standing) | ranked,
        "listing_texts": {"place": place} | texts_of,
    }


def _insert(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.insert_many(table, tuple(rows[0]), [tuple(row.values()) for row in rows])
