"""What storage/base.py promises of versions, channels and traffic, of every store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from local_server.domain.deployments import DesiredState, State
from local_server.domain.ids import Digest
from local_server.domain.registry_errors import ApiNotFound, DirectoryTaken
from local_server.domain.sync_errors import VersionExists
from local_server.domain.version_errors import TrafficConflict, VersionNotFound
from local_server.domain.versions import Pointer, Traffic
from local_server.storage.base import Storage, Tx
from tests.storage.factories import (
    NOON,
    a_deployment,
    a_generation,
    a_tree,
    a_version,
    add_apis,
    an_api,
)

API = an_api(1)
LATER = NOON + timedelta(days=1)


class TestVersions:
    async def test_one_comes_back_as_it_was(self, storage: Storage) -> None:
        await add_apis(storage, API)
        version = a_version(
            API,
            parents=(Digest("1" * 64), Digest("2" * 64)),
            signer="s",
            public_key=bytes(32),
            signature=bytes(range(64)),
            yanked_at=LATER,
            yanked_reason="leaks \udcff",
            deprecated_at=NOON,
            sunset_at=LATER,
        )
        assert await storage.write(lambda tx: tx.versions.add(version, b'{"openapi":"3.1.0"}'))
        kept = replace(version, yanked_reason="leaks \ufffd")
        assert await storage.read(lambda tx: tx.versions.by_semver(API.id, "1.0.0")) == kept
        assert await storage.read(lambda tx: tx.versions.get(API.id, version.id)) == kept
        assert await storage.read(lambda tx: tx.versions.openapi(API.id, "1.0.0")) == b'{"openapi":"3.1.0"}'
        assert await storage.read(lambda tx: tx.versions.by_semver(API.id, "\ud800\0")) is None

    async def test_are_listed_newest_first(self, storage: Storage) -> None:
        await add_apis(storage, API, an_api(2))
        made = [a_version(API, f"1.{at}.0", created_at=NOON + timedelta(seconds=at)) for at in range(12)]

        def fill(tx: Tx) -> None:
            for version in made:
                tx.versions.add(version)
            tx.versions.add(a_version(an_api(2)))

        await storage.write(fill)
        assert await storage.read(lambda tx: tx.versions.of_api(API.id)) == made[::-1]
        assert await storage.read(lambda tx: tx.versions.of_api(API.id, 2)) == made[:-3:-1]

    async def test_the_same_again_is_left_alone(self, storage: Storage) -> None:
        await add_apis(storage, API)
        version = a_version(API)
        assert await storage.write(lambda tx: tx.versions.add(version, b"{}"))
        assert not await storage.write(lambda tx: tx.versions.add(replace(version, created_at=LATER)))
        assert await storage.read(lambda tx: tx.versions.of_api(API.id)) == [version]
        assert await storage.read(lambda tx: tx.versions.openapi(API.id, "1.0.0")) == b"{}"

    async def test_a_number_is_given_once(self, storage: Storage) -> None:
        await add_apis(storage, API)
        version = a_version(API)
        await storage.write(lambda tx: tx.versions.add(version))
        with pytest.raises(VersionExists, match=r"alice/api-1 has a version 1\.0\.0 already") as refused:
            await storage.write(lambda tx: tx.versions.add(a_version(API, tree=a_tree("other"))))
        assert refused.value.extra["tree"] == version.tree
        assert await storage.read(lambda tx: tx.versions.of_api(API.id)) == [version]

    async def test_is_an_apis(self, storage: Storage) -> None:
        with pytest.raises(ApiNotFound):
            await storage.write(lambda tx: tx.versions.add(a_version(API)))

    async def test_goes_with_its_api_and_with_nothing_else(self, storage: Storage) -> None:
        await add_apis(storage, API)

        def fill(tx: Tx) -> None:
            tx.versions.add(a_version(API))
            tx.versions.put_channel(API.id, "beta", "1.0.0", NOON)
            tx.versions.move_traffic(API.id, Traffic().moved(Pointer.to("1.0.0")))
            tx.deployments.put(a_deployment(API, version="1.0.0"))

        await storage.write(fill)
        await storage.write(lambda tx: tx.registry.remove(API.id))
        assert await storage.read(lambda tx: tx.versions.of_api(API.id)) == []
        assert await storage.read(lambda tx: tx.versions.channels(API.id)) == {}
        assert await storage.read(lambda tx: tx.versions.traffic(API.id)) == Traffic()
        assert await storage.read(lambda tx: tx.deployments.of_versions()) == []

    async def test_marks_are_all_that_changes(self, storage: Storage) -> None:
        await add_apis(storage, API)
        version = a_version(API)
        await storage.write(lambda tx: tx.versions.add(version))

        def mark(tx: Tx) -> None:
            tx.versions.yank(API.id, "1.0.0", NOON, "leaks")
            tx.versions.deprecate(API.id, "1.0.0", NOON, LATER)

        await storage.write(mark)
        marked = replace(version, yanked_at=NOON, yanked_reason="leaks", deprecated_at=NOON, sunset_at=LATER)
        assert await storage.read(lambda tx: tx.versions.by_semver(API.id, "1.0.0")) == marked
        await storage.write(lambda tx: tx.versions.yank(API.id, "1.0.0", None))
        await storage.write(lambda tx: tx.versions.deprecate(API.id, "1.0.0", None))
        assert await storage.read(lambda tx: tx.versions.by_semver(API.id, "1.0.0")) == version
        for wrong in ("2.0.0", "\ud800"):
            with pytest.raises(VersionNotFound):
                await storage.write(lambda tx, wrong=wrong: tx.versions.yank(API.id, wrong, NOON))


class TestTrees:
    async def test_a_version_keeps_its_tree_for_ever(self, storage: Storage) -> None:
        await add_apis(storage, API)
        tree = a_tree("of a version")

        def fill(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            tx.versions.add(a_version(API, tree=tree))
            tx.versions.yank(API.id, "1.0.0", NOON)
            for number in (1, 2, 3):
                tx.deployments.add_tree(a_tree(str(number)))
                tx.deployments.put_generation(a_generation(API, number, a_tree(str(number))))
            tx.deployments.prune(API.id, keep=1)

        await storage.write(fill)
        assert await storage.read(lambda tx: tx.deployments.tree(tree.digest)) == tree
        assert await storage.read(lambda tx: tx.deployments.live_trees()) == {tree.digest, a_tree("3").digest}


class TestChannels:
    async def test_are_moved_and_removed(self, storage: Storage) -> None:
        await add_apis(storage, API)
        for semver in ("1.0.0", "1.1.0"):
            await storage.write(lambda tx, semver=semver: tx.versions.add(a_version(API, semver)))
            await storage.write(lambda tx, semver=semver: tx.versions.put_channel(API.id, "beta", semver, NOON))
            assert await storage.read(lambda tx: tx.versions.channels(API.id)) == {"beta": semver}
        with pytest.raises(VersionNotFound):
            await storage.write(lambda tx: tx.versions.put_channel(API.id, "beta", "9.9.9", NOON))
        for _ in range(2):
            await storage.write(lambda tx: tx.versions.remove_channel(API.id, "beta"))
        assert await storage.read(lambda tx: tx.versions.channels(API.id)) == {}


class TestTraffic:
    async def test_moves_from_revision_to_revision(self, storage: Storage) -> None:
        await add_apis(storage, API)
        first = await storage.read(lambda tx: tx.versions.traffic(API.id))
        assert first == Traffic()
        whole = await storage.write(lambda tx: tx.versions.move_traffic(API.id, first.moved(Pointer.to("1.0.0"))))
        split = whole.moved(whole.pointer.canary("1.1.0", 10))
        await storage.write(lambda tx: tx.versions.move_traffic(API.id, split))
        kept = await storage.read(lambda tx: tx.versions.traffic(API.id))
        assert kept == replace(split, revision=2)
        assert kept.pointer.shares == (("1.0.0", 90), ("1.1.0", 10))
        assert kept.earlier == (Pointer.to("1.0.0"), Pointer())

    async def test_of_two_moves_on_one_revision_one_wins(self, storage: Storage) -> None:
        await add_apis(storage, API)
        for revision in (0, 1):
            move = Traffic(Pointer.to("1.0.0"), (), revision)
            await storage.write(lambda tx, move=move: tx.versions.move_traffic(API.id, move))
            with pytest.raises(TrafficConflict, match=f"revision {revision}, and is now at {revision + 1}"):
                await storage.write(lambda tx, move=move: tx.versions.move_traffic(API.id, move))
        with pytest.raises(ApiNotFound):
            await storage.write(lambda tx: tx.versions.move_traffic(an_api(2).id, Traffic()))


class TestDeployments:
    async def test_of_versions_stand_beside_the_directorys(self, storage: Storage) -> None:
        await add_apis(storage, API)
        directory, version = a_deployment(API), a_deployment(API, version="1.0.0", last_good=3, last_error="e \udcff")

        def fill(tx: Tx) -> None:
            tx.versions.add(a_version(API))
            tx.deployments.put(directory)
            tx.deployments.put(version)
            tx.deployments.put(replace(version, state=State.STOPPED, desired_state=DesiredState.STOPPED))

        await storage.write(fill)
        kept = replace(version, state=State.STOPPED, desired_state=DesiredState.STOPPED, last_error="e \ufffd")
        assert await storage.read(lambda tx: tx.deployments.all()) == [directory]
        assert await storage.read(lambda tx: tx.deployments.get(API.id)) == directory
        assert await storage.read(lambda tx: tx.deployments.of_versions()) == [kept]
        assert await storage.read(lambda tx: tx.deployments.of_version(API.id, "1.0.0")) == kept
        assert await storage.read(lambda tx: tx.deployments.of_version(API.id, "2.0.0")) is None
        with pytest.raises(VersionNotFound):
            await storage.write(lambda tx: tx.deployments.put(replace(version, version="2.0.0")))


class TestApisWithoutADirectory:
    async def test_there_may_be_any_number_of_them(self, storage: Storage) -> None:
        published = [an_api(number, directory="") for number in (1, 2, 3)]
        await add_apis(storage, *published)
        assert await storage.read(lambda tx: tx.registry.by_directory("")) is None
        assert len(await storage.read(lambda tx: tx.registry.all())) == 3
        await add_apis(storage, an_api(4, directory="/here"))
        with pytest.raises(DirectoryTaken):
            await add_apis(storage, an_api(5, directory="/here"))
