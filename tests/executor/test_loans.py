"""A generation that does not serve is lent: warm, or started again beside what serves, and ended after."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from local_server.domain.deployments import State
from local_server.domain.exchange_errors import GenerationNotFound, GenerationNotStarted
from local_server.domain.executor_errors import DependenciesFailed
from local_server.domain.gateway_errors import ApiUnavailable
from local_server.executor import loans
from local_server.gateway.lane import Lane
from tests.executor import world as worlds
from tests.executor.world import PACE, World, until

LENT_S = 0.3


WARM_S = 0.4


@pytest.fixture(autouse=True)
def _briefly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    warm_s = WARM_S if request.cls is TestWarm else 0.0
    monkeypatch.setattr(worlds, "PACE", replace(PACE, warm_s=warm_s, lent_s=LENT_S))


@pytest.fixture
async def aged(world: World) -> World:
    """`one` and `two` have ended; `three` serves."""
    for text in ("two", "three"):
        world.save(text)
        await world.until_answer(text)
    await until(lambda: running(world) == [3])
    return world


def running(world: World) -> list[int]:
    """The generations that have processes, in every sandbox."""
    agents = world.machine.agents.values()
    return sorted(number for agent in agents for number in {*agent.ready, *agent.starting})


async def said(lane: object) -> str:
    """What answers on a lane."""
    assert isinstance(lane, Lane)
    reader, writer = await asyncio.open_connection(*lane.address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    answer = (await reader.read(5)).decode()
    writer.close()
    return answer


class TestWhatServes:
    async def test_its_own_lane_is_lent(self, aged: World) -> None:
        async with aged.executor.borrow(aged.api, 3) as lane:
            assert await said(lane) == "three"
        assert await aged.answer() == "three"
        assert running(aged) == [3]


class TestWarm:
    async def test_it_is_kept_from_ending_while_it_is_lent(self, world: World) -> None:
        world.save("two")
        await world.until_answer("two")
        async with world.executor.borrow(world.api, 1) as lane:
            await asyncio.sleep(WARM_S * 1.5)
            assert await said(lane) == "one"
        await until(lambda: running(world) == [2])
        assert await world.answer() == "two"

    async def test_one_that_is_being_ended_is_waited_for(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.save("two")
        await world.until_answer("two")
        agent, may_end = world.sandbox.agent, asyncio.Event()
        stop = agent._stop

        async def slowly(gen: int) -> None:
            await may_end.wait()
            await stop(gen)

        monkeypatch.setattr(agent, "_stop", slowly)
        runner = world.executor._runner(world.api)
        await until(lambda: runner._line.warm(1) is None)
        assert running(world) == [1, 2]

        async def use() -> str:
            async with world.executor.borrow(world.api, 1) as lane:
                return await said(lane)

        task = asyncio.create_task(use())
        await asyncio.sleep(0.1)
        may_end.set()
        assert await task == "one"


class TestEnded:
    async def test_it_is_started_beside_what_serves_and_ended_after(self, aged: World) -> None:
        async with aged.executor.borrow(aged.api, 1) as lane:
            assert await said(lane) == "one"
            assert await aged.answer() == "three"
            assert aged.status.serving == 3
            assert running(aged) == [1, 3]
        await until(lambda: running(aged) == [3])
        assert [generation.number for generation in await aged.generations()] == [3, 2, 1]

    async def test_it_stays_for_the_next_loan(self, aged: World) -> None:
        async with aged.executor.borrow(aged.api, 1) as first:
            pass
        assert running(aged) == [1, 3]
        async with aged.executor.borrow(aged.api, 1) as second:
            assert second is first
            await asyncio.sleep(LENT_S * 1.5)
            assert await said(second) == "one"

    async def test_one_runs_at_a_time(self, aged: World) -> None:
        async def use(number: int) -> None:
            async with aged.executor.borrow(aged.api, number):
                await asyncio.sleep(0.02)
                assert running(aged) == [number, 3]

        await asyncio.gather(*(use(number) for number in (1, 2, 1, 2)))

    async def test_saves_go_on_meanwhile_and_leave_it_its_files(self, aged: World) -> None:
        async with aged.executor.borrow(aged.api, 1) as lane:
            for number in range(8):
                aged.save(f"more {number}")
                await aged.until_answer(f"more {number}")
            assert await said(lane) == "one"

    async def test_its_crash_leaves_what_serves_alone(self, aged: World) -> None:
        async with aged.executor.borrow(aged.api, 1):
            await aged.sandbox.agent.crash(1)
            assert aged.status.state is State.RUNNING
        async with aged.executor.borrow(aged.api, 1) as again:
            assert await said(again) == "one"
        assert aged.status.serving == 3

    async def test_other_dependencies_get_a_sandbox_of_their_own(self, aged: World) -> None:
        aged.save("four", **{"requirements.txt": "ham==1"})
        await aged.until_answer("four")
        # On the old dependencies first; when their sandbox has ended, on its own.
        await until(lambda: len(aged.machine.agents) == 1)
        serving = aged.status.serving
        async with aged.executor.borrow(aged.api, 1) as lane:
            assert await said(lane) == "one"
            assert len(aged.machine.agents) == 2
            aged.save("five")
            await aged.until_answer("five")
            assert len(aged.machine.agents) == 2
        await until(lambda: len(aged.machine.agents) == 1)
        assert aged.status.serving == (serving or 0) + 1


class TestRefusals:
    async def test_an_unknown_generation(self, aged: World) -> None:
        with pytest.raises(GenerationNotFound, match="no generation 99"):
            async with aged.executor.borrow(aged.api, 99):
                pass

    async def test_one_that_never_started(self, world: World) -> None:
        world.save("two", syntax_error="SyntaxError: oops")
        await until(lambda: "oops" in world.error)
        with pytest.raises(GenerationNotStarted, match="SyntaxError: oops"):
            async with world.executor.borrow(world.api, 2):
                pass
        assert running(world) == [1]

    async def test_one_whose_files_are_gone(self, aged: World) -> None:
        for blob in (path for path in aged.blobs.root.rglob("*") if path.is_file() and path.read_bytes() == b"one"):
            blob.unlink()
        for tree in (aged.home / "apis" / aged.api.id / "trees").glob("1-*"):
            tree.rename(tree.with_name("gone"))
        with pytest.raises(GenerationNotStarted, match="no longer kept"):
            async with aged.executor.borrow(aged.api, 1):
                pass

    async def test_one_whose_dependencies_cannot_be_installed(self, world: World) -> None:
        world.save("two", **{"requirements.txt": "nonesuch"})
        await until(lambda: "nonesuch" in world.error)
        world.remove("requirements.txt")
        world.save("three")
        await world.until_answer("three")
        await until(lambda: len(running(world)) == 1)
        with pytest.raises(DependenciesFailed):
            async with world.executor.borrow(world.api, 2):
                pass

    async def test_a_stopped_api_lends_nothing(self, aged: World) -> None:
        await aged.executor.stop(aged.api)
        with pytest.raises(ApiUnavailable, match="is not answering"):
            async with aged.executor.borrow(aged.api, 1):
                pass

    async def test_one_that_is_not_ready_in_time(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loans, "LONGEST_START_S", 0.1)
        world.save("two", never_ready="")
        await until(lambda: 2 in running(world))
        world.remove("never-ready")
        await world.until_answer("two")
        with pytest.raises(GenerationNotStarted, match=r"not ready within 0\.1 s"):
            async with world.executor.borrow(world.api, 2):
                pass
        await until(lambda: running(world) == [3])


class TestEnding:
    async def test_a_cancelled_start_leaves_nothing(self, world: World) -> None:
        world.save("two", never_ready="")
        await until(lambda: 2 in running(world))
        world.remove("never-ready")
        await world.until_answer("two")
        await until(lambda: running(world) == [3])

        async def use() -> None:
            async with world.executor.borrow(world.api, 2):
                pytest.fail("it never becomes ready")

        task = asyncio.create_task(use())
        await until(lambda: running(world) == [2, 3])
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await until(lambda: running(world) == [3])
        assert await world.answer() == "two"

    async def test_stopping_the_api_ends_a_start(self, world: World) -> None:
        world.save("two", never_ready="")
        await until(lambda: 2 in running(world))
        world.remove("never-ready")
        await world.until_answer("two")

        async def use() -> None:
            async with world.executor.borrow(world.api, 2):
                pytest.fail("it never becomes ready")

        task = asyncio.create_task(use())
        await until(lambda: 2 in running(world))
        await world.executor.stop(world.api)
        with pytest.raises(GenerationNotStarted, match="stopped before it was ready"):
            await task
        assert running(world) == []

    async def test_the_server_ends_without_it(self, aged: World, tmp_path: Path) -> None:
        """The sandbox runs on, as under Docker; the loan does not."""
        async with aged.executor.borrow(aged.api, 1):
            pass
        await aged.close()
        assert running(aged) == [3]
        await aged.open()
        await aged.until_answer("three")
