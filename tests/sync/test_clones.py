"""Somebody's version as an API of this machine, and its newer ones in the same directory."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from local_server.domain.merge import Choices
from local_server.domain.merge_choices import Side
from local_server.domain.outbox import RemoteRef
from local_server.domain.publish_errors import CloneClashes, NotPublished
from local_server.sync.service import Sync
from local_server.sync.views import clone_view
from tests.sync.conftest import MANIFEST, Machine
from tests.sync.fake_marketplace import FakeMarketplace

Open = Callable[..., Awaitable[Machine]]
PUBLIC = MANIFEST + 'visibility = "public"\n'


class Pair:
    """ana publishes `one`; bob has it as a clone."""

    def __init__(self, ana: Machine, bob: Machine) -> None:
        self.ana, self.bob = ana, bob
        self.directory = bob.home / "projects" / "one"

    async def publish(self, files: dict[str, str | bytes | None]) -> str:
        self.ana.write(files)
        return (await self.ana.publish()).semver

    async def yank(self, semver: str, reason: str) -> None:
        ana = self.ana
        sync = Sync(ana.storage, ana.blobs, ana.system, ana.markets, ana.ports, ana.events.append)
        await sync.yank(ana.api, semver, reason)

    def held(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.directory.iterdir() if path.is_file()}

    async def ref(self) -> RemoteRef:
        found = await self.bob.storage.read(lambda tx: tx.remotes.ref(self.bob.url, "ana", "one"))
        assert found is not None
        return found


@pytest.fixture
async def pair(open_machine: Open) -> Pair:
    pair = Pair(await open_machine("ana"), await open_machine("bob", token="bob-token"))
    await pair.publish({"apimarket.toml": PUBLIC, "main.py": "a\nb\nc\n", "old.py": "old"})
    await pair.bob.storage.write(lambda tx: tx.registry.remove(pair.bob.api.id))
    await pair.bob.pulling.pull_new("ana/one")
    return pair


class TestUpdating:
    async def test_untouched_files_become_those_of_the_newer_version(self, pair: Pair) -> None:
        await pair.publish({"main.py": "A\nb\nc\n", "new.py": "new", "old.py": None})
        pulled = await pair.bob.pulling.pull_new("ana/one")
        assert (pulled.updated, pulled.written, pulled.moved, pulled.kept) == (True, True, True, [])
        assert pulled.new_versions == ["0.1.1"]
        assert pulled.api is not None
        assert Path(pulled.api.directory) == pair.directory
        assert pair.held() == {"apimarket.toml": PUBLIC, "main.py": "A\nb\nc\n", "new.py": "new"}

    async def test_what_was_changed_here_is_kept_or_merged_and_told(self, pair: Pair) -> None:
        (pair.directory / "main.py").write_text("a\nb\nC\n")
        (pair.directory / "mine.py").write_text("mine")
        (pair.directory / "old.py").write_text("changed")
        await pair.publish({"main.py": "A\nb\nc\n", "old.py": None})
        pulled = await pair.bob.pulling.pull_new("ana/one")
        assert pulled.kept == ["main.py", "mine.py", "old.py"]
        assert pair.held() == {
            "apimarket.toml": PUBLIC, "main.py": "A\nb\nC\n", "mine.py": "mine", "old.py": "changed"
        }  # fmt: skip

    async def test_what_clashes_is_told_by_name_and_nothing_is_written(self, pair: Pair) -> None:
        (pair.directory / "main.py").write_text("mine\nb\nc\n")
        await pair.publish({"main.py": "theirs\nb\nc\n", "new.py": "new"})
        before = pair.held()
        with pytest.raises(CloneClashes, match=r"ana/one 0\.1\.1 .* clash in main\.py; nothing was written"):
            await pair.bob.pulling.pull_new("ana/one")
        assert pair.held() == before
        assert (await pair.ref()).is_ahead
        choices = Choices({"main.py": Side.THEIRS})
        pulled = await pair.bob.pulling.pull_new("ana/one", choices=choices)
        assert pulled.kept == []
        assert pair.held()["main.py"] == "theirs\nb\nc\n"
        assert pair.held()["new.py"] == "new"

    async def test_mine_may_be_chosen_and_stays_mine_in_the_version_after(self, pair: Pair) -> None:
        (pair.directory / "main.py").write_text("mine\nb\nc\n")
        await pair.publish({"main.py": "theirs\nb\nc\n"})
        await pair.bob.pulling.pull_new("ana/one", choices=Choices({"main.py": Side.MINE}))
        await pair.publish({"new.py": "new"})
        pulled = await pair.bob.pulling.pull_new("ana/one")
        assert pulled.kept == ["main.py"]
        assert pair.held()["main.py"] == "mine\nb\nc\n"
        assert pair.held()["new.py"] == "new"

    async def test_broken_off_after_the_files_it_goes_on(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        (pair.directory / "main.py").write_text("a\nb\nC\n")
        await pair.publish({"main.py": "A\nb\nc\n"})

        new = await pair.bob.pulling.fetch_new("ana/one")

        def cut(place: str) -> None:
            if place == "pull.written":
                raise OSError("cut")

        with monkeypatch.context() as patch:
            patch.setattr("local_server.sync.pulling.failpoint", cut)
            with pytest.raises(OSError, match="cut"):
                await pair.bob.pulling.add_new(new, None, start=False)
        assert pair.held()["main.py"] == "A\nb\nC\n"
        pulled = await pair.bob.pulling.pull_new("ana/one")
        assert (pulled.moved, pulled.written, pulled.kept) == (True, False, ["main.py"])
        assert not (await pair.ref()).is_ahead

    async def test_the_same_version_again_changes_nothing(self, pair: Pair) -> None:
        (pair.directory / "main.py").write_text("mine")
        pulled = await pair.bob.pulling.pull_new("ana/one")
        assert (pulled.updated, pulled.moved, pulled.written, list(pulled.new_versions)) == (True, False, False, [])
        assert pair.held()["main.py"] == "mine"

    async def test_only_what_is_missing_is_fetched(self, pair: Pair) -> None:
        await pair.publish({"big.bin": bytes(range(256)) * 1000})
        await pair.bob.pulling.pull_new("ana/one")
        await pair.publish({"main.py": "A\nb\nc\n"})
        assert (await pair.bob.pulling.pull_new("ana/one")).fetched_bytes < 1000

    async def test_one_that_was_removed_here_is_brought_anew(self, pair: Pair) -> None:
        pulled = await pair.bob.pulling.pull_new("ana/one")
        clone = pulled.api
        assert clone is not None
        await pair.bob.storage.write(lambda tx: tx.registry.remove(clone.id))
        again = await pair.bob.pulling.pull_new("ana/one", directory=pair.bob.home / "again")
        assert not again.updated
        assert (pair.bob.home / "again" / "main.py").exists()


class TestStaying:
    async def test_a_version_that_is_named_is_stayed_at_until_another_is_asked_for(self, pair: Pair) -> None:
        await pair.publish({"main.py": "2"})
        await pair.publish({"main.py": "3"})
        pulled = await pair.bob.pulling.pull_new("ana/one@0.1.1")
        assert pulled.ref.pinned
        assert pair.held()["main.py"] == "2"
        back = await pair.bob.pulling.pull_new("ana/one@0.1.0")
        assert back.ref.pinned
        assert pair.held()["main.py"] == "a\nb\nc\n"
        newest = await pair.bob.pulling.pull_new("ana/one")
        assert not newest.ref.pinned
        assert pair.held()["main.py"] == "3"

    async def test_named_and_followed_it_is_not(self, pair: Pair) -> None:
        pulled = await pair.bob.pulling.pull_new("ana/one@0.1.0", follow=True)
        assert not pulled.ref.pinned

    async def test_one_that_is_not_there_is_told_with_those_that_are(self, pair: Pair) -> None:
        await pair.publish({"main.py": "2"})
        with pytest.raises(NotPublished) as refused:
            await pair.bob.pulling.pull_new("ana/one@9.9.9")
        assert refused.value.hint == "Its versions are 0.1.1, 0.1.0."


@pytest.mark.parametrize("market", ["real"], indirect=True)
class TestYanked:
    async def test_nobody_gets_it_unasked(self, pair: Pair) -> None:
        await pair.publish({"main.py": "2"})
        await pair.publish({"main.py": "leaks"})
        await pair.yank("0.1.2", "leaks")
        pulled = await pair.bob.pulling.pull_new("ana/one")
        assert (pulled.head.semver, pair.held()["main.py"]) == ("0.1.1", "2")
        named = await pair.bob.pulling.pull_new("ana/one@0.1.2")
        assert (named.head.semver, pair.held()["main.py"]) == ("0.1.2", "leaks")
        back = await pair.bob.pulling.pull_new("ana/one")
        assert (back.head.semver, pair.held()["main.py"]) == ("0.1.1", "2")
        await pair.bob.pulling.refresh(pair.bob.url)
        clone = clone_view(await pair.ref(), pulled.api or pair.bob.api)
        assert (clone.version, clone.update) == ("0.1.1", False)


class TestNews:
    async def test_a_newer_version_is_heard_of(self, pair: Pair, market: FakeMarketplace) -> None:
        await pair.bob.pulling.refresh(pair.bob.url)
        assert not (await pair.ref()).is_ahead
        await pair.publish({"main.py": "2"})
        await pair.bob.pulling.refresh(pair.bob.url)
        ref = await pair.ref()
        assert ref.is_ahead
        assert ref.head is not None
        assert ref.base is not None
        assert (ref.base.semver, ref.head.semver) == ("0.1.0", "0.1.1")
