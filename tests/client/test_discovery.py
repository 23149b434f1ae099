import json
import os
import subprocess
import sys
import time
from pathlib import Path

import platformdirs
import pytest

from local_server.client import discovery


def write_server(home: Path, pid: int, url: str = "http://127.0.0.1:9099") -> None:
    home.mkdir(exist_ok=True)
    (home / "server.json").write_text(json.dumps({"url": url, "pid": pid, "version": "0.1.0"}))
    (home / "token").write_text("secret\n")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def gone_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


class TestHome:
    def test_the_environment_decides(self, home: Path) -> None:
        assert discovery.home() == home

    @pytest.mark.parametrize("base", [None, "/srv/data", "not/absolute", " "])
    def test_without_it_platformdirs_does(self, base: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("APIMARKET_HOME")
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        if base is not None:
            monkeypatch.setenv("XDG_DATA_HOME", base)

        assert discovery.home() == platformdirs.user_data_path("apimarket", appauthor=False).absolute()


class TestFind:
    def test_a_living_server_is_found_with_its_token(self, home: Path) -> None:
        write_server(home, os.getpid())

        assert discovery.find() == ("http://127.0.0.1:9099", "secret", home, False, os.getpid())

    def test_a_dead_server_gives_its_url_and_no_token(self, home: Path, gone_pid: int) -> None:
        write_server(home, gone_pid)

        assert discovery.find() == ("http://127.0.0.1:9099", "", home, False, None)

    def test_nothing_written_means_the_default(self, home: Path) -> None:
        assert discovery.find() == ("http://127.0.0.1:8080", "", home, False, None)

    @pytest.mark.parametrize(("port", "meant"), [("9191", 9191), ("0", 8080), ("any", 8080), ("", 8080)])
    def test_the_default_is_where_one_would_be_started(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, port: str, meant: int
    ) -> None:
        monkeypatch.setenv("APIMARKET_PORT", port)

        assert discovery.find().url == f"http://127.0.0.1:{meant}"

    @pytest.mark.parametrize("written", ["", "[]", "{", '{"url": null, "pid": "x"}'])
    def test_a_damaged_file_means_the_default(self, home: Path, written: str) -> None:
        home.mkdir()
        (home / "server.json").write_text(written)

        assert discovery.find().url == "http://127.0.0.1:8080"

    def test_the_users_url_wins(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_server(home, os.getpid())
        monkeypatch.setenv("APIMARKET_URL", "http://localhost:7000/")

        found = discovery.find()

        assert (found.url, found.token, found.chosen) == ("http://localhost:7000", "secret", True)

    def test_the_local_token_never_goes_to_another_machine(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_server(home, os.getpid())
        monkeypatch.setenv("APIMARKET_URL", "https://market.example")

        assert discovery.find().token == ""

    def test_a_given_token_goes_where_the_user_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APIMARKET_URL", "https://market.example")
        monkeypatch.setenv("APIMARKET_TOKEN", "given")

        assert discovery.find().token == "given"


class TestAlive:
    def test_this_process_is(self) -> None:
        assert discovery.alive(os.getpid())

    @pytest.mark.parametrize("pid", [0, -1])
    def test_no_process_has_such_an_id(self, pid: int) -> None:
        assert not discovery.alive(pid)

    def test_a_process_that_ended_is_not(self, gone_pid: int) -> None:
        assert not discovery.alive(gone_pid)

    def test_a_child_that_ended_is_not_and_can_still_be_waited_for(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert not discovery.alive(child.pid)
        assert child.wait() == 3

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells of other processes' children")
    def test_another_process_child_that_has_ended_does_not_count(self) -> None:
        code = "import subprocess, time; print(subprocess.Popen(['true']).pid, flush=True); time.sleep(30)"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            deadline = time.monotonic() + 10
            while (gone := not discovery.alive(pid)) is False and time.monotonic() < deadline:
                time.sleep(0.01)
            parent.kill()
        assert gone
