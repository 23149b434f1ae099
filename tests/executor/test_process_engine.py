"""What the process engine promises beside the contract: nothing outlives it, and nothing of the server's is seen."""

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from local_server.domain.executor_errors import SandboxFailed, ToolchainMissing
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Runtime
from local_server.executor.engine import EngineSettings, Layer, SandboxSpec
from local_server.executor.engines.process import ProcessEngine
from local_server.executor.engines.process import toolchains as toolchains_module
from local_server.executor.engines.process.family import marked
from local_server.executor.engines.process.sandbox import ProcessSandbox, Program
from local_server.executor.engines.process.toolchains import Toolchains
from local_server.executor.engines.process.views import View
from tests.contracts.engines import EngineCase, Reader, get, process_case

StandIn = tuple[ProcessSandbox, Reader]
"""A sandbox whose agent does what it is told in Python."""

AGENT = """
import json, os, subprocess, sys, time
def say(**message):
    print(json.dumps(message), flush=True)
say(t="hello", agent=1, runtime="stand-in", pid=os.getpid(), gens=[])
for line in sys.stdin:
    message = json.loads(line)
    if message["t"] == "stray":
        # A grandchild in a session of its own, whose parent is gone: no group and no parent leads to it.
        command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
        stray = subprocess.Popen(["setsid", "--fork", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        stray.stdout.readline()
        say(t="done")
    elif message["t"] == "shutdown":
        break
    else:
        exec(message["code"])
"""


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[EngineCase]:
    async for made in process_case(tmp_path, Runtime.PYTHON):
        yield made


@pytest.fixture
async def stand_in(tmp_path: Path) -> AsyncIterator[StandIn]:
    identity = f"stand-in-{os.urandom(6).hex()}"
    command = [sys.executable, "-c", AGENT]
    environment = {"API_SANDBOX": identity, "PATH": os.environ["PATH"]}
    program = Program(identity, ApiId("api"), "", "ada/case", command, environment, tmp_path / "run", memory_mb=96)
    sandbox = ProcessSandbox(program)
    await sandbox.start()
    reader = Reader(sandbox)
    await reader.until("hello")
    yield sandbox, reader
    await sandbox.stop(grace_s=1)
    assert marked(identity) == []


class TestNothingIsLeft:
    async def test_a_stray_grandchild_ends_with_its_sandbox(self, stand_in: StandIn) -> None:
        sandbox, reader = stand_in
        await sandbox.send({"t": "stray"})
        await reader.until("done")
        assert len(marked(sandbox.id)) == 2
        await sandbox.stop(grace_s=1)
        assert marked(sandbox.id) == []

    async def test_a_stray_grandchild_ends_with_its_crashed_agent(self, stand_in: StandIn) -> None:
        sandbox, reader = stand_in
        await sandbox.send({"t": "stray"})
        await reader.until("done")
        old = {process.pid for process in marked(sandbox.id)}
        await sandbox.send({"t": "run", "code": "os._exit(3)"})
        await reader.until("hello")
        assert old.isdisjoint(process.pid for process in marked(sandbox.id))

    async def test_a_killed_server_leaves_no_process(self, tmp_path: Path) -> None:
        script = textwrap.dedent("""
            import asyncio, os, sys
            from pathlib import Path
            from local_server.domain.manifest import Runtime
            from tests.contracts.engines import Reader, process_case

            async def main():
                async for case in process_case(Path(sys.argv[1]), Runtime.PYTHON):
                    tree = case.tree(1, "one")
                    sandbox, reader = await case.sandbox(tree)
                    url = await case.serve(sandbox, reader, 1, tree)
                    print(sandbox.id, flush=True)
                    await asyncio.sleep(60)
            asyncio.run(main())
        """)
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert server.stdout is not None
        identity = (await server.stdout.readline()).decode().strip()
        left = marked(identity)
        assert left
        server.send_signal(signal.SIGKILL)
        await server.wait()
        await asyncio.to_thread(psutil.wait_procs, left, 15)
        assert marked(identity) == []

    async def test_what_a_killed_server_left_is_ended_by_the_next(self, tmp_path: Path) -> None:
        engine = ProcessEngine(EngineSettings(tmp_path, f"test-{os.urandom(6).hex()}", dict(os.environ)))
        mark = f"{engine._settings.install_id}.left"
        left = await asyncio.create_subprocess_exec("sleep", "60", env={**os.environ, "API_SANDBOX": mark})
        (tmp_path / "views" / "left").mkdir(parents=True)
        assert await engine.adopt() == []
        assert await left.wait() == -signal.SIGKILL
        assert not (tmp_path / "views").exists()
        await engine.close()


class TestCrashing:
    async def test_three_crashes_in_ten_seconds_end_it(self, stand_in: StandIn) -> None:
        sandbox, reader = stand_in
        await sandbox.send({"t": "run", "code": "os._exit(3)"})
        await reader.until("hello")
        await sandbox.send({"t": "run", "code": "os._exit(4)"})
        await reader.until("hello")
        await sandbox.send({"t": "run", "code": "os._exit(5)"})
        await reader.rest()
        assert sandbox.exit is not None
        assert sandbox.exit.code == 5

    async def test_what_uses_too_much_memory_is_ended_and_told(self, stand_in: StandIn) -> None:
        sandbox, reader = stand_in
        await sandbox.send({"t": "run", "code": "held = os.urandom(200 << 20)\ntime.sleep(30)"})
        await reader.until("hello")
        lines = [message["line"] for message in reader.seen if message["t"] == "log"]
        assert "a program was ended: out of memory, the limit is 96 MB" in lines

    async def test_words_without_a_protocol_are_log_lines(self, stand_in: StandIn) -> None:
        sandbox, reader = stand_in
        await sandbox.send(
            {"t": "run", "code": "print('plain', flush=True); print('oops', file=sys.stderr, flush=True)"}
        )
        said = {(await reader.until("log"))["line"], (await reader.until("log"))["line"]}
        assert said == {"plain", "oops"}


class TestEnvironment:
    async def test_a_program_sees_nothing_of_the_servers(self, case: EngineCase) -> None:
        source = "import json, os, sys\nANSWER = json.dumps([dict(os.environ), sys.path]).encode()\n"
        tree = case.tree(1, "one")
        (tree / "main.py").write_text((tree / "main.py").read_text() + source)
        sandbox, reader = await case.sandbox(tree)
        environment, path = json.loads(await get(await case.serve(sandbox, reader, 1, tree)))
        known = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOST", "PORT", "PYTHONUNBUFFERED"}
        assert set(environment) <= known | {"API_SANDBOX"}
        assert environment["HOME"] != os.environ.get("HOME")
        packages = [place for place in path if place.endswith("site-packages")]
        assert all(place.startswith(str(case.home)) for place in packages)

    async def test_only_this_machine_is_listened_to(self, case: EngineCase) -> None:
        tree = case.tree(1, "one")
        sandbox, reader = await case.sandbox(tree)
        await case.serve(sandbox, reader, 1, tree)
        listening = set()
        for process in marked(sandbox.id):
            with suppress(psutil.NoSuchProcess):  # one of those that only start others
                found = process.net_connections("inet")
                listening |= {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}


class TestViews:
    def test_two_sandboxes_see_one_tree_with_two_layers(self, tmp_path: Path) -> None:
        tree = tmp_path / "trees" / "1-abc"
        (tree / "lib").mkdir(parents=True)
        (tree / "lib" / "x.mjs").write_text("x")
        views = []
        for name in ("old", "new"):
            (tmp_path / name / "node_modules" / name).mkdir(parents=True)
            views.append(View(tmp_path / "views" / name, tmp_path / "trees", tmp_path / name))
        for view, name in zip(views, ("old", "new"), strict=True):
            view.make()
            inside = Path(view.inside(tree))
            view.lay_out(1, str(inside))
            view.lay_out(1, str(inside))
            assert (inside / "lib" / "x.mjs").samefile(tree / "lib" / "x.mjs")
            assert not any(part.is_symlink() for part in (inside, inside.parent))
            assert (inside.parents[1] / "node_modules" / name).is_dir()
        views[0].clear(1)
        assert not Path(views[0].inside(tree)).exists()
        assert Path(views[1].inside(tree)).exists()
        views[1].remove()
        assert (tree / "lib" / "x.mjs").read_text() == "x"
        assert (tmp_path / "new" / "node_modules" / "new").is_dir()


class TestToolchains:
    def test_a_missing_language_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(toolchains_module, "_wheel", lambda package: None)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
        found = Toolchains({"PATH": str(tmp_path)})
        for runtime, version, hint in (
            (Runtime.NODE, None, "apimarket[node]"),
            (Runtime.GO, None, "apimarket[go]"),
            (Runtime.PYTHON, "3.99", "python3.99"),
        ):
            with pytest.raises(ToolchainMissing) as missing:
                found.find(runtime, version)
            assert hint in missing.value.hint

    def test_wheels_serve_where_the_machine_has_none(self, tmp_path: Path) -> None:
        found = Toolchains({"PATH": str(tmp_path)})
        node = found.find(Runtime.NODE, None)
        assert node.version.startswith("v")
        assert node.installer
        assert found.find(Runtime.GO, None).version.startswith("go version")

    def test_python_is_the_one_below_the_servers_environment(self) -> None:
        python = Toolchains(dict(os.environ)).find(Runtime.PYTHON, None)
        assert Path(python.program).resolve() == Path(sys.executable).resolve()
        assert ".venv" not in python.program
        assert python.installer


async def test_a_layer_of_another_engine_is_not_started(case: EngineCase, tmp_path: Path) -> None:
    layer = Layer("none", tmp_path / "nowhere", "python:3.11-slim")
    with pytest.raises(SandboxFailed, match="does not run"):
        await case.engine.start(SandboxSpec(case.api_id, "ada/case", Runtime.PYTHON, None, layer, case.trees))
