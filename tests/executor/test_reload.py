"""Runners against the fake engine: what each save, crash and absence comes to, without a process or a container."""

import asyncio
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.deployments import DesiredState, Outcome, State
from local_server.domain.executor_errors import EngineUnavailable
from local_server.executor import snapshot
from local_server.storage.blobs import BlobStore
from tests.executor.fake_engine import FakeSandbox
from tests.executor.world import MANIFEST, PACE, World, until


class TestSave:
    async def test_new_code_takes_the_traffic_over(self, world: World) -> None:
        world.save("two")
        await world.until_answer("two")
        async with asyncio.timeout(10):
            while await world.outcomes() != [Outcome.SERVING, Outcome.DRAINED]:
                await asyncio.sleep(0.02)

    async def test_the_same_again_is_no_generation(self, world: World) -> None:
        for _ in range(3):
            world.save("one")
            await asyncio.sleep(PACE.scan_s * 1.5)
        assert len(await world.generations()) == 1

    async def test_broken_code_is_told_and_the_old_serves_on_until_it_is_mended(self, world: World) -> None:
        world.save("two", syntax_error="SyntaxError: invalid syntax")
        await until(lambda: "SyntaxError" in world.error)
        assert world.status.state is State.RUNNING
        assert await world.answer() == "one"
        world.save("one")
        world.remove("syntax-error")
        await until(lambda: not world.error)
        assert await world.answer() == "one"

    async def test_the_latest_of_many_wins(self, world: World) -> None:
        for number in range(30):
            world.save(f"save {number}")
            await asyncio.sleep(0.02)
        await world.until_answer("save 29")
        await asyncio.sleep(PACE.scan_s)
        assert await world.answer() == "save 29"
        newest = (await world.generations())[0]
        assert newest.number == world.status.serving

    async def test_a_quick_save_supersedes_one_that_never_becomes_ready(self, world: World) -> None:
        world.save("slow", never_ready="")
        await until(lambda: world.status.newest and world.status.newest.outcome is Outcome.STARTING)
        slow = world.status.newest
        assert slow is not None
        world.remove("never-ready")
        world.save("quick")
        await world.until_answer("quick")
        async with asyncio.timeout(30):  # it is written down once it has ended
            while (await world.generations())[1].outcome is not Outcome.SUPERSEDED:
                await asyncio.sleep(0.01)
        assert slow.number not in world.sandbox.agent.starting

    async def test_a_restart_while_dependencies_are_installed_waits_for_the_same_installation(
        self, world: World
    ) -> None:
        world.save("two", **{"requirements.txt": "slow"})
        await world.until_answer("two")  # on the old layer
        await world.executor.restart(world.api)
        await asyncio.sleep(0.1)
        assert await world.answer() == "two"
        world.save("three", **{"requirements.txt": "quick"})
        await world.until_answer("three")
        await until(lambda: len(world.engine.installed) == 2)

    async def test_a_stop_while_dependencies_are_installed_ends_at_once(self, world: World) -> None:
        world.save("two", **{"requirements.txt": "slow"})
        await world.until_answer("two")
        async with asyncio.timeout(3):
            await world.executor.stop(world.api)
        assert world.status.state is State.STOPPED
        assert not world.machine.agents

    async def test_a_directory_that_was_deleted_and_made_again_is_still_watched(self, world: World) -> None:
        lib = world.project / "lib"
        lib.mkdir()
        (lib / "a.txt").write_text("1")
        await until(lambda: world.status.serving == 2)
        shutil.rmtree(lib)
        lib.mkdir()
        (lib / "a.txt").write_text("2")
        await until(lambda: (world.status.serving or 0) > 2)


class TestUndo:
    async def test_the_state_before_serves_until_the_next_save(self, world: World) -> None:
        world.save("two")
        await world.until_answer("two")
        assert await world.executor.undo(world.api) is not None
        await world.until_answer("one")
        await asyncio.sleep(PACE.scan_s * 1.5)
        assert await world.answer() == "one"
        world.save("three")
        await world.until_answer("three")

    async def test_saving_the_undone_state_again_after_another_serves_it(self, world: World) -> None:
        world.save("two")
        await world.until_answer("two")
        await world.executor.undo(world.api)
        await world.until_answer("one")
        world.save("three")
        await world.until_answer("three")
        world.save("two")
        await world.until_answer("two")

    async def test_after_a_restart_it_goes_back_to_other_code_not_to_another_process(self, world: World) -> None:
        world.save("two")
        await world.until_answer("two")
        await world.executor.restart(world.api)
        await until(lambda: world.status.serving == 3)
        await world.executor.undo(world.api)
        await world.until_answer("one")

    async def test_the_state_before_comes_with_its_own_manifest(self, world: World) -> None:
        (world.project / "apimarket.toml").write_text(MANIFEST + "memory_mb = 256\n")
        world.save("two")
        await world.until_answer("two")
        await until(lambda: world.sandbox.agent.spec.memory_mb == 256 and world.status.state is State.RUNNING)
        await asyncio.sleep(PACE.warm_s * 3)  # the generation before is not warm any more
        await world.executor.undo(world.api)
        await world.until_answer("one")
        assert world.sandbox.agent.spec.memory_mb == 512

    async def test_nothing_before_is_nothing_to_undo(self, world: World) -> None:
        assert await world.executor.undo(world.api) is None


class TestManifest:
    async def test_mistakes_are_told_with_lines_and_the_old_serves_on_until_they_are_corrected(
        self, world: World
    ) -> None:
        (world.project / "apimarket.toml").write_text(MANIFEST + "memory_mb = -3\ncpu = 2\n")
        await until(lambda: "memory_mb" in world.error)
        assert "line 6" in world.error
        assert "line 7" in world.error
        assert await world.answer() == "one"
        (world.project / "apimarket.toml").write_text(MANIFEST)
        await until(lambda: not world.error)
        assert len(await world.generations()) == 1

    async def test_a_start_under_way_does_not_hide_them(self, world: World) -> None:
        world.save("slow", never_ready="")
        await until(lambda: world.sandbox.agent.starting)
        (number,) = world.sandbox.agent.starting
        (world.project / "apimarket.toml").write_text(MANIFEST + "cpu = 2\n")
        await until(lambda: "cpu" in world.error)
        # The slow one becomes ready after all.
        agent = world.sandbox.agent
        (agent_tree,) = (world.home / "apis" / world.api.id / "trees").glob(f"{number}-*")
        shutil.rmtree(agent_tree, ignore_errors=True)
        agent_tree.mkdir()
        (agent_tree / "answer.txt").write_text("slow")
        agent.starting.discard(number)
        await agent.hear({"t": "start", "gen": number, "dir": str(agent_tree), "port": 0})
        await world.until_answer("slow")
        assert "cpu" in world.error

    async def test_one_that_was_broken_when_the_server_came_up_leaves_the_last_good_state_serving(
        self, world: World
    ) -> None:
        await world.close()
        await world.power_off()
        (world.project / "apimarket.toml").write_text("nonsense")
        await world.open()
        await world.until_answer("one")
        assert "apimarket.toml has" in world.error
        assert world.status.state is State.RUNNING


class TestDirectory:
    async def test_one_that_cannot_be_read_is_told_and_the_old_serves_on(self, world: World) -> None:
        (world.project / "out").symlink_to("/etc/hostname")
        await until(lambda: "leads out of it" in world.error)
        assert await world.answer() == "one"
        (world.project / "out").unlink()
        await until(lambda: not world.error)
        assert len(await world.generations()) == 1

    async def test_one_that_vanishes_and_comes_back_is_seen_again(self, world: World) -> None:
        aside = world.project.with_name("aside")
        world.project.rename(aside)
        await until(lambda: "does not exist any more" in world.error)
        assert await world.answer() == "one"
        aside.rename(world.project)
        await until(lambda: not world.error)
        world.save("two")
        await world.until_answer("two")

    async def test_a_file_that_turns_into_something_else_under_the_reading_does_no_harm(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = BlobStore.put_file
        turned: list[Path] = []

        def put_file(self: BlobStore, path: Path) -> tuple[str, int]:
            if path.name == "answer.txt" and not turned:
                turned.append(path)
                os.unlink(path)
                os.mkdir(path)
            return real(self, path)

        monkeypatch.setattr(BlobStore, "put_file", put_file)
        world.save("two")
        await until(lambda: turned)
        await asyncio.sleep(PACE.scan_s)
        os.rmdir(world.project / "answer.txt")
        world.save("three")
        await world.until_answer("three")

    async def test_an_error_nobody_thought_of_does_not_end_the_looking(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = BlobStore.put_file
        raised: list[Path] = []

        def put_file(self: BlobStore, path: Path) -> tuple[str, int]:
            if not raised:
                raised.append(path)
                raise ValueError("who would have thought")
            return real(self, path)

        monkeypatch.setattr(BlobStore, "put_file", put_file)
        world.save("two")
        await world.until_answer("two")
        assert "who would have thought" in world.log()
        assert not world.error


class TestCrash:
    async def test_the_program_starts_again(self, world: World) -> None:
        number = await world.crash()
        await until(lambda: world.status.serving)
        assert world.status.serving == number + 1
        assert await world.answer() == "one"

    async def test_a_vanished_sandbox_is_replaced(self, world: World) -> None:
        gone = world.sandbox
        await gone.vanish()
        await until(lambda: world.sandbox is not gone and world.status.serving)
        assert await world.answer() == "one"

    async def test_out_of_memory_is_told_as_that(self, world: World) -> None:
        agent = world.sandbox.agent
        number = await until(lambda: world.status.serving)
        await agent.ready.pop(number)[0].end()
        message = {"t": "exited", "gen": number, "code": None, "signal": 9, "out_of_memory": True}
        await agent.mailbox.put(message)
        await until(lambda: "Out of memory" in world.log())
        await until(lambda: world.status.serving == number + 1)

    async def test_three_in_a_row_bring_the_last_good_state_back_and_say_so(self, world: World) -> None:
        world.save("bad")
        await world.until_answer("bad")
        for _ in range(3):
            await world.crash()
        await world.until_answer("one")
        assert "crashed 3 times within 10 s" in world.error
        assert world.status.state is State.RUNNING
        assert "the code of g1 serves instead" in world.log()
        world.save("good")
        await world.until_answer("good")
        assert not world.error

    async def test_three_in_a_row_with_nothing_before_fail_with_the_reason(self, world: World) -> None:
        for _ in range(3):
            await world.crash()
        await until(lambda: world.status.state is State.FAILED)
        assert "crashed 3 times within 10 s" in world.error
        await world.executor.deploy(world.api)  # asking for it again tries again
        await world.until_answer("one")
        assert not world.error

    async def test_one_that_does_not_come_up_again_counts_as_another(self, world: World) -> None:
        world.save("bad")
        await world.until_answer("bad")
        agent = world.sandbox.agent
        start, tries = agent._start, []

        async def refuse(message: Any) -> None:
            if (Path(message["dir"]) / "answer.txt").read_text() != "bad":
                await start(message)
                return
            tries.append(message["gen"])
            await agent.mailbox.put({"t": "failed", "gen": message["gen"], "kind": "exit", "message": "no database"})

        agent._start = refuse  # type: ignore[method-assign]
        await world.crash()
        await world.until_answer("one")
        assert len(tries) == 2
        assert "crashed 3 times within 10 s: no database" in world.error

    async def test_the_error_of_the_newest_save_survives_a_crash_of_the_old_code(self, world: World) -> None:
        world.save("two", syntax_error="SyntaxError: invalid syntax")
        await until(lambda: "SyntaxError" in world.error)
        await world.crash()
        await world.until_answer("one")
        assert "SyntaxError" in world.error

    async def test_while_dependencies_are_installed_it_is_mended_at_once(self, world: World) -> None:
        world.save("two", **{"requirements.txt": "slow"})
        await world.until_answer("two")
        await world.crash()
        await world.until_answer("two")
        world.save("three", **{"requirements.txt": "quick"})
        await world.until_answer("three")

    async def test_one_that_ends_between_its_first_answer_and_the_swap_never_serves(self, world: World) -> None:
        agent = world.sandbox.agent
        start = agent._start

        async def start_and_end(message: Any) -> None:
            await start(message)
            if message["gen"] in agent.ready and (Path(message["dir"]) / "answer.txt").read_text() == "brief":
                await agent.crash(message["gen"])

        agent._start = start_and_end  # type: ignore[method-assign]
        world.save("brief")
        await until(lambda: "exit code 1" in world.error)
        assert await world.answer() == "one"


class TestChannel:
    async def test_a_second_hello_loses_no_start_under_way(self, world: World) -> None:
        world.save("slow", never_ready="")
        await until(lambda: world.sandbox.agent.starting)
        await world.sandbox.agent.hello()
        await asyncio.sleep(0.1)
        assert not world.error
        assert world.sandbox.agent.starting

    async def test_a_sandbox_restarted_from_outside_serves_again(self, world: World) -> None:
        await world.sandbox.kill()
        await until(lambda: world.status.serving == 2)
        assert await world.answer() == "one"


class TestEngine:
    async def test_away_at_the_start_it_is_told_and_heals(self, world: World) -> None:
        await world.executor.stop(world.api)
        world.engine.away = True
        await world.executor.deploy(world.api)
        await until(lambda: world.status.state is State.FAILED)
        assert "The fake engine does not answer: it is away" in world.error
        world.engine.away = False
        await world.until_answer("one")
        assert not world.error

    async def test_away_during_a_save_the_old_serves_on_and_the_new_comes_when_it_is_back(self, world: World) -> None:
        world.engine.away = True
        (world.project / "apimarket.toml").write_text(MANIFEST + "memory_mb = 256\n")
        world.save("two")
        await until(lambda: "does not answer" in world.error)
        assert await world.answer() in ("one", "two")
        world.engine.away = False
        await until(lambda: not world.error)
        await world.until_answer("two")

    async def test_what_could_not_be_ended_is_ended_when_it_is_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = FakeSandbox.stop

        async def stop(self: FakeSandbox, grace_s: float = 10.0) -> None:
            if world.engine.away:
                raise EngineUnavailable("fake", "it is away")
            await real(self, grace_s)

        monkeypatch.setattr(FakeSandbox, "stop", stop)
        world.engine.away = True
        await world.executor.remove(world.api)
        assert world.machine.agents
        world.engine.away = False
        await until(lambda: not world.machine.agents)


class TestNextServer:
    async def test_what_runs_is_taken_over_without_a_new_generation(self, world: World) -> None:
        world.save("two")
        await world.until_answer("two")
        before, agents = world.status.serving, set(world.machine.agents)
        await world.close()
        await world.open()
        await world.until_answer("two")
        assert world.status.serving == before
        assert set(world.machine.agents) == agents
        world.save("three")
        await world.until_answer("three")

    async def test_broken_code_that_was_saved_meanwhile_leaves_the_last_good_state_serving(self, world: World) -> None:
        await world.close()
        await world.power_off()
        world.save("two", syntax_error="SyntaxError: invalid syntax")
        await world.open()
        await world.until_answer("one")
        assert "SyntaxError" in world.error
        world.remove("syntax-error")
        await world.until_answer("two")
        assert not world.error

    async def test_what_was_stopped_stays_stopped(self, world: World) -> None:
        await world.executor.stop(world.api)
        await world.close()
        await world.open()
        await asyncio.sleep(PACE.scan_s)
        assert world.status.state is State.STOPPED
        assert world.status.desired is DesiredState.STOPPED


class TestDisk:
    async def test_full_the_old_serves_on_and_the_new_comes_when_there_is_room(self, world: World) -> None:
        world.blobs.full = True
        world.save("two")
        await until(lambda: "no room left" in world.error)
        assert await world.answer() == "one"
        world.blobs.full = False
        await world.until_answer("two")
        assert not world.error

    async def test_full_while_the_tree_is_laid_out_it_is_told_and_tried_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full = True
        real = snapshot._link

        def link(blob: Path, place: Path) -> None:
            if full:
                raise OSError(errno.ENOSPC, "No space left on device", str(place))
            real(blob, place)

        monkeypatch.setattr(snapshot, "_link", link)
        world.save("two")
        await until(lambda: "no room left" in world.error)
        assert await world.answer() == "one"
        await until(lambda: not list(world.home.glob("apis/*/trees/*.tmp*")))  # it tries again meanwhile
        full = False
        await world.until_answer("two")
