"""What storage/base.py promises of users and APIs, of every store."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from local_server.domain.ids import ApiId
from local_server.domain.manifest import Visibility
from local_server.domain.registry import ApiStage
from local_server.domain.registry_errors import (
    ApiNotFound,
    DirectoryTaken,
    NameTaken,
    RevisionConflict,
    UnusableDirectory,
)
from local_server.storage.base import ReadTx, Storage, Tx
from tests.storage.factories import (
    ALICE,
    NOON,
    a_deployment,
    a_generation,
    a_manifest,
    a_user,
    add_apis,
    an_api,
    an_execution,
    an_id,
)


class TestAccounts:
    async def test_by_handle(self, storage: Storage) -> None:
        assert await storage.read(lambda tx: tx.accounts.by_handle("alice")) == ALICE
        assert await storage.read(lambda tx: tx.accounts.by_handle("bob")) is None
        assert await storage.read(lambda tx: tx.accounts.by_handle("\ud800\0")) is None

    async def test_a_handle_is_given_once(self, storage: Storage) -> None:
        with pytest.raises(NameTaken, match="alice"):
            await storage.write(lambda tx: tx.accounts.add(a_user(5, "alice")))

    async def test_all_are_oldest_first(self, storage: Storage) -> None:
        young, old = a_user(1, "young", NOON + timedelta(days=1)), a_user(2, "old", NOON - timedelta(days=1))
        await storage.write(lambda tx: (tx.accounts.add(young), tx.accounts.add(old)))
        assert await storage.read(lambda tx: tx.accounts.all()) == [old, ALICE, young]


class TestTimes:
    async def test_come_back_exact_and_in_utc(self, storage: Storage) -> None:
        east = datetime(2026, 1, 2, 3, 4, 5, 7, tzinfo=timezone(timedelta(hours=5)))
        await storage.write(lambda tx: tx.accounts.add(a_user(1, "east", east)))
        user = await storage.read(lambda tx: tx.accounts.by_handle("east"))
        assert user is not None
        assert user.created_at == east
        assert user.created_at.utcoffset() == timedelta(0)

    async def test_naive_ones_are_refused(self, storage: Storage) -> None:
        with pytest.raises(ValueError, match="naive"):
            await storage.write(lambda tx: tx.accounts.add(a_user(1, "here", datetime(2026, 1, 1))))


class TestRegistry:
    async def test_an_api_comes_back_as_it_was_by_every_way(self, storage: Storage) -> None:
        api = an_api(1, "weather", directory="/home/alice/Wetter für Köln")
        await add_apis(storage, api)
        assert await storage.read(lambda tx: tx.registry.get(api.id)) == api
        assert await storage.read(lambda tx: tx.registry.by_name("alice", "weather")) == api
        assert await storage.read(lambda tx: tx.registry.by_directory(api.directory)) == api
        assert await storage.read(lambda tx: tx.registry.all()) == [api]

    async def test_the_unknown_is_none(self, storage: Storage) -> None:
        assert await storage.read(lambda tx: tx.registry.get(ApiId("\ud800"))) is None
        assert await storage.read(lambda tx: tx.registry.by_name("alice", "\0")) is None
        assert await storage.read(lambda tx: tx.registry.by_directory("/\udcff")) is None

    async def test_all_are_by_owner_and_slug(self, storage: Storage) -> None:
        zoe = a_user(9, "zoe")
        await storage.write(lambda tx: tx.accounts.add(zoe))
        await add_apis(storage, an_api(1, "b", user=zoe), an_api(2, "a", user=zoe), an_api(3, "z"))
        names = [api.full_name for api in await storage.read(lambda tx: tx.registry.all())]
        assert names == ["alice/z", "zoe/a", "zoe/b"]

    async def test_a_name_is_given_once_to_each_owner(self, storage: Storage) -> None:
        bob = a_user(9, "bob")
        await storage.write(lambda tx: tx.accounts.add(bob))
        await add_apis(storage, an_api(1, "one"), an_api(2, "one", user=bob))
        with pytest.raises(NameTaken, match="/home/alice/1"):
            await add_apis(storage, an_api(3, "one"))

    async def test_a_directory_is_given_once(self, storage: Storage) -> None:
        await add_apis(storage, an_api(1, "one", directory="/src"))
        with pytest.raises(DirectoryTaken, match="'one'"):
            await add_apis(storage, an_api(2, "two", directory="/src"))

    async def test_a_directory_that_text_cannot_hold_is_refused(self, storage: Storage) -> None:
        with pytest.raises(UnusableDirectory, match="UTF-8"):
            await add_apis(storage, an_api(1, directory="/src/\udcff"))

    async def test_remove_is_silent_about_the_unknown(self, storage: Storage) -> None:
        await storage.write(lambda tx: tx.registry.remove(ApiId(an_id(77))))

    async def test_remove_takes_everything_along_and_frees_the_name(self, storage: Storage) -> None:
        api = an_api(1, "one")

        def fill(tx: Tx) -> None:
            tx.registry.add(api)
            tx.deployments.put(a_deployment(api))
            tx.deployments.put_generation(a_generation(api, 1))
            tx.usage.add([an_execution(api, 1)])

        await storage.write(fill)
        await storage.write(lambda tx: tx.registry.remove(api.id))

        def left(tx: ReadTx) -> list[object]:
            return [
                *([found] if (found := tx.registry.get(api.id)) else []),
                *tx.registry.search("one"),
                *tx.deployments.all(),
                *tx.deployments.generations(api.id),
                *tx.deployments.live_trees(),
                *tx.usage.history(api.id),
            ]

        assert await storage.read(left) == []
        await add_apis(storage, an_api(2, "one", directory=api.directory))


class TestTombstone:
    async def test_keeps_its_name_and_gives_its_directory_back(self, storage: Storage) -> None:
        api = an_api(1, "one", directory="/src")
        await add_apis(storage, api)
        removed = await storage.write(lambda tx: tx.registry.save(replace(api, stage=ApiStage.REMOVED), 1))
        assert await storage.read(lambda tx: tx.registry.all()) == []
        assert await storage.read(lambda tx: tx.registry.search("one")) == []
        assert await storage.read(lambda tx: tx.registry.by_directory("/src")) is None
        assert await storage.read(lambda tx: tx.registry.by_name("alice", "one")) == removed
        with pytest.raises(NameTaken):
            await add_apis(storage, an_api(2, "one"))
        await add_apis(storage, an_api(3, "three", directory="/src"))


class TestSave:
    async def test_returns_what_is_stored_with_the_next_revision(self, storage: Storage) -> None:
        await add_apis(storage, an_api(1, "one"))
        wanted = an_api(
            1,
            "renamed",
            directory="/elsewhere",
            manifest=a_manifest("renamed", summary="new", visibility=Visibility.PUBLIC),
            stage=ApiStage.LISTED,
            updated_at=NOON + timedelta(hours=1),
        )
        saved = await storage.write(lambda tx: tx.registry.save(wanted, 1))
        assert saved == replace(wanted, revision=2)
        assert await storage.read(lambda tx: tx.registry.get(wanted.id)) == saved
        assert await storage.read(lambda tx: tx.registry.by_name("alice", "one")) is None

    async def test_refuses_a_stale_revision(self, storage: Storage) -> None:
        api = an_api(1)
        await add_apis(storage, api)
        await storage.write(lambda tx: tx.registry.save(api, 1))
        with pytest.raises(RevisionConflict) as caught:
            await storage.write(lambda tx: tx.registry.save(api, 1))
        assert caught.value.extra == {"expected": 1, "actual": 2}

    async def test_refuses_an_unknown_api(self, storage: Storage) -> None:
        with pytest.raises(ApiNotFound):
            await storage.write(lambda tx: tx.registry.save(an_api(1), 1))

    async def test_refuses_what_another_has(self, storage: Storage) -> None:
        await add_apis(storage, an_api(1, "one", directory="/one"), an_api(2, "two", directory="/two"))
        with pytest.raises(NameTaken):
            await storage.write(lambda tx: tx.registry.save(an_api(2, "one", directory="/two"), 1))
        with pytest.raises(DirectoryTaken):
            await storage.write(lambda tx: tx.registry.save(an_api(2, "two", directory="/one"), 1))


HOSTILE = [
    "AND",
    "weather OR nothing",
    "NEAR(weather, 2)",
    "NOT weather",
    '"',
    '"weather',
    'wea"ther',
    "weather*",
    "^weather",
    "slug:weather",
    "{slug summary}:weather",
    "- weather",
    "-weather +api",
    "(((((",
    "';drop table apis;--",
    "%",
    "_",
    "\0",
    "weather\0api",
    "\ud800",
    "é\udcff",
    "*" * 500,
    "weather " * 5000,
    "a" * 100_000,
    "🌦",
    "٣",
    "हिन्दी",
]


class TestSearch:
    async def found(self, storage: Storage, text: str, limit: int = 50) -> list[str]:
        return [api.slug for api in await storage.read(lambda tx: tx.registry.search(text, limit))]

    @pytest.fixture
    async def shelf(self, storage: Storage) -> Storage:
        await add_apis(
            storage,
            an_api(1, "weather-api", manifest=a_manifest(summary="Rain and wind in Köln", tags=("geo", "climate"))),
            an_api(2, "currency", manifest=a_manifest(summary="Rates by the European bank", category="finance")),
            an_api(3, "umbrella", manifest=a_manifest(summary="Do I need one? Asks the weather-api. R AND B, OR NOT")),
            an_api(4, "hindi", manifest=a_manifest(summary="हिन्दी शब्दकोश and 日本語 辞書")),
        )
        return storage

    @pytest.mark.parametrize(
        ("text", "slugs"),
        [
            ("currency", ["currency"]),
            ("curr", ["currency"]),
            ("CURR", ["currency"]),
            ("finan", ["currency"]),
            ("geo", ["weather-api"]),
            ("koln", ["weather-api"]),
            ("KÖL", ["weather-api"]),
            ("wind rain", ["weather-api"]),
            ("rain finance", []),
            ("weather-a", ["weather-api", "umbrella"]),
            ("हिन्दी", ["hindi"]),
            ("日本", ["hindi"]),
            ("nothing-such", []),
        ],
    )
    async def test_words_match_by_prefix_in_every_field(self, shelf: Storage, text: str, slugs: list[str]) -> None:
        assert await self.found(shelf, text) == slugs

    async def test_the_best_comes_first(self, shelf: Storage) -> None:
        assert await self.found(shelf, "weather") == ["weather-api", "umbrella"]

    async def test_would_be_operators_are_words(self, shelf: Storage) -> None:
        assert await self.found(shelf, "AND OR NOT") == ["umbrella"]

    @pytest.mark.parametrize("text", ["", "   ", "\n\t", '"', "* - ^"])
    async def test_no_words_find_nothing(self, shelf: Storage, text: str) -> None:
        assert await self.found(shelf, text) == []

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_any_text_is_valid(self, shelf: Storage, text: str) -> None:
        assert set(await self.found(shelf, text)) <= {"weather-api", "currency", "umbrella", "hindi"}

    async def test_limit(self, shelf: Storage) -> None:
        assert await self.found(shelf, "weather", limit=1) == ["weather-api"]
        assert await self.found(shelf, "weather", limit=0) == []
        assert await self.found(shelf, "weather", limit=-1) == []

    async def test_follows_changes(self, shelf: Storage) -> None:
        renamed = an_api(2, "exchange", manifest=a_manifest("exchange", summary="Money", tags=("fx",)))
        await shelf.write(lambda tx: tx.registry.save(renamed, 1))
        assert await self.found(shelf, "currency") == []
        assert await self.found(shelf, "fx") == ["exchange"]
        await shelf.write(lambda tx: tx.registry.remove(renamed.id))
        assert await self.found(shelf, "fx") == []
