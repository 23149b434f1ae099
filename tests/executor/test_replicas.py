"""APIs that run several times, on the fake engine: how they start, change, lose one and come back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.deployments import Outcome, State
from local_server.executor.fleet import Move
from local_server.executor.replicas import LONGEST_PAUSE_S, Patience
from local_server.gateway.hosts import SERVER
from tests.executor.fake_engine import FakeSandbox
from tests.executor.world import MANIFEST, PACE, World, until


def manifest(replicas: int, more: str = "") -> str:
    return f"{MANIFEST}replicas = {replicas}\n{more}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Three replicas, all of which serve."""
    project = tmp_path / "weather"
    project.mkdir()
    (project / "apimarket.toml").write_text(manifest(3))
    (project / "main.py").write_text("app = None\n")
    (project / "answer.txt").write_text("one")
    world = World(tmp_path / "home", project)
    await world.open()
    await world.register()
    await until(lambda: serving(world) == (3, 3))
    yield world
    await world.close()
    await world.power_off()


def serving(world: World) -> tuple[int, int]:
    return world.status.replicas, world.status.replicas_wanted


def alive(world: World) -> list[FakeSandbox]:
    """The sandboxes that there are, by replica."""
    found = (sandbox for sandbox in world.engine.sandboxes if sandbox.exit is None)
    return sorted(found, key=lambda sandbox: sandbox.replica)


def ways(world: World) -> set[tuple[str, int]]:
    """Where the gateway leads."""
    entry, _ = world.gateway.routing.find(SERVER, f"/{world.api.full_name}/".encode())
    return set(entry.lane.addresses) if entry is not None and entry.lane is not None else set()


def listening(world: World) -> set[tuple[str, int]]:
    number = world.status.serving
    assert number is not None
    return {("127.0.0.1", sandbox.agent.ready[number][1]) for sandbox in alive(world) if number in sandbox.agent.ready}


class TestStart:
    async def test_each_runs_in_a_sandbox_of_its_own_and_the_gateway_leads_to_all(self, world: World) -> None:
        assert [sandbox.replica for sandbox in alive(world)] == [1, 2, 3]
        assert ways(world) == listening(world)
        assert len(ways(world)) == 3

    async def test_the_first_that_is_ready_serves_at_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        await world.executor.stop(world.api)
        start = world.engine.start
        may_start = asyncio.Event()

        async def first_alone(spec: Any) -> Any:
            if spec.replica > 1:
                await may_start.wait()
            return await start(spec)

        monkeypatch.setattr(world.engine, "start", first_alone)
        await world.executor.deploy(world.api)
        await world.until_answer("one")
        assert (serving(world), world.status.state) == ((1, 3), State.RUNNING)
        may_start.set()
        await until(lambda: serving(world) == (3, 3))
        assert len(ways(world)) == 3

    async def test_one_that_does_not_start_is_told_and_tried_again(self, world: World) -> None:
        await world.executor.stop(world.api)
        start, refused = world.engine.start, list[Any]()

        async def second_fails(spec: Any) -> Any:
            if spec.replica == 2 and len(refused) < 3:
                refused.append(spec)
                raise RuntimeError("no room")
            return await start(spec)

        world.engine.start = second_fails  # type: ignore[method-assign]
        await world.executor.deploy(world.api)
        await until(lambda: serving(world) == (3, 3))
        assert "no room" in world.log()
        assert not world.error

    async def test_lines_say_which_of_them_wrote(self, world: World) -> None:
        world.save("two", prints="hello")
        await world.until_answer("two")
        lines = await until(lambda: [line for line in world.executor.log(world.api).tail(100) if line.text == "hello"])
        assert sorted(line.replica for line in lines) == [1, 2, 3]

    async def test_memory_and_processor_time_are_those_of_all(self, world: World) -> None:
        usage = await world.executor.usage(world.api.id)
        assert usage is not None
        assert usage.memory_bytes == 3 << 20
        assert world.executor.memory_mb() == {"weather": 3 * 512}


class TestSave:
    async def test_the_traffic_moves_once_all_are_ready(self, world: World) -> None:
        late = alive(world)[2].agent
        start, may_start = late._start, asyncio.Event()

        async def wait(message: Any) -> None:
            await may_start.wait()
            await start(message)

        late._start = wait  # type: ignore[method-assign]
        before = ways(world)
        world.save("two")
        await until(lambda: all(2 in sandbox.agent.ready for sandbox in alive(world)[:2]))
        assert ways(world) == before
        may_start.set()
        await world.until_answer("two")
        assert serving(world) == (3, 3)
        assert len(alive(world)) == 3
        async with asyncio.timeout(10):
            while await world.outcomes() != [Outcome.SERVING, Outcome.DRAINED]:
                await asyncio.sleep(0.02)

    async def test_broken_code_leaves_all_of_the_old_ones(self, world: World) -> None:
        before = ways(world)
        world.save("two", syntax_error="SyntaxError: invalid syntax")
        await until(lambda: "SyntaxError" in world.error)
        assert (ways(world), serving(world)) == (before, (3, 3))

    async def test_where_one_does_not_become_ready_none_of_them_stays(self, world: World) -> None:
        agent = alive(world)[1].agent

        async def refuse(message: Any) -> None:
            await agent.mailbox.put({"t": "failed", "gen": message["gen"], "kind": "exit", "message": "no database"})

        agent._start = refuse  # type: ignore[method-assign]
        before = ways(world)
        world.save("two")
        await until(lambda: "no database" in world.error)
        assert ways(world) == before
        await until(lambda: all(set(sandbox.agent.ready) == {1} for sandbox in alive(world)))

    async def test_the_latest_of_many_wins(self, world: World) -> None:
        for number in range(15):
            world.save(f"save {number}")
            await asyncio.sleep(0.02)
        await world.until_answer("save 14")
        await until(lambda: ways(world) == listening(world) and serving(world) == (3, 3))
        assert len(alive(world)) == 3

    async def test_the_generation_before_comes_back_whole(self, world: World) -> None:
        before = ways(world)
        world.save("two")
        await world.until_answer("two")
        await world.executor.undo(world.api)
        await world.until_answer("one")
        assert (ways(world), serving(world)) == (before, (3, 3))

    async def test_other_dependencies_bring_other_sandboxes_for_all(self, world: World) -> None:
        world.save("two", **{"requirements.txt": "quick"})
        await until(lambda: len(world.engine.installed) == 2)
        key = world.engine.installed[1]
        await until(lambda: {sandbox.layer_key for sandbox in alive(world)} == {key})
        await until(lambda: serving(world) == (3, 3))
        assert [sandbox.replica for sandbox in alive(world)] == [1, 2, 3]
        assert await world.answer() == "two"


class TestNumber:
    async def test_fewer_end_the_others_after_their_requests(self, world: World) -> None:
        (world.project / "apimarket.toml").write_text(manifest(1))
        await until(lambda: serving(world) == (1, 1))
        await until(lambda: [sandbox.replica for sandbox in alive(world)] == [1])
        assert await world.answer() == "one"
        assert len(ways(world)) == 1

    async def test_more_start_beside_what_serves(self, world: World) -> None:
        (world.project / "apimarket.toml").write_text(manifest(5))
        await until(lambda: serving(world) == (5, 5))
        assert [sandbox.replica for sandbox in alive(world)] == [1, 2, 3, 4, 5]
        assert len(ways(world)) == 5

    async def test_one_becomes_several_and_its_lines_are_marked_from_then_on(self, world: World) -> None:
        (world.project / "apimarket.toml").write_text(manifest(1))
        await until(lambda: serving(world) == (1, 1))
        world.save("two", prints="alone")
        await world.until_answer("two")
        (world.project / "prints").write_text("among others")
        (world.project / "apimarket.toml").write_text(manifest(2))
        await until(lambda: serving(world) == (2, 2))
        world.save("three")
        await world.until_answer("three")
        lines = world.executor.log(world.api).tail(1000)
        assert {line.replica for line in lines if line.text == "alone"} == {0}
        assert {line.replica for line in lines if line.text == "among others"} >= {1, 2}

    async def test_too_many_are_refused_and_the_old_serve_on(self, world: World) -> None:
        (world.project / "apimarket.toml").write_text(manifest(9))
        await until(lambda: "from 1 to 8" in world.error)
        assert serving(world) == (3, 3)


class TestLoss:
    async def test_one_that_ends_is_started_again_while_the_others_serve(self, world: World) -> None:
        number = world.status.serving
        assert number is not None
        await alive(world)[1].agent.crash(number)
        await until(lambda: serving(world) == (2, 3))
        assert world.status.state is State.RUNNING
        await until(lambda: serving(world) == (3, 3))
        assert world.status.serving == number
        assert ways(world) == listening(world)
        assert "The program ended with exit code 1 · 2 of 3 serve" in world.log()
        assert "⟳ ready · 3 of 3 serve" in world.log()

    async def test_the_first_one_is_no_exception(self, world: World) -> None:
        await alive(world)[0].agent.crash(world.status.serving or 0)
        await until(lambda: serving(world) == (2, 3))
        await until(lambda: serving(world) == (3, 3))
        assert await world.answer() == "one"

    async def test_a_vanished_sandbox_is_replaced(self, world: World) -> None:
        gone = alive(world)[0]
        await gone.vanish()
        await until(lambda: [sandbox.replica for sandbox in alive(world)] == [1, 2, 3])
        await until(lambda: serving(world) == (3, 3) and ways(world) == listening(world))
        assert gone not in alive(world)

    async def test_a_save_while_one_is_missing_brings_all(self, world: World) -> None:
        start = world.engine.start

        async def refuse(spec: Any) -> Any:
            if world.status.serving == 1:
                raise RuntimeError("no room")
            return await start(spec)

        world.engine.start = refuse  # type: ignore[method-assign]
        await alive(world)[0].vanish()
        await until(lambda: "no room" in world.log())
        world.engine.start = start  # type: ignore[method-assign]
        world.save("two")
        await world.until_answer("two")
        assert serving(world) == (3, 3)

    async def test_when_all_end_it_has_crashed_and_comes_back(self, world: World) -> None:
        for sandbox in alive(world):
            await sandbox.vanish()
        await until(lambda: (world.status.serving or 0) > 1)
        await until(lambda: serving(world) == (3, 3))
        assert await world.answer() == "one"
        assert [sandbox.replica for sandbox in alive(world)] == [1, 2, 3]

    async def test_stopping_while_one_comes_back_ends_all(self, world: World) -> None:
        await alive(world)[1].vanish()
        await world.executor.stop(world.api)
        assert not world.machine.agents
        assert world.status.replicas == 0


class TestNextServer:
    async def test_all_are_taken_over_as_they_are(self, world: World) -> None:
        before, agents, led = world.status.serving, set(world.machine.agents), ways(world)
        await world.close()
        await world.open()
        await until(lambda: serving(world) == (3, 3))
        assert (world.status.serving, set(world.machine.agents), ways(world)) == (before, agents, led)
        world.save("two")
        await world.until_answer("two")
        assert len(alive(world)) == 3

    async def test_one_that_ended_meanwhile_is_started_again(self, world: World) -> None:
        before = world.status.serving
        gone = alive(world)[1]
        await world.close()
        await world.machine.agents.pop(gone.id).end_all()
        await world.open()
        await until(lambda: serving(world) == (3, 3))
        assert world.status.serving == before
        assert [sandbox.replica for sandbox in alive(world)] == [1, 2, 3]
        assert ways(world) == listening(world)

    async def test_those_that_are_not_wanted_any_more_end(self, world: World) -> None:
        await world.close()
        (world.project / "apimarket.toml").write_text(manifest(1))
        await world.open()
        await until(lambda: serving(world) == (1, 1))
        await until(lambda: len(world.machine.agents) == 1)


class TestPatience:
    def test_it_grows_to_a_bound_and_is_forgotten_by_one_that_lasted(self) -> None:
        one = Patience()
        assert one.pause_s(PACE) == 0
        pauses = []
        for _ in range(20):
            one.fell(PACE, 0.0)
            pauses.append(one.pause_s(PACE))
        assert pauses[:2] == list(PACE.crash_backoff_s)
        assert pauses == sorted(pauses)
        assert pauses[-1] == LONGEST_PAUSE_S
        one.ready_at = 0.0
        one.fell(PACE, PACE.crash_window_s + 1)
        assert one.pause_s(PACE) == PACE.crash_backoff_s[0]


class TestVersion:
    async def test_one_runs_as_many_as_its_own_files_say(self, world: World) -> None:
        await world.executor.deploy_version(world.api, "1.0.0", Move("1.0.0"))
        fleet = await world.executor.versions.fleet(world.api)
        runner = await fleet.runner("1.0.0")
        await until(lambda: runner.live is not None and not runner.live.missing)
        (world.project / "apimarket.toml").write_text(manifest(1))
        await until(lambda: serving(world) == (1, 1))
        assert runner.live is not None
        assert len(runner.live.replicas) == 3
        kinds = sorted((sandbox.version, sandbox.replica) for sandbox in alive(world) if sandbox.version)
        assert kinds == [("1.0.0", 1), ("1.0.0", 2), ("1.0.0", 3)]
