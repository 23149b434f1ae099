"""What storage/base.py promises of deployments, generations and trees, of every store."""

import pytest

from local_server.domain.deployments import DesiredState, Failure, Outcome, State
from local_server.domain.ids import ApiId, Digest
from local_server.domain.registry import Api
from local_server.domain.registry_errors import ApiNotFound
from local_server.storage.base import ReadTx, Storage, Tx
from tests.storage.factories import (
    a_deployment,
    a_generation,
    a_tree,
    add_apis,
    an_api,
    an_id,
)


class TestDeployments:
    async def test_put_inserts_and_replaces(self, storage: Storage) -> None:
        api = an_api(1)
        await add_apis(storage, api)
        assert await storage.read(lambda tx: tx.deployments.get(api.id)) is None
        first = a_deployment(api, last_good=3, last_error="it 🔥\nburns")
        await storage.write(lambda tx: tx.deployments.put(first))
        assert await storage.read(lambda tx: tx.deployments.get(api.id)) == first
        second = a_deployment(api, desired_state=DesiredState.STOPPED, state=State.STOPPING, engine="process")
        await storage.write(lambda tx: tx.deployments.put(second))
        assert await storage.read(lambda tx: tx.deployments.all()) == [second]

    async def test_an_error_message_of_any_text_can_be_kept(self, storage: Storage) -> None:
        api = an_api(1)
        await add_apis(storage, api)
        await storage.write(lambda tx: tx.deployments.put(a_deployment(api, last_error="\udcffoops\0")))
        kept = await storage.read(lambda tx: tx.deployments.get(api.id))
        assert kept is not None
        assert kept.last_error == "\ufffdoops\ufffd"

    async def test_a_removed_api_has_none(self, storage: Storage) -> None:
        with pytest.raises(ApiNotFound):
            await storage.write(lambda tx: tx.deployments.put(a_deployment(an_api(1))))
        with pytest.raises(ApiNotFound):
            await storage.write(lambda tx: tx.deployments.put_generation(a_generation(an_api(1), 1)))
        with pytest.raises(ApiNotFound):
            await storage.write(lambda tx: tx.deployments.next_number(ApiId(an_id(1))))


class TestGenerations:
    @pytest.fixture
    async def api(self, storage: Storage) -> Api:
        api = an_api(1)
        await add_apis(storage, api)
        return api

    async def test_put_inserts_and_replaces(self, storage: Storage, api: Api) -> None:
        starting = a_generation(api, 1, outcome=Outcome.STARTING)
        failed = a_generation(
            api,
            1,
            outcome=Outcome.FAILED,
            timings_ms={"snapshot": 1.25, "total": 80.0},
            failure=Failure("syntax", "SyntaxError: \udcff", "app.py", 12, "Traceback\0...", "Mend it"),
        )
        for generation in (starting, failed):
            await storage.write(lambda tx, generation=generation: tx.deployments.put_generation(generation))
            assert await storage.read(lambda tx: tx.deployments.generation(api.id, 1)) == generation
        assert await storage.read(lambda tx: tx.deployments.generation(api.id, 2)) is None

    async def test_are_listed_newest_first(self, storage: Storage, api: Api) -> None:
        for number in (1, 3, 2):
            await storage.write(lambda tx, number=number: tx.deployments.put_generation(a_generation(api, number)))
        listed = await storage.read(lambda tx: tx.deployments.generations(api.id))
        assert [generation.number for generation in listed] == [3, 2, 1]
        listed = await storage.read(lambda tx: tx.deployments.generations(api.id, limit=2))
        assert [generation.number for generation in listed] == [3, 2]

    async def test_numbers_never_go_back(self, storage: Storage, api: Api) -> None:
        assert await storage.write(lambda tx: tx.deployments.next_number(api.id)) == 1
        for number in range(1, 6):
            await storage.write(lambda tx, number=number: tx.deployments.put_generation(a_generation(api, number)))
        await storage.write(lambda tx: tx.deployments.put_generation(a_generation(api, 2)))
        assert await storage.write(lambda tx: tx.deployments.next_number(api.id)) == 6
        await storage.write(lambda tx: tx.deployments.prune(api.id, keep=0))
        assert await storage.read(lambda tx: tx.deployments.generations(api.id)) == []
        assert await storage.write(lambda tx: tx.deployments.next_number(api.id)) == 6

    async def test_a_number_does_not_move_the_revision(self, storage: Storage, api: Api) -> None:
        await storage.write(lambda tx: tx.deployments.put_generation(a_generation(api, 1)))
        assert (await storage.write(lambda tx: tx.registry.save(api, 1))).revision == 2
        assert await storage.write(lambda tx: tx.deployments.next_number(api.id)) == 2


class TestTrees:
    async def test_come_back_as_they_were_and_once(self, storage: Storage) -> None:
        tree = a_tree("a", "b", "ü")
        for _ in range(2):
            await storage.write(lambda tx: tx.deployments.add_tree(tree))
        stored = await storage.read(lambda tx: tx.deployments.tree(tree.digest))
        assert stored == tree
        assert stored is not None
        assert stored.digest == tree.digest
        assert await storage.read(lambda tx: tx.deployments.tree(Digest("0" * 64))) is None

    async def test_live_ones_are_those_of_kept_generations(self, storage: Storage) -> None:
        one, two = an_api(1), an_api(2)
        await add_apis(storage, one, two)
        shared, own = a_tree("shared"), a_tree("own")

        def fill(tx: Tx) -> None:
            for api in (one, two):
                tx.deployments.put_generation(a_generation(api, 1, shared))
            tx.deployments.put_generation(a_generation(two, 2, own))
            tx.deployments.add_tree(a_tree("nobody's"))

        await storage.write(fill)
        assert await storage.read(lambda tx: tx.deployments.live_trees()) == {shared.digest, own.digest}


class TestPrune:
    async def test_keeps_the_newest_and_the_last_good(self, storage: Storage) -> None:
        api, other = an_api(1), an_api(2)
        trees = {number: a_tree(str(number)) for number in range(1, 7)}

        def fill(tx: Tx) -> None:
            tx.registry.add(api)
            tx.registry.add(other)
            tx.deployments.put(a_deployment(api, last_good=2))
            for number, tree in trees.items():
                tx.deployments.add_tree(tree)
                tx.deployments.put_generation(a_generation(api, number, tree))
            tx.deployments.put_generation(a_generation(other, 1, trees[1]))

        await storage.write(fill)
        await storage.write(lambda tx: tx.deployments.prune(api.id, keep=2))
        kept = await storage.read(lambda tx: tx.deployments.generations(api.id))
        assert [generation.number for generation in kept] == [6, 5, 2]
        assert len(await storage.read(lambda tx: tx.deployments.generations(other.id))) == 1

        def trees_left(tx: ReadTx) -> set[int]:
            return {number for number, tree in trees.items() if tx.deployments.tree(tree.digest)}

        assert await storage.read(trees_left) == {1, 2, 5, 6}  # 1 belongs to the other API too
