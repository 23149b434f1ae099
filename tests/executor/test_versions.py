"""Versions beside the directory, on the fake engine: what runs, what URLs lead to it, and what a restart comes to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local_server.domain.deployments import DesiredState, State
from local_server.domain.events import TrafficMoved, VersionChanged, VersionCreated
from local_server.domain.ids import Digest
from local_server.domain.manifest import Visibility
from local_server.domain.registry import Api
from local_server.domain.trees import Tree, TreeEntry
from local_server.domain.version_errors import (
    InvalidSemver,
    InvalidSunset,
    NothingToRollBack,
    OtherFiles,
    PublishedNotRun,
    VersionInTraffic,
    VersionNotFound,
    VersionTooLow,
)
from local_server.domain.versions import DEV, Pointer
from local_server.executor.fleet import Fleet, Move
from local_server.executor.reload import Runner
from local_server.executor.versions import Ending
from local_server.gateway.hosts import SERVER
from local_server.storage.base import Tx
from tests.executor.world import MANIFEST, World, until
from tests.storage.factories import ALICE, NOON, a_manifest, a_version, an_api


async def fleet(world: World) -> Fleet:
    return await world.executor.versions.fleet(world.api)


async def deploy(world: World, semver: str, *, weight: int = 100, channel: str | None = None) -> None:
    """Make a version of what serves, and wait until it has what it was made for."""
    await world.executor.deploy_version(world.api, semver, Move(semver, weight, channel))
    await settled(world)


async def settled(world: World) -> None:
    there = await fleet(world)
    await until(lambda: there.move is None)


async def save(world: World, answer: str) -> None:
    """A save, and what the directory makes of it."""
    world.save(answer)
    await until(lambda: world.status.serving is not None)
    async with asyncio.timeout(10):
        while await world.answer_at(DEV) != answer:
            await asyncio.sleep(0.005)


async def answers(world: World, *pins: str) -> dict[str, str]:
    return {pin: await world.answer_at(pin) for pin in pins}


def runner(there: Fleet, semver: str) -> Runner:
    return there.runners[semver]


class TestDeploy:
    async def test_a_version_takes_the_traffic_and_never_changes(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        assert await answers(world, "", "dev", "1.0.0", "1.0", "1", "latest") == {
            "": "one", "dev": "two", "1.0.0": "one", "1.0": "one", "1": "one", "latest": "one",
        }  # fmt: skip

    async def test_several_are_served_at_once(self, world: World) -> None:
        for semver, answer in (("1.0.0", "one"), ("1.1.0", "two"), ("2.0.0", "three")):
            await save(world, answer)
            await deploy(world, semver)
        await save(world, "four")
        assert await answers(world, "1.0.0", "1.1.0", "2.0.0", "1", "2", "latest", "", "dev") == {
            "1.0.0": "one", "1.1.0": "two", "2.0.0": "three", "1": "two", "2": "three", "latest": "three",
            "": "three", "dev": "four",
        }  # fmt: skip

    async def test_what_does_not_start_leaves_the_traffic_and_says_why(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await world.executor.stop(world.api)
        world.save("two", syntax_error="SyntaxError: invalid syntax")
        await world.executor.versions.run_traffic(world.api)
        await deploy(world, "1.1.0")
        there = await fleet(world)
        assert there.traffic.pointer == Pointer.to("1.0.0")
        record = runner(there, "1.1.0").record
        assert record.state is State.FAILED
        assert record.failure is not None
        assert (record.failure.message, record.failure.file, record.failure.line) == (
            "SyntaxError: invalid syntax", "main.py", 1
        )  # fmt: skip
        await until(lambda: runner(there, "1.0.0").live is not None)
        assert await answers(world, "", "1", "1.1.0", "latest") == {"": "one", "1": "one", "1.1.0": "", "latest": "one"}

    async def test_one_that_is_not_ready_yet_has_no_part_in_anything(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await world.executor.stop(world.api)
        await world.executor.versions.run_traffic(world.api)
        world.save("two", never_ready="")
        await world.executor.deploy_version(world.api, "1.1.0", Move("1.1.0"))
        there = await fleet(world)
        await until(lambda: runner(there, "1.0.0").live is not None)
        assert there.move == Move("1.1.0")
        assert await answers(world, "", "1", "latest") == {"": "one", "1": "one", "latest": "one"}

    async def test_the_same_files_again_are_the_same_version(self, world: World) -> None:
        for _ in range(3):
            await deploy(world, "1.0.0")
        assert len((await fleet(world)).versions) == 1
        assert len(world.engine.sandboxes) == 2  # the directory's, and the version's

    async def test_other_files_are_refused(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        with pytest.raises(OtherFiles, match=r"alice/weather 1\.0\.0 exists already and never changes") as refused:
            await deploy(world, "1.0.0")
        assert "--version 1.0.1" in refused.value.hint
        assert await world.answer_at("1.0.0") == "one"

    @pytest.mark.parametrize("semver", ["1.0.1", "1.1.0-rc.1", "0.9.9", "1.2.0-rc.1", "1.2.0+build"])
    async def test_numbers_do_not_go_backwards(self, world: World, semver: str) -> None:
        await deploy(world, "1.2.0")
        with pytest.raises(VersionTooLow, match=r"does not come after 1\.2\.0"):
            await deploy(world, semver)

    @pytest.mark.parametrize("semver", ["1", "v1.0.0", "", "1.0.0\n", "1.0", "../../x"])
    async def test_what_is_no_number_is_refused(self, world: World, semver: str) -> None:
        with pytest.raises(InvalidSemver, match="is no version"):
            await deploy(world, semver)
        assert not (await fleet(world)).versions

    async def test_a_pre_release_only_answers_to_its_name_and_its_channel(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "2.0.0-rc.1", weight=0, channel="beta")
        assert await answers(world, "", "2", "latest", "beta", "2.0.0-rc.1") == {
            "": "one", "2": "", "latest": "one", "beta": "two", "2.0.0-rc.1": "two",
        }  # fmt: skip

    async def test_has_its_own_manifest(self, world: World) -> None:
        await deploy(world, "1.0.0")
        (world.project / "apimarket.toml").write_text(MANIFEST + '[gateway]\nauth = "none"\n')
        await save(world, "two")
        entry = world.gateway.routing.lookup(world.api.id, "1.0.0")
        newest = world.gateway.routing.lookup(world.api.id)
        assert entry is not None
        assert newest is not None
        assert (entry.route.auth, newest.route.auth) == ("key", "none")


class TestCrashes:
    async def test_a_version_that_crashes_is_started_again(self, world: World) -> None:
        await deploy(world, "1.0.0")
        there = await fleet(world)
        for _ in range(2):
            number = runner(there, "1.0.0").live
            assert number is not None
            await world.sandbox.agent.crash(number.number)
            await until(lambda before=number: runner(there, "1.0.0").live not in (None, before))
        assert await world.answer() == "one"

    async def test_a_canary_that_is_gone_leaves_its_share_to_the_others(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0", weight=50)
        await world.executor.versions.known(world.api.id).runners["1.1.0"].stop()  # type: ignore[union-attr]
        assert {await world.answer_at("", b"%d" % caller) for caller in range(20)} == {"one"}


class TestTraffic:
    async def test_a_canary_has_its_share_of_the_callers_and_keeps_them(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0", weight=10)
        entry, _ = world.gateway.routing.find(SERVER, b"/alice/weather/")
        assert entry is not None
        callers = [b"key %d" % number for number in range(2000)]
        first = {caller: entry.of(caller).route.version for caller in callers}
        counted = Counter(first.values())
        assert 160 <= counted["1.1.0"] <= 240  # three standard deviations around 200
        assert {caller: entry.of(caller).route.version for caller in callers} == first
        await world.executor.versions.begin(world.api, Move("1.1.0", 30))
        grown, _ = world.gateway.routing.find(SERVER, b"/alice/weather/")
        assert grown is not None
        for caller in callers:
            if first[caller] == "1.1.0":
                assert grown.of(caller).route.version == "1.1.0"

    async def test_rollback_goes_back_one_move_and_starts_nothing(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0")
        running = len(world.engine.sandboxes)
        await world.executor.versions.roll_back(world.api, None)
        assert await world.answer() == "one"
        await world.executor.versions.roll_back(world.api, None)
        assert await world.answer() == "two"  # the directory
        with pytest.raises(NothingToRollBack):
            await world.executor.versions.roll_back(world.api, None)
        await world.executor.versions.roll_back(world.api, "1.1.0")
        assert (await fleet(world)).traffic.pointer == Pointer.to("1.1.0")
        assert len(world.engine.sandboxes) == running

    async def test_rollback_to_what_was_stopped_moves_once_it_is_ready(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0")
        await world.executor.versions.stop(world.api, "1.0.0")
        assert await answers(world, "", "1.0.0", "1.0") == {"": "two", "1.0.0": "", "1.0": ""}
        await world.executor.versions.roll_back(world.api, None)
        await settled(world)
        assert await answers(world, "", "1.0.0", "1.0") == {"": "one", "1.0.0": "one", "1.0": "one"}

    async def test_the_directory_is_a_target_like_any_other(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await world.executor.versions.begin(world.api, Move(DEV, 100))
        assert await world.answer() == "two"
        await world.executor.versions.begin(world.api, Move("1.0.0", 50))
        there = await fleet(world)
        assert there.traffic.pointer.shares == ((DEV, 50), ("1.0.0", 50))

    async def test_of_two_deploys_the_later_one_counts(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await world.executor.stop(world.api)
        world.save("two", never_ready="")
        await world.executor.deploy_version(world.api, "1.1.0", Move("1.1.0"))
        await world.executor.versions.begin(world.api, Move("1.0.0", 100))
        await settled(world)
        assert (await fleet(world)).traffic.pointer == Pointer.to("1.0.0")

    async def test_unknown_targets_are_refused(self, world: World) -> None:
        with pytest.raises(VersionNotFound, match="it has none at all"):
            await world.executor.versions.begin(world.api, Move("1.0.0"))
        await deploy(world, "1.0.0")
        for target in ("2.0.0", "latest", "1", "\ud800"):
            with pytest.raises(VersionNotFound, match=r"there are 1\.0\.0"):
                await world.executor.versions.begin(world.api, Move(target))


class TestStop:
    async def test_only_what_has_no_traffic(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0", weight=10)
        for semver, weight in (("1.0.0", 90), ("1.1.0", 10)):
            with pytest.raises(VersionInTraffic, match=f"{weight} %"):
                await world.executor.versions.stop(world.api, semver)
        await world.executor.versions.begin(world.api, Move("1.1.0"))
        await world.executor.versions.stop(world.api, "1.0.0")
        assert await answers(world, "1.0.0", "1.0", "1", "") == {"1.0.0": "", "1.0": "", "1": "two", "": "two"}

    async def test_of_the_api_stops_all_and_deploy_starts_what_has_the_traffic(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0")
        await world.executor.stop(world.api)
        assert await answers(world, "", "dev", "1.0.0", "1.1.0") == {"": "", "dev": "", "1.0.0": "", "1.1.0": ""}
        await world.executor.deploy(world.api)
        there = await fleet(world)
        await until(lambda: runner(there, "1.1.0").live is not None and world.status.serving is not None)
        assert await answers(world, "", "dev", "1.0.0") == {"": "two", "dev": "two", "1.0.0": ""}

    async def test_removing_the_api_ends_all(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await world.executor.remove(world.api)
        assert not world.machine.agents
        assert world.gateway.routing.find(SERVER, b"/alice/weather@1.0.0/")[0] is None


class TestRestart:
    async def test_versions_are_adopted_with_their_traffic(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0", weight=10, channel="beta")
        before = set(world.machine.agents)
        await world.close()
        await world.open()
        there = await fleet(world)
        await until(lambda: all(runner(there, semver).live for semver in ("1.0.0", "1.1.0")))
        await until(lambda: world.status.serving is not None)
        assert set(world.machine.agents) == before
        assert there.traffic.pointer.shares == (("1.0.0", 90), ("1.1.0", 10))
        assert await answers(world, "1.0.0", "1.1.0", "1", "beta", "dev") == {
            "1.0.0": "one", "1.1.0": "two", "1": "two", "beta": "two", "dev": "two",
        }  # fmt: skip

    async def test_after_a_power_cut_they_are_started_again(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0")
        await world.executor.versions.stop(world.api, "1.0.0")
        await world.close()
        await world.power_off()
        await world.open()
        there = await fleet(world)
        await until(lambda: runner(there, "1.1.0").live is not None)
        assert runner(there, "1.0.0").record.row.desired_state is DesiredState.STOPPED
        assert await answers(world, "", "1", "1.0.0") == {"": "two", "1": "two", "1.0.0": ""}


class TestEndings:
    async def test_a_notice_stands_in_the_headers(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0")
        sunset_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        there = await world.executor.versions.mark(world.api, "1.0.0", ending=Ending(True, sunset_at))
        entry = world.gateway.routing.lookup(world.api.id, "1.0.0")
        deprecated_at = there.versions["1.0.0"].deprecated_at
        assert entry is not None
        assert deprecated_at is not None
        assert dict(entry.headers) | {b"x-apimarket-generation": b""} == {
            b"x-apimarket-generation": b"",
            b"x-apimarket-version": b"1.0.0",
            b"deprecation": b"@%d" % int(deprecated_at.timestamp()),
            b"sunset": sunset_at.strftime("%a, %d %b %Y %H:%M:%S GMT").encode(),
            b"link": b'</alice/weather@1.1.0/>; rel="successor-version"',
        }
        await world.executor.versions.mark(world.api, "1.0.0", ending=Ending(False))
        entry = world.gateway.routing.lookup(world.api.id, "1.0.0")
        assert entry is not None
        assert [name for name, _ in entry.headers] == [b"x-apimarket-generation", b"x-apimarket-version"]

    async def test_an_end_in_the_past_is_refused(self, world: World) -> None:
        await deploy(world, "1.0.0")
        with pytest.raises(InvalidSunset, match="has passed"):
            await world.executor.versions.mark(
                world.api, "1.0.0", ending=Ending(True, datetime(2020, 1, 1, tzinfo=UTC))
            )

    async def test_a_yanked_version_is_no_ones_default(self, world: World) -> None:
        await deploy(world, "1.0.0")
        await save(world, "two")
        await deploy(world, "1.1.0", weight=0)
        assert await world.answer_at("1") == "two"
        await world.executor.versions.mark(world.api, "1.1.0", yank=True, reason="leaks")
        assert await answers(world, "1", "latest", "1.1.0") == {"1": "one", "latest": "one", "1.1.0": "two"}


class TestPublished:
    """An API that came from elsewhere: rows in tables, and an event."""

    @staticmethod
    async def publish(world: World, api: Api, semver: str, answer: str, fails: str = "") -> None:
        sha256, size = world.blobs.put(answer.encode())
        main, main_size = world.blobs.put(b"app = None\n")
        broken, broken_size = world.blobs.put(fails.encode())
        toml, toml_size = world.blobs.put(MANIFEST.replace("weather", api.slug).encode())
        tree = Tree(
            {
                "answer.txt": TreeEntry(Digest(sha256), size, 0o644),
                "main.py": TreeEntry(Digest(main), main_size, 0o644),
                "apimarket.toml": TreeEntry(Digest(toml), toml_size, 0o644),
            }
            | ({"syntax-error": TreeEntry(Digest(broken), broken_size, 0o644)} if fails else {})
        )

        def act(tx: Tx) -> None:
            if tx.registry.get(api.id) is None:
                tx.registry.add(api)
            tx.deployments.add_tree(tree)
            tx.versions.add(a_version(api, semver, tree))

        await world.storage.write(act)

        async def events() -> AsyncIterator[VersionCreated]:
            yield VersionCreated(api.id, semver)

        await world.executor.versions.follow(events())

    async def test_its_newest_release_is_run_and_has_the_traffic(self, world: World) -> None:
        api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        await self.publish(world, api, "1.0.0", "one")
        world.api = api
        await settled(world)
        assert await answers(world, "", "1", "dev") == {"": "one", "1": "one", "dev": ""}
        await self.publish(world, api, "1.1.0", "two")
        await settled(world)
        assert await answers(world, "", "1.0.0", "latest") == {"": "two", "1.0.0": "one", "latest": "two"}
        assert world.status.state is State.RUNNING

    async def test_what_was_written_while_no_server_ran_is_taken_up(self, world: World) -> None:
        api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        await self.publish(world, api, "1.0.0", "one")
        await world.close()
        await world.power_off()
        await world.open()
        world.api = api
        await settled(world)
        await world.until_answer("one")

    async def test_one_that_was_rolled_back_from_stays_so(self, world: World) -> None:
        api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        world.api = api
        for semver, answer in (("1.0.0", "one"), ("1.1.0", "two")):
            await self.publish(world, api, semver, answer)
            await settled(world)
        await world.executor.versions.roll_back(api, "1.0.0")
        await world.close()
        await world.open()
        await world.until_answer("one")
        assert (await fleet(world)).traffic.pointer == Pointer.to("1.0.0")

    async def test_one_that_does_not_start_is_not_started_over_and_over(self, world: World) -> None:
        api = world.api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        await self.publish(world, api, "1.0.0", "one")
        await settled(world)
        await self.publish(world, api, "1.1.0", "two", fails="never closed")
        await settled(world)
        runner = (await fleet(world)).runners["1.1.0"]
        newest = runner.record.newest

        async def events() -> AsyncIterator[VersionChanged]:
            for _ in range(3):
                yield VersionChanged(api.id, "1.1.0")

        await world.executor.versions.follow(events())
        await settled(world)
        assert newest is not None
        assert runner.record.newest == newest
        assert (await fleet(world)).traffic.pointer == Pointer.to("1.0.0")
        await self.publish(world, api, "1.2.0", "three")
        await world.until_answer("three")

    async def test_the_first_one_has_nothing_to_be_rolled_back_to(self, world: World) -> None:
        api = world.api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        await self.publish(world, api, "1.0.0", "one")
        await settled(world)
        with pytest.raises(NothingToRollBack):
            await world.executor.versions.roll_back(api, None)

    async def test_one_that_was_rolled_back_without_a_number_stays_so_too(self, world: World) -> None:
        api = world.api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        for semver, answer in (("1.0.0", "one"), ("1.1.0", "two")):
            await self.publish(world, api, semver, answer)
            await settled(world)
        await world.executor.versions.roll_back(api, None)

        async def events() -> AsyncIterator[TrafficMoved]:
            yield TrafficMoved(api.id)

        await world.executor.versions.follow(events())
        assert (await fleet(world)).traffic.pointer == Pointer.to("1.0.0")
        await world.close()
        await world.open()
        await world.until_answer("one")

    async def test_it_leaves_a_version_that_was_yanked_for_the_newest_that_was_not(self, world: World) -> None:
        api = world.api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        for semver, answer in (("1.0.0", "one"), ("1.1.0", "two")):
            await self.publish(world, api, semver, answer)
            await settled(world)
        await self.yank(world, api, "1.1.0")
        await world.until_answer("one")
        assert await answers(world, "1.1.0") == {"1.1.0": "two"}
        await self.yank(world, api, "1.0.0")
        assert world.status.state is State.STOPPED
        assert await answers(world, "") == {"": ""}

    async def test_a_server_that_does_not_host_neither_runs_it_nor_can_be_made_to(self, world: World) -> None:
        api = world.api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        await self.publish(world, api, "1.0.0", "one")
        await settled(world)
        await world.close()
        await world.power_off()
        world.hosts = False
        await world.open()
        await self.publish(world, api, "1.1.0", "two")
        versions = world.executor.versions
        for act in (
            lambda: world.executor.deploy(api),
            lambda: world.executor.restart(api),
            lambda: versions.start(api, "1.0.0"),
            lambda: versions.begin(api, Move("1.1.0")),
        ):
            with pytest.raises(PublishedNotRun):
                await act()
        assert [agent for agent in world.machine.agents.values() if agent.spec.api_id == api.id] == []
        assert await answers(world, "", "1.0.0") == {"": "", "1.0.0": ""}

    async def test_what_is_private_is_called_with_a_key_whatever_its_files_say(self, world: World) -> None:
        api = world.api = an_api(7, "hosted", user=ALICE, directory="", manifest=a_manifest("hosted"))
        await self.publish(world, api, "1.0.0", "one")
        await settled(world)
        found = await fleet(world)
        assert found.runners["1.0.0"]._line._auth == "key"

        def show(tx: Tx) -> None:
            known = tx.registry.get(api.id)
            assert known is not None
            manifest = replace(known.manifest, visibility=Visibility.PUBLIC)
            tx.registry.save(replace(known, manifest=manifest), known.revision)

        await world.storage.write(show)
        await found.refresh()
        assert found.runners["1.0.0"].api.manifest.visibility is Visibility.PUBLIC

    async def yank(self, world: World, api: Api, semver: str) -> None:
        await world.storage.write(lambda tx: tx.versions.yank(api.id, semver, NOON, "no good"))

        async def events() -> AsyncIterator[VersionChanged]:
            yield VersionChanged(api.id, semver)

        await world.executor.versions.follow(events())
