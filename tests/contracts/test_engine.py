"""What every engine does, whatever it is made of (local_server/executor/engine.py says it in words)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.executor_errors import BuildFailed, DependenciesFailed, SandboxFailed
from local_server.domain.manifest import Runtime
from local_server.executor.engine import BuildRequest, SandboxSpec
from tests.contracts.engines import (
    DEPENDENCIES,
    EngineCase,
    Reader,
    docker_case,
    fake_case,
    get,
    is_gone,
    nothing,
    process_case,
)
from tests.go_caches import share_go_cache

pytestmark = pytest.mark.timeout(300)

MAKERS = {"fake": fake_case, "process": process_case, "docker": docker_case}


def cases(*runtimes: Runtime) -> list[Any]:
    """Parameters for `case`: the fake stands for every runtime and is asked once."""
    chosen = [("fake", Runtime.PYTHON)] if Runtime.PYTHON in runtimes else []
    chosen += [(engine, runtime) for engine in ("process", "docker") for runtime in runtimes]
    return [
        pytest.param(
            (engine, runtime), id=f"{engine}-{runtime}", marks=[pytest.mark.docker] if engine == "docker" else []
        )
        for engine, runtime in chosen
    ]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """One home for all. The caches of compilers and package tools live from run to run."""
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    for engine in ("process", "docker"):
        (home / engine).mkdir()
        (home / engine / "cache").symlink_to(pytestconfig.cache.mkdir(f"engine-{engine}"))
        share_go_cache(home / engine, engine)
    return home


@pytest.fixture(params=cases(*Runtime))
async def case(request: pytest.FixtureRequest, shared_home: Path) -> AsyncIterator[EngineCase]:
    engine, runtime = request.param
    async for made in MAKERS[engine](shared_home / engine, runtime):
        yield made


@pytest.fixture
def source(case: EngineCase) -> Path:
    return case.tree(1, "one")


class TestServing:
    async def test_generations_run_beside_each_other_until_stopped(self, case: EngineCase, source: Path) -> None:
        sandbox, reader = await case.sandbox(source)
        first = await reader.until("hello")
        assert first["gens"] == []
        assert [message["t"] for message in reader.seen if message["t"] != "log"] == ["hello"]
        one = await case.serve(sandbox, reader, 1, source)
        two = await case.serve(sandbox, reader, 2, case.tree(2, "two"))
        assert (await get(one), await get(two)) == ("one", "two")

        await sandbox.send({"t": "stop", "gen": 1, "grace_s": 2})
        await reader.until("stopped", gen=1)
        assert await is_gone(one, "one")
        assert await get(two) == "two"
        usage = await sandbox.usage()
        assert usage is not None
        assert usage.memory_bytes >= 1 << 20
        assert usage.cpu_seconds >= 0

    async def test_a_broken_generation_leaves_the_first(self, case: EngineCase, source: Path) -> None:
        sandbox, reader = await case.sandbox(source)
        one = await case.serve(sandbox, reader, 1, source)
        if case.runtime is Runtime.GO:
            with pytest.raises(BuildFailed) as failure:
                await case.announce(sandbox, 2, case.broken_tree(2))
            assert failure.value.file == "main.go"
            assert failure.value.line
        else:
            await case.announce(sandbox, 2, case.broken_tree(2))
            failed = await reader.until("failed", gen=2)
            assert failed["kind"] == "syntax"
        assert await get(one) == "one"

    async def test_ports_are_given_back(self, case: EngineCase, source: Path) -> None:
        sandbox, _ = await case.sandbox(source)
        for _ in range(50):
            sandbox.release_port(sandbox.lease_port())


class TestEnding:
    async def test_stop_leaves_nothing(self, case: EngineCase, source: Path) -> None:
        sandbox, reader = await case.sandbox(source)
        url = await case.serve(sandbox, reader, 1, source)
        assert case.remains(sandbox)
        await sandbox.stop(grace_s=2)
        await reader.rest()
        assert sandbox.exit is not None
        assert case.remains(sandbox) == []
        assert await is_gone(url, "one")
        with pytest.raises(SandboxFailed):
            await sandbox.send({"t": "hello"})
        assert await sandbox.usage() is None
        await sandbox.stop()

    async def test_a_killed_agent_comes_back_and_says_hello(self, case: EngineCase, source: Path) -> None:
        sandbox, reader = await case.sandbox(source)
        old = await case.serve(sandbox, reader, 1, source)
        await case.kill_agent(sandbox)
        again = await reader.until("hello")
        assert again["gens"] == []
        assert await is_gone(old, "one")
        new = await case.serve(sandbox, reader, 2, case.tree(2, "two"))
        assert await get(new) == "two"

    async def test_messages_nobody_reads_do_not_hinder_stop(self, case: EngineCase, source: Path) -> None:
        sandbox, _ = await case.sandbox(source)
        async with asyncio.timeout(15):
            await sandbox.stop(grace_s=2)
        assert case.remains(sandbox) == []

    async def test_close_may_be_called_twice(self, case: EngineCase) -> None:
        await case.engine.close()
        await case.engine.close()


class TestAdopting:
    async def test_the_next_server_goes_on_where_sandboxes_outlive_one(self, case: EngineCase, source: Path) -> None:
        sandbox, reader = await case.sandbox(source, replica=2)
        url = await case.serve(sandbox, reader, 1, source)
        await case.engine.close()
        assert sandbox.exit is not None
        follower = case.reopen()
        try:
            adopted = await follower.adopt()
            if case.engine.name == "process":
                assert adopted == []
                assert await is_gone(url, "one")
                return
            assert [(found.id, found.api_id, found.replica, found.layer_key) for found in adopted] == [
                (sandbox.id, case.api_id, 2, sandbox.layer_key)
            ]
            hello = await Reader(adopted[0]).until("hello")
            assert [gen["gen"] for gen in hello["gens"]] == [1]
            host, port = adopted[0].address(hello["gens"][0]["port"])
            assert f"http://{host}:{port}/" == url
            assert await get(url) == "one"
            assert adopted[0].inside(source) == sandbox.inside(source)
            await adopted[0].stop(grace_s=1)
            assert case.remains(sandbox) == []
        finally:
            await follower.close()


@pytest.mark.parametrize("case", cases(Runtime.PYTHON, Runtime.NODE), indirect=True)
class TestLayers:
    async def test_only_dependency_files_change_the_key(self, case: EngineCase, source: Path) -> None:
        name, wanted, _ = DEPENDENCIES[case.runtime]
        await case.layer(source)
        without = case.engine.layer_key(case.request(source))
        first = case.engine.layer_key(case.request(case.tree(2, "two", {name: wanted})))
        same = case.engine.layer_key(case.request(case.tree(3, "three", {name: wanted})))
        other = case.engine.layer_key(case.request(case.tree(4, "four", {name: wanted.replace("3.", "2.")})))
        assert case.engine.layer_key(case.request(case.tree(5, "five"))) == without
        assert first == same
        assert len({without, first, other}) == 3

    async def test_two_calls_install_once_and_the_program_finds_it(self, case: EngineCase) -> None:
        name, wanted, _ = DEPENDENCIES[case.runtime]
        uses = {
            Runtime.PYTHON: ("main.py", "import idna\n"),
            Runtime.NODE: ("index.mjs", 'import odd from "is-odd";\nodd(1);\n'),
        }
        file, first_line = uses[case.runtime]
        tree = case.tree(1, "one")
        (tree / file).write_text(first_line + (tree / file).read_text())
        (tree / name).write_text(wanted)
        heard: tuple[list[str], list[str], list[str]] = ([], [], [])
        one, two = await asyncio.gather(
            case.engine.prepare(case.request(tree), heard[0].append),
            case.engine.prepare(case.request(tree), heard[1].append),
        )
        assert one == two == await case.engine.prepare(case.request(tree), heard[2].append)
        assert heard[0] == heard[1] != []
        assert heard[2] == []
        sandbox, reader = await case.sandbox(tree)
        assert await get(await case.serve(sandbox, reader, 1, tree)) == "one"
        assert list((case.home / "layers").glob("*.gone-*")) == []

    async def test_a_dependency_that_does_not_exist_is_named(self, case: EngineCase) -> None:
        name, _, missing = DEPENDENCIES[case.runtime]
        source = case.tree(1, "one", {name: missing})
        with pytest.raises(DependenciesFailed) as failure:
            await case.layer(source)
        assert "nonesuch" in failure.value.detail
        assert failure.value.extra["source"] == name
        assert "nonesuch" in failure.value.extra["log"]
        assert not (case.home / "layers" / case.engine.layer_key(case.request(source))).exists()

    async def test_cancelling_leaves_nothing_half_made(self, case: EngineCase) -> None:
        name, wanted, _ = DEPENDENCIES[case.runtime]
        # Another key than the other tests': packages with the same needs and one more word.
        another = {"requirements.txt": wanted + "# slow\n", "package.json": wanted.replace("3.0.1", "^3.0.0")}
        source = case.tree(1, "one", {name: "slow\n" if case.engine.name == "fake" else another[name]})
        key = case.engine.layer_key(case.request(source))
        heard: list[str] = []
        call = asyncio.create_task(case.engine.prepare(case.request(source), heard.append))
        while not heard and not (case.home / "layers" / key).exists():
            assert not call.done()
            await asyncio.sleep(0.002)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not (case.home / "layers" / key).exists()
        assert list((case.home / "layers").glob("*.gone-*")) == []


@pytest.mark.parametrize("case", cases(Runtime.GO), indirect=True)
class TestBuilding:
    async def test_cancelling_ends_the_compiler(self, case: EngineCase, source: Path) -> None:
        output = case.trees / "cancelled" / "app"
        output.parent.mkdir()
        call = asyncio.create_task(case.engine.build(BuildRequest(None, source, ".", output), nothing))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert list(output.parent.iterdir()) == []

    async def test_a_package_that_is_no_program_is_refused(self, case: EngineCase) -> None:
        source = case.tree(1, "one", {"main.go": "package library\n"})
        with pytest.raises(BuildFailed, match="main"):
            await case.engine.build(BuildRequest(None, source, ".", case.trees / "app"), nothing)
        assert not (case.trees / "app").exists()


class TestHealth:
    async def test_it_answers(self, case: EngineCase) -> None:
        health = await case.engine.health()
        assert health.available
        assert health.detail


@pytest.mark.docker
@pytest.mark.parametrize("case", [("docker", Runtime.PYTHON)], indirect=True, ids=["docker-python"])
class TestIsolation:
    """Promised by engines that isolate; the mounts are the same for every language."""

    async def test_a_program_cannot_change_its_tree(self, case: EngineCase) -> None:
        assert case.engine.isolated
        writer = """
try:
    open("stolen.txt", "w")
    ANSWER = b"written"
except OSError as error:
    ANSWER = str(error).encode()
"""
        source = case.tree(1, "one")
        (source / "main.py").write_text((source / "main.py").read_text() + writer)
        source.chmod(0o777)
        sandbox, reader = await case.sandbox(source)
        assert "Read-only file system" in await get(await case.serve(sandbox, reader, 1, source))


async def test_a_sandbox_that_cannot_start_says_so(shared_home: Path) -> None:
    async for case in process_case(shared_home / "process", Runtime.PYTHON):
        source = case.tree(1, "one")
        layer = await case.layer(source)
        (layer.path / "bin" / "python").rename(layer.path / "bin" / "hidden")
        try:
            with pytest.raises(SandboxFailed, match="does not run"):
                await case.engine.start(SandboxSpec(case.api_id, "ada/case", Runtime.PYTHON, None, layer, case.trees))
        finally:
            (layer.path / "bin" / "hidden").rename(layer.path / "bin" / "python")
