"""The threads under a store, with a list for a connection."""

import asyncio
import threading

import pytest

from local_server.storage.threads import Workers


def workers(count: int = 1, closed: list[list[str]] | None = None) -> Workers[list[str]]:
    return Workers("test", count, list, (closed if closed is not None else []).append)


class TestRun:
    async def test_then_comes_on_the_loop_before_the_caller_goes_on(self) -> None:
        pool = workers()
        seen: list[tuple[str, int]] = []
        assert await pool.run(lambda _: "done", lambda result: seen.append((result, threading.get_ident()))) == "done"
        assert seen == [("done", threading.get_ident())]
        await pool.stop()

    async def test_work_whose_caller_left_before_it_began_never_begins(self) -> None:
        pool = workers()
        go_on = threading.Event()
        first = asyncio.create_task(pool.run(lambda connection: go_on.wait(10)))
        second = asyncio.create_task(pool.run(lambda connection: connection.append("second")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        go_on.set()
        assert await first
        assert await pool.run(lambda connection: list(connection)) == []
        await pool.stop()

    async def test_several_threads_work_at_once(self) -> None:
        pool = workers(2)
        meeting = threading.Barrier(2)
        await asyncio.gather(*(pool.run(lambda _: meeting.wait(10)) for _ in range(2)))
        await pool.stop()


class TestStop:
    async def test_finishes_the_queue_and_closes_each_connection_once(self) -> None:
        closed: list[list[str]] = []
        pool = workers(1, closed)
        tasks = [
            asyncio.create_task(pool.run(lambda connection, text=str(number): connection.append(text)))
            for number in range(3)
        ]
        await asyncio.sleep(0)
        await asyncio.gather(pool.stop(), pool.stop())
        await asyncio.gather(*tasks)
        assert closed == [["0", "1", "2"]]
        with pytest.raises(RuntimeError, match="closed"):
            await pool.run(len)

    async def test_a_connection_that_cannot_be_opened_is_told_and_can_be_stopped(self) -> None:
        def refuse() -> list[str]:
            raise PermissionError("no")

        pool = Workers("test", 2, refuse, lambda _: None)
        with pytest.raises(PermissionError):
            await pool.ready()
        await pool.stop()

    def test_a_loop_that_ended_meanwhile_does_not_end_the_thread(self, caplog: pytest.LogCaptureFixture) -> None:
        go_on = threading.Event()

        async def leave() -> Workers[list[str]]:
            pool = workers()
            task = asyncio.create_task(pool.run(lambda _: go_on.wait(10)))
            await asyncio.sleep(0)
            task.cancel()
            return pool

        async def come_back(pool: Workers[list[str]]) -> str:
            result = await pool.run(lambda _: "alive")
            await pool.stop()
            return result

        pool = asyncio.run(leave())
        go_on.set()
        assert asyncio.run(come_back(pool)) == "alive"
