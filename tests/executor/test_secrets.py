"""What a secret is to a runner: a value for its program, a start that waits for it, and nothing to be read anywhere."""

import asyncio

import pytest

from local_server.domain.accounts import Caller
from local_server.domain.api_secrets import MAX_SECRETS
from local_server.domain.deployments import State
from local_server.domain.secret_errors import SecretNotFound, TooManySecrets
from local_server.executor.secrets import Secrets
from local_server.system import RealSystem
from tests.executor.world import MANIFEST, World, until
from tests.storage.factories import ALICE

OWNER = Caller(ALICE, is_machine=True)


async def put(world: World, name: str, value: str) -> bool:
    return await world.secrets.put(world.api, name, value, OWNER, address="127.0.0.1")


async def remove(world: World, name: str) -> bool:
    return await world.secrets.remove(world.api, name, OWNER, address="127.0.0.1")


def use(world: World, answer: str = "with $TOKEN", **files: str) -> None:
    """Save a program that sees the secret TOKEN."""
    (world.project / "apimarket.toml").write_text(f'{MANIFEST}secrets = ["TOKEN"]\n')
    world.save(answer, **files)


class TestStart:
    async def test_a_missing_one_is_told_with_the_command_and_the_old_serves_on(self, world: World) -> None:
        use(world)
        await until(lambda: "TOKEN" in world.error)
        failure = world.status.failure
        assert failure is not None
        assert (failure.kind, failure.hint) == ("secrets", "Give it one: apimarket secrets set alice/weather TOKEN")
        assert (world.status.state, await world.answer()) == (State.RUNNING, "one")

    async def test_it_starts_as_soon_as_it_has_its_value(self, world: World) -> None:
        use(world)
        await until(lambda: "TOKEN" in world.error)
        assert await put(world, "TOKEN", "hunter2-1")
        await world.until_answer("with hunter2-1")
        await until(lambda: not world.error)

    async def test_a_changed_one_starts_it_afresh_and_the_same_again_does_not(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        use(world)
        await world.until_answer("with hunter2-1")
        assert await put(world, "TOKEN", "hunter2-2")
        await world.until_answer("with hunter2-2")
        serving = world.status.serving
        assert not await put(world, "TOKEN", "hunter2-2")
        assert not await put(world, "OTHER", "hunter2-3")  # its program does not see it
        assert world.status.serving == serving

    async def test_one_that_is_removed_is_kept_by_what_serves_and_wanted_by_what_starts(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        use(world)
        await world.until_answer("with hunter2-1")
        assert await remove(world, "TOKEN")
        await until(lambda: "no value" in world.error)
        assert await world.answer() == "with hunter2-1"
        with pytest.raises(SecretNotFound):
            await remove(world, "TOKEN")

    async def test_what_is_stopped_stays_so(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        use(world)
        await world.until_answer("with hunter2-1")
        await world.executor.stop(world.api)
        assert not await put(world, "TOKEN", "hunter2-2")
        assert world.status.state is State.STOPPED

    async def test_a_version_has_the_value_of_its_api(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        use(world)
        await world.until_answer("with hunter2-1")
        await world.executor.versions.make(world.api, "1.0.0")
        runner = await (await world.executor.versions.fleet(world.api)).run("1.0.0")
        assert await runner.settled()
        assert await put(world, "TOKEN", "hunter2-2")
        async with asyncio.timeout(10):
            while await world.answer_at("1.0.0") != "with hunter2-2":
                await asyncio.sleep(0.005)

    async def test_after_a_crash_it_has_it_again(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        use(world)
        await world.until_answer("with hunter2-1")
        await world.crash()
        await world.until_answer("with hunter2-1")


class TestNobodyReadsIt:
    async def test_not_in_the_log_nor_in_the_failure_nor_on_the_disk(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        use(world, prints="the token is $TOKEN")
        await world.until_answer("with hunter2-1")
        use(world, "two", syntax_error="ValueError: bad token $TOKEN")
        await until(lambda: "bad token" in world.error)
        failure = world.status.failure
        assert failure is not None
        assert "[redacted]" in failure.message
        assert "[redacted]" in failure.traceback
        assert "the token is [redacted]" in world.log()
        await world.executor.log(world.api).close()
        assert "hunter2" not in world.log() + repr(await world.generations())
        found = [path for path in world.home.rglob("*") if path.is_file() and b"hunter2-1" in path.read_bytes()]
        assert found == []

    async def test_a_server_that_takes_over_hides_it_too(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        use(world)
        await world.until_answer("with hunter2-1")
        await world.close()
        await world.open()
        await world.until_answer("with hunter2-1")
        world.executor.log(world.api).add(1, "out", "still hunter2-1")
        assert "still [redacted]" in world.log()


class TestKey:
    async def test_another_key_is_told_and_the_old_file_mends_it(self, world: World) -> None:
        await put(world, "TOKEN", "hunter2-1")
        stranger = Secrets(world.storage, RealSystem(), b"o" * 32)
        await stranger.open()
        with pytest.raises(Exception, match=r"secrets\.key"):
            await stranger.values(world.api, ["TOKEN"])
        assert await world.secrets.values(world.api, ["TOKEN"]) == {"TOKEN": "hunter2-1"}

    async def test_there_is_an_end_to_them(self, world: World) -> None:
        for number in range(MAX_SECRETS):
            await put(world, f"S{number}", "value")
        with pytest.raises(TooManySecrets):
            await put(world, "ONE_MORE", "value")
        assert not await put(world, "S0", "another")  # which replaces

    async def test_they_are_listed_without_values_and_what_lacks_one_too(self, world: World) -> None:
        await put(world, "OTHER", "hunter2-1")
        use(world)
        await until(lambda: "TOKEN" in world.error)
        world.api = await world.registry.resolve(world.api.id)
        found = await world.secrets.of(world.api)
        assert [(one.name, one.updated_at is not None, one.used) for one in found] == [
            ("OTHER", True, False), ("TOKEN", False, True)
        ]  # fmt: skip
        entries = await world.storage.read(lambda tx: tx.audit.latest())
        assert [(entry.action, entry.detail) for entry in entries] == [("secret.set", "alice/weather: OTHER")]
