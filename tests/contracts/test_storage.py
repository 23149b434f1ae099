"""What storage/base.py promises of transactions, of every store. The stores of a transaction: test_storage_*.py."""

import asyncio
import threading

import pytest

from local_server.domain.events import ApiChanged, ApiRegistered, Event
from local_server.domain.ids import ApiId
from local_server.domain.registry import Api
from local_server.domain.registry_errors import NameTaken
from local_server.storage.base import ReadTx, Storage, Tx
from tests.contracts.conftest import OpenStorage, Published
from tests.storage.factories import (
    ALICE,
    add_apis,
    an_api,
    an_id,
)


class TestWrite:
    async def test_returns_what_the_act_returns(self, storage: Storage) -> None:
        assert await storage.write(lambda tx: len(tx.accounts.all())) == 1

    async def test_what_raises_rolls_everything_back_and_emits_nothing(
        self, storage: Storage, published: Published
    ) -> None:
        def act(tx: Tx) -> None:
            tx.registry.add(an_api(1))
            tx.emit(ApiRegistered(ApiId(an_id(1))))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await storage.write(act)
        assert await storage.read(lambda tx: tx.registry.get(ApiId(an_id(1)))) is None
        assert published == []

    async def test_a_refusal_in_the_middle_takes_the_earlier_part_back(self, storage: Storage) -> None:
        with pytest.raises(NameTaken):
            await add_apis(storage, an_api(1, "one"), an_api(2, "one"))
        assert await storage.read(lambda tx: tx.registry.all()) == []

    async def test_an_act_sees_its_own_changes(self, storage: Storage) -> None:
        def act(tx: Tx) -> Api | None:
            tx.registry.add(an_api(1, "one"))
            return tx.registry.by_name("alice", "one")

        assert await storage.write(act) == an_api(1, "one")

    async def test_what_was_written_is_read(self, storage: Storage) -> None:
        for number in range(20):
            await add_apis(storage, an_api(number))
            assert await storage.read(lambda tx, number=number: tx.registry.get(ApiId(an_id(number)))) is not None

    async def test_goes_on_after_a_failure(self, storage: Storage) -> None:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await storage.write(lambda tx: 1 // 0)
        await add_apis(storage, an_api(1))

    async def test_stop_iteration_is_raised_here_too(self, storage: Storage) -> None:
        with pytest.raises(RuntimeError):
            await storage.write(lambda tx: next(iter(())))

    async def test_parallel_writes_are_each_alone(self, storage: Storage) -> None:
        await add_apis(storage, an_api(1))

        def bump(tx: Tx) -> None:
            api = tx.registry.get(ApiId(an_id(1)))
            assert api is not None
            tx.registry.save(api, api.revision)

        await asyncio.gather(*(storage.write(bump) for _ in range(50)))
        api = await storage.read(lambda tx: tx.registry.get(ApiId(an_id(1))))
        assert api is not None
        assert api.revision == 51

    async def test_a_transaction_kept_after_its_end_writes_nothing(self, storage: Storage) -> None:
        kept = await storage.write(lambda tx: tx)
        with pytest.raises(RuntimeError):
            await storage.write(lambda tx: (kept.registry.add(an_api(1)), 1 // 0))
        assert await storage.read(lambda tx: tx.registry.all()) == []

    async def test_cancelling_the_caller_does_not_undo_an_act_that_has_begun(
        self, storage: Storage, published: Published
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def act(tx: Tx) -> None:
            begun.set()
            go_on.wait(10)
            tx.registry.add(an_api(1))
            tx.emit(ApiRegistered(ApiId(an_id(1))))

        task = asyncio.create_task(storage.write(act))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        async with asyncio.timeout(10):
            while not published:
                await asyncio.sleep(0.01)
        assert await storage.read(lambda tx: tx.registry.get(ApiId(an_id(1)))) is not None
        assert published == [ApiRegistered(ApiId(an_id(1)))]


class TestEvents:
    async def test_leave_after_the_commit_and_before_the_caller_goes_on(
        self, storage: Storage, published: Published
    ) -> None:
        def act(tx: Tx) -> int:
            tx.emit(ApiRegistered(ApiId("a")))
            return len(published)

        assert await storage.write(act) == 0
        assert published == [ApiRegistered(ApiId("a"))]

    async def test_keep_the_order_of_the_commits(self, storage: Storage, published: Published) -> None:
        await add_apis(storage, an_api(1))

        def emit_two(tx: Tx) -> None:
            api = tx.registry.get(ApiId(an_id(1)))
            assert api is not None
            number = tx.registry.save(api, api.revision).revision
            tx.emit(ApiRegistered(ApiId(str(number))))
            tx.emit(ApiChanged(ApiId(str(number))))

        await asyncio.gather(*(storage.write(emit_two) for _ in range(30)))
        expected: list[Event] = []
        for number in range(2, 32):
            expected += [ApiRegistered(ApiId(str(number))), ApiChanged(ApiId(str(number)))]
        assert published == expected

    async def test_arrive_on_the_event_loop(self, storage: Storage, published: Published) -> None:
        await storage.write(lambda tx: tx.emit(ApiRegistered(ApiId("a"))))
        assert published.threads == {threading.get_ident()}


class TestRead:
    async def test_cannot_write(self, storage: Storage) -> None:
        def question(tx: ReadTx) -> None:
            tx.registry.add(an_api(1))  # type: ignore[attr-defined]

        with pytest.raises(AttributeError):
            await storage.read(question)

    async def test_is_one_snapshot_while_others_write(self, storage: Storage) -> None:
        await add_apis(storage, an_api(1))
        begun, go_on = threading.Event(), threading.Event()

        def question(tx: ReadTx) -> tuple[int, int]:
            before = len(tx.registry.all())
            begun.set()
            go_on.wait(10)
            return before, len(tx.registry.all())

        reading = asyncio.create_task(storage.read(question))
        await asyncio.to_thread(begun.wait, 10)
        await add_apis(storage, an_api(2))
        assert len(await storage.read(lambda tx: tx.registry.all())) == 2
        go_on.set()
        assert await reading == (1, 1)

    async def test_raises_what_the_question_raises_and_goes_on(self, storage: Storage) -> None:
        for _ in range(10):
            with pytest.raises(ZeroDivisionError):
                await storage.read(lambda tx: 1 // 0)
        assert await storage.read(lambda tx: tx.accounts.all()) == [ALICE]


class TestClose:
    async def test_may_be_called_twice_and_at_once(self, storage: Storage) -> None:
        await asyncio.gather(storage.close(), storage.close())
        await storage.close()

    async def test_finishes_what_has_begun(self, storage: Storage, open_storage: OpenStorage) -> None:
        writes = [asyncio.create_task(add_apis(storage, an_api(number))) for number in range(20)]
        await asyncio.sleep(0)  # each task has handed its act over
        await storage.close()
        await asyncio.gather(*writes)
        again = await open_storage()
        assert len(await again.read(lambda tx: tx.registry.all())) == 20

    async def test_refuses_what_comes_later(self, storage: Storage) -> None:
        await storage.close()
        with pytest.raises(RuntimeError, match="closed"):
            await storage.read(lambda tx: None)
        with pytest.raises(RuntimeError, match="closed"):
            await storage.write(lambda tx: None)

    async def test_install_id_is_kept(self, storage: Storage, open_storage: OpenStorage) -> None:
        await storage.close()
        again = await open_storage()
        assert again.install_id == storage.install_id
        assert len(again.install_id) >= 16

    async def test_description_names_the_database(self, storage: Storage) -> None:
        name, version = storage.description.split()
        assert name
        assert version[0].isdigit()
