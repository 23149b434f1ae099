"""Starting and stopping, with a small program in the server's place: it keeps the server's promises about
`server.json`, `/health` and its last line, and leaves notes of its own."""

import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from local_server.client import discovery, launcher
from local_server.client.errors import ApimarketClientError, ServerUnreachableError
from tests.client.fake_server import FakeServer

SERVING = """
import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
home = os.environ["APIMARKET_HOME"]
try:
    os.close(os.open(home + "/held", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    print(json.dumps({"detail": "in use", "code": "already_running", "status": 409, "title": "In use"}))
    sys.exit(1)
with open(home + "/starts", "a") as starts:
    starts.write(" ".join(sys.argv[1:]) + "\\n")

class Handler(BaseHTTPRequestHandler):
    def answer(self):
        told = {"status": "ok", "version": "1", "engine": "none", "pid": os.getpid()}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if "stop" in self.path:
            threading.Thread(target=http.shutdown).start()
    do_GET = do_POST = answer
    def log_message(self, *args):
        pass

http = HTTPServer(("127.0.0.1", 0), Handler)
record = {"url": "http://127.0.0.1:%d" % http.server_address[1], "pid": os.getpid()}
open(home + "/server.tmp", "w").write(json.dumps(record))
os.replace(home + "/server.tmp", home + "/server.json")
http.serve_forever(0.02)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    home = discovery.home()
    yield home
    pid = discovery.find().pid
    if pid is not None and pid != os.getpid():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Program":
    return Program(monkeypatch, tmp_path / "server-program")


class Program:
    """What stands in the server's place: `program(source)` makes that Python the program that is started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self._monkeypatch, self._path, self._python = monkeypatch, path, sys.executable

    def __call__(self, source: str) -> None:
        self._path.write_text(f"#!{self._python} -S\n{textwrap.dedent(source)}")
        self._path.chmod(0o700)
        self._monkeypatch.setattr(sys, "executable", str(self._path))


class TestEnsureRunning:
    def test_one_that_runs_is_used(self, server: FakeServer, program: Program) -> None:
        program("raise SystemExit('must not be started')")

        assert launcher.ensure_running().url == server.url

    def test_one_is_started_where_none_runs(self, home: Path, program: Program) -> None:
        program(SERVING)
        said: list[str] = []

        endpoint = launcher.ensure_running(said.append)

        assert endpoint.pid is not None
        assert launcher.answers(endpoint)
        assert (home / "starts").read_text() == "-m local_server serve --background\n"
        assert said[0] == "starting the local server"
        assert (home / "server.log").stat().st_mode & 0o777 == 0o600
        assert home.stat().st_mode & 0o777 == 0o700

    def test_it_is_in_a_session_of_its_own(self, home: Path, program: Program) -> None:
        program(SERVING)

        pid = launcher.ensure_running().pid

        assert pid is not None
        assert os.getsid(pid) == pid

    def test_many_at_once_start_one(self, home: Path, program: Program) -> None:
        program(SERVING)
        urls: list[str] = []
        threads = [threading.Thread(target=lambda: urls.append(launcher.ensure_running().url)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert len(urls) == 4
        assert len(set(urls)) == 1
        assert (home / "starts").read_text().count("\n") == 1

    def test_one_started_meanwhile_by_hand_is_used(self, home: Path, program: Program) -> None:
        program(SERVING)
        first = launcher.ensure_running()
        (home / "server.json").rename(home / "hidden")
        # The data directory is held, but nothing says by whom yet: as in the moment before a server answers.
        threading.Timer(0.3, (home / "hidden").rename, [home / "server.json"]).start()

        assert launcher.ensure_running() == first

    def test_its_reason_for_not_starting_is_told(self, home: Path, program: Program) -> None:
        program(
            """
            print("some log line")
            print('{"detail":"Port 8080 is taken","code":"port_taken","status":503,"title":"x","hint":"Try 8081"}')
            raise SystemExit(1)
            """
        )

        with pytest.raises(ApimarketClientError, match="Port 8080 is taken") as caught:
            launcher.ensure_running()

        assert (caught.value.code, caught.value.hint) == ("port_taken", "Try 8081")
        assert launcher.last_problem(home) is not None

    def test_without_a_reason_its_last_words_are(self, home: Path, program: Program) -> None:
        program("raise RuntimeError('the disk is on fire')")

        with pytest.raises(ApimarketClientError, match="the disk is on fire") as caught:
            launcher.ensure_running()

        assert caught.value.code == "start_failed"
        assert str(home / "server.log") in caught.value.hint

    def test_words_of_an_earlier_start_are_not_taken_for_its_own(self, home: Path, program: Program) -> None:
        program("""raise SystemExit('{"detail":"old","code":"old","status":1,"title":"x"}')""")
        with pytest.raises(ApimarketClientError, match="old"):
            launcher.ensure_running()
        program("raise SystemExit('new words')")

        with pytest.raises(ApimarketClientError, match="new words"):
            launcher.ensure_running()

    def test_one_that_never_answers_is_ended(
        self, home: Path, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(launcher, "START_S", 0.3)
        program(
            "import os, time; open(os.environ['APIMARKET_HOME'] + '/pid', 'w').write(str(os.getpid())); time.sleep(60)"
        )

        with pytest.raises(ApimarketClientError, match="did not answer within"):
            launcher.ensure_running()

        assert not discovery.alive(int((home / "pid").read_text()))

    def test_a_long_log_is_set_aside(self, home: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launcher, "_LOG_LIMIT_BYTES", 10)
        home.mkdir()
        (home / "server.log").write_text("more than ten bytes")
        program(SERVING)

        launcher.ensure_running()

        assert (home / "server.log.1").read_text() == "more than ten bytes"

    def test_new_projects_go_where_the_user_is(
        self, home: Path, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        program("import os; raise SystemExit(os.environ['APIMARKET_PROJECTS'])")

        with pytest.raises(ApimarketClientError, match=str(tmp_path)):
            launcher.ensure_running()

    def test_a_data_directory_that_cannot_be_is_named(
        self, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("APIMARKET_HOME", str(tmp_path / "file/data"))

        with pytest.raises(ApimarketClientError) as refused:
            launcher.ensure_running()
        assert str(tmp_path / "file/data") in refused.value.detail
        assert "APIMARKET_HOME" in refused.value.hint

    def test_the_users_choice_is_not_replaced(self, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        program("raise SystemExit('must not be started')")
        monkeypatch.setenv("APIMARKET_URL", "http://127.0.0.1:1")

        with pytest.raises(ServerUnreachableError, match="APIMARKET_URL"):
            launcher.ensure_running()


class TestAnswers:
    def test_another_program_is_told_apart(self, server: FakeServer) -> None:
        elsewhere = discovery.find()._replace(url=f"{server.url}/me/hello")

        with pytest.raises(ApimarketClientError) as caught:
            launcher.answers(elsewhere)

        assert caught.value.code == "another_program"


class TestStop:
    def test_it_waits_until_the_process_is_gone(self, home: Path, program: Program) -> None:
        program(SERVING)
        endpoint = launcher.ensure_running()
        assert endpoint.pid is not None

        assert launcher.stop(endpoint, apis=False)
        assert not discovery.alive(endpoint.pid)

    def test_none_running_is_no_error(self) -> None:
        assert not launcher.stop(discovery.find()._replace(url="http://127.0.0.1:1"), apis=False)

    def test_one_that_stays_is_told(self, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launcher, "STOP_S", 0.1)

        with pytest.raises(ApimarketClientError) as caught:
            launcher.stop(discovery.find(), apis=True)

        assert server.stopped.is_set()
        assert server.got[-1].path == "/api/v1/server/stop?apis=true"
        assert caught.value.code == "stop_timeout"
        assert f"kill {os.getpid()}" in caught.value.hint
