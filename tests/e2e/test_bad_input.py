"""Bad input: each mistake is told with what is wrong, where, and what helps; what served serves on."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_server.client import Client
from tests.e2e.conftest import ENGINES, RunningServer, running, wait_for
from tests.e2e.project import FUNCTION, Project
from tests.e2e.traffic import Traffic, ask

SERVER = """
    import http.server, os, sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"{'says': 'good'}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    PORT = int(os.environ["PORT"])
    print("up", flush=True)
    http.server.ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), PORT), Handler).serve_forever()
"""


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with little patience for programs that do not listen."""
    home = tmp_path_factory.mktemp("bad-input") / "data"
    with running(home, request.param, env={"APIMARKET_START_S": "2"}) as started:
        yield started


@pytest.fixture(scope="module")
def function(server: RunningServer) -> Project:
    """An API that serves; each test leaves it as it was."""
    return Project.write(server, "function", {"main.py": FUNCTION}).add()


@pytest.fixture(scope="module")
def program(server: RunningServer) -> Project:
    settings = '[run]\ncommand = ["python", "server.py"]\n'
    return Project.write(server, "program", {"server.py": SERVER}, settings).add()


@pytest.fixture
def steady(function: Project) -> Iterator[Project]:
    """Whatever the test does to the function's directory, no request fails, and all is well again at the end."""
    number = function.row["serving"]
    with Traffic(function.url) as traffic:
        yield function
        function.until_mended()
    assert not traffic.failures
    assert function.row["serving"] == number


class TestManifest:
    def test_every_mistake_is_told_at_once_with_its_line(self, steady: Project) -> None:
        steady.manifest('color = "red"\n[run]\nmemory_mb = -1\ntimeout_s = "soon"\n[gateway]\nrate_limit = "often"\n')
        failure = steady.until_error("4 mistakes")
        for line, key in ((4, "color"), (6, "memory_mb"), (7, "timeout_s"), (9, "rate_limit")):
            assert any(f"line {line}:" in told and key in told for told in failure["message"].splitlines()), failure
        assert failure["file"] == "apimarket.toml"
        assert failure["line"] == 4
        assert "x-apimarket-pending-error" in _headers(steady.url)
        steady.manifest("")
        steady.until_mended()
        assert "x-apimarket-pending-error" not in _headers(steady.url)

    def test_broken_toml_is_told_with_its_line(self, steady: Project) -> None:
        steady.save("apimarket.toml", '[api]\nname = "function\n')
        assert steady.until_error("1 mistake")["line"] == 2
        steady.manifest("")

    def test_another_name_is_refused_since_it_is_part_of_the_url(self, steady: Project) -> None:
        steady.save("apimarket.toml", '[api]\nname = "other"\nruntime = "python"\n')
        assert "registered as 'function'" in steady.until_error("'other'")["message"]
        steady.manifest("")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "reason", "suggestion"),
        [
            ("api", "is reserved", "api-api"),
            ("www", "is reserved", "www-api"),
            ("Wetter", "a letter first", "wetter"),
            ("wetter für köln", "a letter first", "wetter-fur-koln"),
            ("天気", "a letter first", "my-api"),
            ("../../etc", "a letter first", "etc"),
            ("9lives", "a letter first", "lives"),
            ("x" * 64, "a letter first", "x" * 63),
        ],
    )
    def test_what_cannot_be_one_is_refused_with_one_that_can(
        self, server: RunningServer, tmp_path: Path, name: str, reason: str, suggestion: str
    ) -> None:
        before = server.client.apis()
        done = server.run("new", name, "--dir", str(tmp_path / "new"), check=False)
        assert done.returncode == 1
        assert reason in done.stderr
        assert f"Try: {suggestion}" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "new").exists()
        assert [api["id"] for api in server.client.apis()] == [api["id"] for api in before]

    def test_one_that_is_taken_is_refused_with_who_has_it(self, function: Project, tmp_path: Path) -> None:
        done = function.server.run("new", function.name, "--dir", str(tmp_path / "new"), check=False)
        assert done.returncode == 1
        assert f"'function' is registered already, from {function.directory}" in done.stderr
        assert not (tmp_path / "new").exists()
        assert "good" in function.body

    def test_a_directory_that_is_registered_is_not_again(self, function: Project) -> None:
        done = function.server.run("add", str(function.directory), check=False)
        assert done.returncode == 1
        assert "is registered already, as 'function'" in done.stderr


class TestDirectory:
    def test_an_empty_one_is_refused(self, server: RunningServer, tmp_path: Path) -> None:
        _refused(server, tmp_path, "is empty", "apimarket new")

    def test_one_that_is_no_api_is_refused_and_not_written_into(self, server: RunningServer, tmp_path: Path) -> None:
        (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8")
        _refused(server, tmp_path, "holds no API: looked for", "[run] command")
        assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]

    def test_one_with_a_link_out_of_itself_is_refused(self, server: RunningServer, tmp_path: Path) -> None:
        (tmp_path / "main.py").write_text(FUNCTION)
        (tmp_path / "secrets").symlink_to("/etc/hostname")
        _refused(server, tmp_path, "a link that leads out of it: secrets -> /etc/hostname", ".apimarketignore")

    def test_a_link_out_of_it_that_appears_is_told_and_never_served(self, steady: Project) -> None:
        link = steady.directory / "secrets"
        link.symlink_to("/etc/hostname")
        assert ".apimarketignore" in steady.until_error("leads out of it: secrets")["hint"]
        link.unlink()

    def test_a_giant_file_that_appears_is_told_until_it_is_gone(self, steady: Project) -> None:
        giant = steady.directory / "data.bin"
        with giant.open("wb") as file:
            file.truncate(500 * 1024 * 1024)
        failure = steady.until_error("data.bin has 500 MB, and 100 MB are allowed")
        assert ".apimarketignore" in failure["hint"]
        giant.unlink()

    def test_one_that_is_moved_away_serves_on_and_is_seen_again(self, steady: Project) -> None:
        aside = steady.directory.with_name("aside")
        steady.directory.rename(aside)
        steady.until_error("does not exist any more")
        aside.rename(steady.directory)


class TestProgram:
    """A `command` that is no good: the good one before it serves on."""

    @pytest.fixture
    def steady(self, program: Project) -> Iterator[Project]:
        with Traffic(program.url) as traffic:
            yield program
            program.save("server.py", SERVER)
            program.until_mended()
        assert not traffic.failures

    def test_one_that_never_listens(self, steady: Project) -> None:
        steady.save("server.py", "import time\ntime.sleep(1000)\n")
        failure = steady.until_error("within 2 s")
        assert failure["kind"] in ("port", "timeout")
        assert "$PORT" in failure["message"]

    def test_one_that_listens_on_another_port(self, steady: Project) -> None:
        steady.save("server.py", SERVER.replace('int(os.environ["PORT"])', "5123"))
        failure = steady.until_error("listens on port 5123")
        assert failure["kind"] == "port"
        assert "$PORT" in failure["message"]

    def test_one_that_does_not_speak_http(self, steady: Project) -> None:
        steady.save(
            "server.py",
            """
            import os, socket
            listener = socket.create_server((os.environ.get("HOST", "0.0.0.0"), int(os.environ["PORT"])))
            while True:
                connection, _ = listener.accept()
                connection.recv(100)
                connection.sendall(b"220 mail at your service\\r\\n")
                connection.close()
            """,
        )
        assert steady.until_error("does not speak HTTP")["kind"] == "health"

    def test_one_that_ends_at_once(self, steady: Project) -> None:
        steady.save("server.py", "import sys\nprint('no database')\nsys.exit(3)\n")
        failure = steady.until_error("exit code 3")
        assert failure["kind"] == "exit"
        wait_for(lambda: "no database" in steady.log, "its last words")

    def test_one_that_is_not_there(self, steady: Project) -> None:
        steady.manifest('[run]\ncommand = ["no-such-program"]\n')
        assert "no-such-program" in steady.until_error("no-such-program")["message"]
        steady.manifest('[run]\ncommand = ["python", "server.py"]\n')

    def test_one_that_prints_a_million_lines_slows_nobody_else_down(self, steady: Project) -> None:
        steady.save("server.py", SERVER.replace("print(", "for n in range(1_000_000): print(f'line {n}')\n    print("))
        health: list[float] = []
        wait_for(lambda: "line 1" in steady.log, "its lines")
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            began = time.perf_counter()
            Client(steady.server.url).health()
            health.append(time.perf_counter() - began)
            time.sleep(0.05)
        assert sorted(health)[len(health) * 95 // 100] < 0.2, sorted(health)[-5:]
        files = list((steady.server.home / "apis").glob("*/log*.jsonl"))
        assert sum(path.stat().st_size for path in files) < 30 * 1024 * 1024
        assert len(steady.server.client.logs(steady.name, limit=5000)) <= 5000


GO = (pytest.mark.slow, pytest.mark.timeout(300))
"""The first build compiles the standard library."""
CONST = "const a = 1;\n"


@pytest.mark.parametrize(
    ("template", "file", "broken", "line"),
    [
        pytest.param(
            "python-function", "main.py", "def handler(request):\n    return {\n\ndef\n", None, id="python-syntax"
        ),
        pytest.param("python-function", "main.py", "import os\nimport nowhere_to_be_found\n", 2, id="python-import"),
        pytest.param("python-function", "main.py", "import os\n\nx = 1 / 0\n", 3, id="python-start"),
        pytest.param("node", "index.js", CONST + "const b = = 2;\n", 2, id="node-syntax"),
        pytest.param("node", "index.js", CONST + "import x from 'nowhere-to-be-found';\n", 2, id="node-import"),
        pytest.param("node", "index.js", CONST + "const c = a.b.c.d;\nexport default c;\n", 2, id="node-start"),
        pytest.param(
            "go",
            "main.go",
            'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("a"\n}\n',
            6,
            id="go-syntax",
            marks=GO,
        ),
        pytest.param(
            "go",
            "main.go",
            'package main\n\nimport "example.com/nowhere"\n\nfunc main() { nowhere.X() }\n',
            3,
            id="go-import",
            marks=GO,
        ),
        pytest.param(
            "go", "main.go", "package main\n\nfunc main() {\n\tundefinedThing()\n}\n", 4, id="go-types", marks=GO
        ),
    ],
)
class TestCode:
    def test_a_mistake_is_told_with_file_and_line(
        self, language: dict[str, Project], template: str, file: str, broken: str, line: int | None
    ) -> None:
        project = language[template]
        good = (project.directory / file).read_text()
        generation = ask(project.url).generation
        with Traffic(project.url) as traffic:
            project.save(file, broken)
            failure = wait_for(lambda: project.row["failure"], "the mistake to be told")
            project.save(file, good)
            project.until_mended()
        assert failure["file"], failure
        assert (failure["file"], failure["line"]) == (file, line or failure["line"])
        assert failure["line"]
        assert "Traceback" not in failure["headline"]
        assert str(project.server.home) not in json.dumps(failure)
        assert not traffic.failures
        assert {answer.generation for answer in traffic.answers} == {generation}


@pytest.fixture(scope="module")
def language(server: RunningServer) -> "Languages":
    return Languages(server)


class Languages(dict[str, Project]):
    """Projects from templates, made when they are first asked for."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server

    def __missing__(self, template: str) -> Project:
        directory = self._server.home.parent / "projects" / f"l-{template}"
        self._server.run("new", f"l-{template}", "--template", template, "--dir", str(directory))
        self[template] = Project(self._server, f"l-{template}", directory)
        self._server.until(f"l-{template}", "running", 240)
        return self[template]


class TestVersion:
    def test_one_that_nobody_has_is_told_with_how_to_get_it(self, steady: Project) -> None:
        steady.manifest("", runtime="python3.99")
        failure = steady.until_error("3.99")
        if steady.server.engine == "docker":
            assert failure["kind"] == "image"
            assert "docker pull python:3.99-slim" in failure["hint"]
        else:
            assert failure["kind"] == "toolchain"
            assert "python3.99" in failure["hint"]
        steady.manifest("")

    def test_a_new_api_with_one_fails_and_says_so_to_callers(self, server: RunningServer) -> None:
        project = Project.write(server, "future", {"main.py": FUNCTION})
        project.manifest("", runtime="python3.99")
        project.add("failed")
        answer = ask(project.url)
        assert answer.status == 503
        assert "3.99" in json.loads(answer.body)["detail"]
        project.manifest("")
        project.until_says("good")
        project.remove()


def _refused(server: RunningServer, directory: Path, reason: str, hint: str) -> None:
    before = server.client.apis()
    done = server.run("add", str(directory), check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (directory / "apimarket.toml").exists()
    assert [api["id"] for api in server.client.apis()] == [api["id"] for api in before]


def _headers(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return {name.lower(): value for name, value in response.headers.items()}
