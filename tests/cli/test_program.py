"""The program as a process: what it imports, how its verbs are listed, and how the long-running ones end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from local_server.cli.program import program
from local_server.cli.verbs import VERBS
from local_server.wire.events import ApiGone, ApiUpdated, LogsWritten
from tests.client.fake_server import FakeServer, failure, generation, log_line

HEAVY = {"pydantic", "fastapi", "starlette", "uvicorn", "httpx2", "docker", "textual", "rich", "sqlite3", "psutil"}
HEAVY |= {"pydantic_settings", "asyncio", "platformdirs", "watchfiles", "apimarket_tui", "local_server.wire"}

_IMPORTED = """
import sys
from local_server.cli.program import program
try:
    program(prog_name="apimarket")
except SystemExit as end:
    print(end.code, *sorted(sys.modules), file=sys.stderr)
"""


def imported_by(*args: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _IMPORTED, *args], capture_output=True, text=True, check=True)
    code, *modules = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(modules)


class TestImports:
    @pytest.mark.parametrize("verb", sorted(VERBS))
    def test_no_verb_imports_anything_heavy(self, verb: str) -> None:
        assert imported_by(verb, "--help") & HEAVY == set()

    def test_help_imports_no_verb(self) -> None:
        modules = {verb.where.partition(":")[0] for verb in VERBS.values()}

        assert imported_by("--help") & {f"local_server.cli.{module}" for module in modules} == set()

    @pytest.mark.parametrize(
        "args", ["ls", "ls --json", "status hello", "logs hello", "call hello/x", "doctor", "stop hello"]
    )
    def test_talking_to_a_server_imports_nothing_heavy(self, server: FakeServer, args: str) -> None:
        server.add("hello")

        assert imported_by(*args.split()) & HEAVY == set()


class TestHelp:
    @pytest.mark.parametrize("name", sorted(VERBS))
    def test_every_verb_is_there_and_says_what_it_does(self, name: str) -> None:
        command = program.get_command(click.Context(program), name)

        assert command is not None
        assert command.name == name
        assert command.help
        assert VERBS[name].help.endswith(".")
        assert len(VERBS[name].help) <= 60

    def test_the_line_of_an_act_is_a_whole_sentence(self) -> None:
        groups = [
            found
            for name in VERBS
            if isinstance(found := program.get_command(click.Context(program), name), click.Group)
        ]
        lines = [act.get_short_help_str(60) for group in groups for act in group.commands.values()]

        assert groups
        assert [line for line in lines if line.endswith("...")] == []

    def test_every_verb_that_prints_data_takes_json(self) -> None:
        context = click.Context(program)
        commands = {name: program.get_command(context, name) for name in VERBS}
        for name, command in list(commands.items()):
            if isinstance(command, click.Group):  # its acts print, it does not
                del commands[name]
                commands |= {f"{name} {act}": found for act, found in command.commands.items()}
        without = {
            name for name, command in commands.items() if command and "as_json" not in {p.name for p in command.params}
        }

        assert without == {"serve"}


@contextmanager
def started(*args: str, cwd: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "local_server", *args]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=cwd or root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.kill()


def next_lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


class TestFollowingLogs:
    def test_history_then_what_comes_then_ctrl_c(self, server: FakeServer) -> None:
        server.add("hello")
        server.logs = [log_line("one", 1), log_line("two", 2)]
        with started("logs", "hello", "-f", "--json") as process:
            assert [json.loads(line)["text"] for line in next_lines(process, 2)] == ["one", "two"]
            # The history held the first already; equal lines of one moment are as many as the program wrote.
            again = [log_line("two", 2), log_line("three", 3), log_line("three", 3)]
            server.emit(LogsWritten(api_id="id-hello", lines=again))
            assert [json.loads(line)["text"] for line in next_lines(process, 2)] == ["three", "three"]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0

    def test_a_versions_log_is_followed_on_its_own_topic(self, server: FakeServer) -> None:
        server.add("hello")
        server.logs = [log_line("one", 1)]
        with started("logs", "hello", "-f", "--version", "1.2.0", "--json") as process:
            assert [json.loads(line)["text"] for line in next_lines(process, 1)] == ["one"]
            server.emit(LogsWritten(api_id="id-hello", lines=[log_line("two", 2)]))
            assert [json.loads(line)["text"] for line in next_lines(process, 1)] == ["two"]
            asked = [unquote(got.path) for got in server.got]
            assert any(path.endswith("topics=log:id-hello@1.2.0") for path in asked)
            assert any("/logs?" in path and "version=1.2.0" in path for path in asked)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0

    def test_a_break_loses_nothing_and_repeats_nothing(self, server: FakeServer) -> None:
        server.add("hello")
        server.logs = [log_line("one", 1)]
        with started("logs", "hello", "-f", "--json") as process:
            next_lines(process, 1)
            server.logs.append(log_line("missed", 2))
            server.break_streams()
            assert [json.loads(line)["text"] for line in next_lines(process, 1)] == ["missed"]
            server.emit(LogsWritten(api_id="id-hello", lines=[log_line("missed", 2), log_line("later", 3)]))
            assert [json.loads(line)["text"] for line in next_lines(process, 1)] == ["later"]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0


class TestDev:
    def test_url_then_log_and_reloads_until_ctrl_c(self, server: FakeServer, tmp_path: Path) -> None:
        directory = tmp_path / "hello"
        directory.mkdir()
        with started("dev", str(directory)) as process:
            first, url = next_lines(process, 2)
            assert first == "▶ g1 68 ms"
            assert url == f"{server.url}/me/hello"
            server.wait_for_stream()
            view = server.apis["hello"]

            reload = view.model_copy(update={"serving": 2, "generation": generation(2, total=31, detect=12)})
            server.emit(ApiUpdated(api=reload))
            told_already = log_line("⟳ g2 31 ms (detect 12)", 1, "apimarket")
            advice = log_line("pandas costs 410 ms", 2, "apimarket")
            server.emit(LogsWritten(api_id=view.id, lines=[told_already, log_line("printed", 1), advice]))
            broken = reload.model_copy(
                update={"generation": generation(3, "failed"), "failure": failure("SyntaxError: x (main.py:2)")}
            )
            server.emit(ApiUpdated(api=broken))
            server.emit(ApiUpdated(api=server.add("another", generation=generation(9))))
            assert next_lines(process, 1) == ["⟳ g2 31 ms (detect 12)"]
            assert [line.split(maxsplit=1)[1] for line in next_lines(process, 2)] == [
                "g1 printed",
                "g1 pandas costs 410 ms",
            ]
            assert next_lines(process, 1) == ["✗ SyntaxError: x (main.py:2) · g2 still serving"]

            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert process.stdout is not None
            assert process.stdout.read() == (
                "\nhello keeps running and reloading. Follow it again: apimarket dev   Stop it: apimarket stop hello\n"
            )

    def test_a_registered_directory_is_found_and_started(self, server: FakeServer, tmp_path: Path) -> None:
        server.add("hello", directory=str(tmp_path), state="stopped", desired_state="stopped", serving=None)
        with started("dev", "--json", cwd=tmp_path) as process:
            assert json.loads(next_lines(process, 1)[0])["api"]["name"] == "hello"
            assert [got.path for got in server.got if got.method == "POST"] == ["/api/v1/apis/id-hello/deploy"]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0

    def test_an_api_that_is_removed_ends_it(self, server: FakeServer, tmp_path: Path) -> None:
        server.add("hello", directory=str(tmp_path))
        with started("dev", cwd=tmp_path) as process:
            next_lines(process, 2)
            server.emit(ApiGone(id="id-hello", name="hello"))
            assert process.wait(10) == 1
            assert process.stderr is not None
            assert "removed from the registry" in process.stderr.read()


class TestPipes:
    def test_a_reader_that_leaves_early_is_no_error_report(self, server: FakeServer) -> None:
        for number in range(300):
            server.add(f"api-{number}", summary="x" * 500)
        with started("ls", "--json") as process:
            assert process.stdout is not None
            process.stdout.read(10)
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == ""

    def test_no_colour_reaches_a_pipe(self, server: FakeServer) -> None:
        server.add("hello", error="boom")
        with started("ls") as process:
            assert process.stdout is not None
            assert "\x1b" not in process.stdout.read()


@pytest.mark.slow
class TestSpeed:
    @pytest.mark.parametrize("args", ["--help", "ls", "status hello", "call hello"])
    def test_a_verb_takes_at_most_150_ms(self, server: FakeServer, args: str) -> None:
        """The best of seven in processor time: what the verb costs, not what else the machine was doing."""
        server.add("hello")
        taken = []
        for _ in range(7):
            process = subprocess.Popen(
                [sys.executable, "-m", "local_server", *args.split()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            taken.append(usage.ru_utime + usage.ru_stime)

        assert min(taken) < 0.150
