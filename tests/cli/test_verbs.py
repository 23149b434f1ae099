"""Every verb against a server that speaks the contract: what it sends, prints, and exits with."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_server.cli.program import program
from local_server.client import discovery
from local_server.wire.apis import ApiView
from local_server.wire.server import Check
from tests.client.fake_server import FakeServer, Refusal, a_mistake, failure, generation, log_line, some_files

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *args, **kwargs: runner.invoke(program, [*args], prog_name="apimarket", **kwargs)


class TestListing:
    def test_a_row_tells_state_traffic_reload_and_url(self, run: Run, server: FakeServer) -> None:
        server.add("hello", traffic={"requests_per_s": 3.25, "p95_ms": 41.2, "error_rate": 0.002})

        done = run("ls")

        assert done.exit_code == 0
        head, row = done.stdout.splitlines()
        assert head.split() == ["NAME", "LANG", "STATE", "REQ/S", "P95", "ERR", "RELOAD", "URL"]
        assert row.split("  ")[0] == "hello"
        assert "● running" in row
        assert "3.2" in row
        assert "41 ms" in row
        assert "0.2%" in row
        assert "g1 68 ms" in row
        assert row.endswith(f"{server.url}/me/hello")

    def test_it_says_how_many_replicas_serve_and_that_some_are_missing(self, run: Run, server: FakeServer) -> None:
        server.add("hello", replicas={"serving": 2, "wanted": 3})

        _, row, trouble = run("ls").stdout.splitlines()

        assert "● running 2/3" in row
        assert trouble == "✗ hello: 2 of 3 replicas serve"
        assert "replicas 2 of 3 serve" in run("status", "hello").stdout

    def test_trouble_stands_under_the_table(self, run: Run, server: FakeServer) -> None:
        server.add("hello", error="SyntaxError (main.py:1)", serving=7)

        assert run("ls").stdout.splitlines()[-1] == "✗ hello: SyntaxError (main.py:1) · g7 still serving"

    def test_json_is_the_wire_models_unchanged(self, run: Run, server: FakeServer) -> None:
        views = [server.add("hello"), server.add("other", error="broken")]

        assert json.loads(run("ls", "--json").stdout) == [view.model_dump(mode="json") for view in views]

    def test_a_query_is_the_servers(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.add("other")

        assert [row["name"] for row in json.loads(run("ls", "oth", "--json").stdout)] == ["other"]
        assert run("ls", "zzz").stdout == "No API matches 'zzz'.\n"

    def test_an_empty_registry_says_how_to_begin(self, run: Run, server: FakeServer) -> None:
        assert "apimarket new hello" in run("ls").stdout


class TestStatus:
    def test_it_shows_what_there_is(self, run: Run, server: FakeServer) -> None:
        server.add("hello", entry="main:app", summary="Says hello", usage={"memory_bytes": 50 << 20, "cpu_percent": 3})

        done = run("status", "hello")

        assert done.exit_code == 0
        for told in ("me/hello", "main:app", "Says hello", "50.0 MiB  3% CPU", "no isolation", "g1 serving  68 ms"):
            assert told in done.stdout

    def test_a_failure_shows_its_traceback_and_exits_1(self, run: Run, server: FakeServer) -> None:
        broken = failure("ImportError: x (main.py:3)", hint="Install x").model_copy(
            update={"traceback": "File main.py"}
        )
        server.add("hello", state="failed", serving=None, failure=broken)

        done = run("status", "hello")

        assert done.exit_code == 1
        for told in ("✗ ImportError: x (main.py:3)", "File main.py", "hint: Install x", "serving  nothing"):
            assert told in done.stdout

    def test_of_several_mistakes_it_shows_each(self, run: Run, server: FakeServer) -> None:
        listed = "apimarket.toml has 2 mistakes:\n  line 5: a: wrong\n  line 7: b: wrong"
        broken = failure("apimarket.toml has 2 mistakes: line 5: a: wrong", "manifest")
        server.add("hello", failure=broken.model_copy(update={"message": listed}))

        assert run("status", "hello").stdout.endswith("line 5: a: wrong\n  line 5: a: wrong\n  line 7: b: wrong\n")

    def test_json_is_the_wire_model_unchanged(self, run: Run, server: FakeServer) -> None:
        view = server.add("hello", generation=generation(15, total=68, detect=12))

        assert ApiView.model_validate_json(run("status", "hello", "--json").stdout) == view

    def test_hostile_words_cannot_steer_the_terminal(self, run: Run, server: FakeServer) -> None:
        server.add("hello", summary="\x1b]0;owned\x07nice", directory="/srv/\x1b[2Jx", error="\x1b[31mboom")

        assert "\x1b" not in run("status", "hello").stdout


class TestErrors:
    def test_people_get_the_reason_and_what_to_do(self, run: Run, server: FakeServer) -> None:
        done = run("status", "nope")

        assert done.exit_code == 1
        assert done.stdout == ""
        assert done.stderr == "error: No API is registered under 'nope'\nhint: List them with: apimarket ls\n"

    def test_programs_get_the_problem_on_standard_error(self, run: Run, server: FakeServer) -> None:
        done = run("status", "nope", "--json")

        problem = json.loads(done.stderr)
        assert (done.exit_code, done.stdout) == (1, "")
        assert (problem["code"], problem["status"]) == ("api_not_found", 404)

    def test_no_server(self, run: Run) -> None:
        done = run("ls")

        assert done.exit_code == 1
        assert done.stderr.startswith("error: No apimarket server answers at http://127.0.0.1:8080: it is not running")
        assert "hint: Start one with: apimarket serve" in done.stderr

    def test_a_chosen_server_that_does_not_answer_is_not_replaced(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("APIMARKET_URL", "http://127.0.0.1:1")

        done = run("new", "hello")

        assert done.exit_code == 1
        assert "APIMARKET_URL chose this address" in done.stderr
        assert not discovery.home().exists()

    @pytest.mark.parametrize(
        "args",
        [["lss"], ["ls", "--nope"], ["status"], ["new"], ["logs", "x", "--since", "soon"], ["stop", "x", "--all"]],
        ids=" ".join,
    )
    def test_wrong_usage_exits_2(self, run: Run, server: FakeServer, args: list[str]) -> None:
        assert run(*args).exit_code == 2

    def test_a_mistyped_verb_is_guessed(self, run: Run) -> None:
        assert "Did you mean restart" in run("restrat").stderr

    def test_the_unexpected_has_no_traceback(
        self, run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise KeyError("inside")

        monkeypatch.setattr("local_server.client.synchronous.Client.apis", broken)

        done = run("ls")

        assert done.exit_code == 1
        assert done.stderr == (
            "error: Something went wrong inside apimarket: KeyError: 'inside'\nhint: APIMARKET_DEBUG=1 shows where.\n"
        )

    def test_without_a_terminal_the_ui_points_to_the_commands(self, run: Run) -> None:
        done = run()

        assert done.exit_code == 2
        assert "needs a terminal" in done.stderr


class TestActs:
    @pytest.mark.parametrize("act", ["deploy", "restart", "undo"])
    def test_an_act_tells_the_state(self, run: Run, server: FakeServer, act: str) -> None:
        server.add("hello")

        done = run(act, "hello")

        assert done.exit_code == 0
        assert done.stdout == f"hello  ● running  g1  {server.url}/me/hello\n"
        assert server.got[-1].path == f"/api/v1/apis/hello/{act}"

    def test_waiting_ends_when_it_answers(self, run: Run, server: FakeServer) -> None:
        server.add("hello", serving=None)

        threading.Timer(0.2, lambda: server.add("hello", serving=2)).start()
        done = run("deploy", "hello", "--wait", "--json")

        assert (done.exit_code, json.loads(done.stdout)["serving"]) == (0, 2)

    def test_stop_stops_an_api(self, run: Run, server: FakeServer) -> None:
        server.add("hello")

        assert run("stop", "hello").stdout == "hello is stopped\n"
        assert not server.stopped.is_set()

    def test_stopping_nothing_is_fine(self, run: Run) -> None:
        done = run("stop")

        assert (done.exit_code, done.stdout) == (0, "No server was running\n")

    def test_rm_asks_where_it_can_and_needs_yes_where_not(self, run: Run, server: FakeServer) -> None:
        server.add("hello")

        assert run("rm", "hello").exit_code == 2
        assert "hello" in server.apis
        assert run("rm", "hello", "--yes", "--json").exit_code == 0
        assert server.apis == {}


class TestMaking:
    def test_new_goes_below_the_working_directory(self, run: Run, server: FakeServer, tmp_path: Path) -> None:
        done = run("new", "hello", "--template", "node")

        body = json.loads(server.got[-1].body)
        assert body == {"name": "hello", "template": "node", "directory": str(tmp_path / "hello"), "start": True}
        assert done.exit_code == 0
        assert f"{server.url}/me/hello" in done.stdout.splitlines()
        assert "apimarket dev hello" in done.stdout

    def test_a_relative_directory_reaches_the_server_absolute(
        self, run: Run, server: FakeServer, tmp_path: Path
    ) -> None:
        run("new", "hello", "--dir", "apis/hello", "--no-start")

        assert server.apis["hello"].directory == str(tmp_path / "apis/hello")
        assert json.loads(server.got[-1].body)["start"] is False

    def test_templates_are_listed(self, run: Run, server: FakeServer) -> None:
        assert "A small go API" in run("new", "--template", "list").stdout
        assert len(json.loads(run("new", "--template", "list", "--json").stdout)) == 3

    def test_add_sends_the_real_directory(self, run: Run, server: FakeServer, tmp_path: Path) -> None:
        (tmp_path / "weather").mkdir()
        (tmp_path / "link").symlink_to("weather")

        done = run("add", "link", "--name", "wx")

        body = json.loads(server.got[-1].body)
        assert body == {"directory": str(tmp_path / "weather"), "name": "wx", "start": True}
        assert "wx is registered (python)" in done.stdout

    def test_a_directory_that_is_not_there_is_wrong_usage(self, run: Run, server: FakeServer) -> None:
        assert run("add", "nowhere").exit_code == 2


class TestLogs:
    def test_lines_carry_time_and_generation(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.logs = [log_line("first", 1), log_line("\x1b[31msecond\x1b]0;x\x07", 2, "err")]

        lines = run("logs", "hello").stdout.splitlines()

        assert [line.split(maxsplit=2)[1:] for line in lines] == [["g1", "first"], ["g1", "second"]]

    def test_one_generation_alone(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.logs = [log_line("first", 1), log_line("second", 2)]
        server.logs[1] = server.logs[1].model_copy(update={"generation": 14})

        assert [line.split()[1:] for line in run("logs", "hello", "-g", "14").stdout.splitlines()] == [
            ["g14", "second"]
        ]
        nothing = run("logs", "hello", "--generation", "9")
        assert (nothing.stdout, nothing.stderr) == (
            "",
            "The log of hello has nothing of that time, version or generation.\n",
        )
        assert run("logs", "hello", "--generation", "new").exit_code == 2

    @pytest.mark.parametrize("since", ["2026-01-31T12:00:02+00:00", "2026-01-31T12:00:02Z"])
    def test_since_is_a_time(self, run: Run, server: FakeServer, since: str) -> None:
        server.add("hello")
        server.logs = [log_line("first", 1), log_line("second", 2)]

        assert [x["text"] for x in json.loads(run("logs", "hello", "--since", since, "--json").stdout)] == ["second"]

    def test_since_is_an_age(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.logs = [log_line("old")]

        assert run("logs", "hello", "--since", "10m").stdout == ""


class TestFiles:
    def test_size_mode_change_and_what_is_left_out(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        lines = [line.split() for line in run("files", "hello").stdout.splitlines()]
        assert ["755", "1,410", "~", "changed", "run.sh"] in lines
        assert ["dist/", ".gitignore", "line", "3:", "dist/"] in lines

    def test_mistakes_of_the_manifest_are_told_and_fail(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.files = some_files(manifest=a_mistake())
        done = run("files", "hello")
        assert done.exit_code == 1
        assert 'line 3: run.memory_mb: found "a lot"; allowed: a whole number' in done.stdout

    def test_one_file_without_what_would_steer_the_terminal(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        assert run("files", "hello", "run.sh").stdout == "what directory has\n"
        assert run("files", "hello", "run.sh", "--running").stdout == "what running has\n"
        assert "is no file of" in run("files", "hello", "nope").output
        assert run("files", "hello", "--running").exit_code == 2


class TestDoctor:
    def test_findings_come_with_their_fix(self, run: Run, server: FakeServer) -> None:
        server.checks = [
            Check(name="engine", status="failed", detail="Docker does not answer", fix="systemctl start docker"),
            Check(name="python", status="ok", detail="3.11"),
        ]

        done = run("doctor")

        assert done.exit_code == 1
        assert done.stdout.splitlines() == [
            "✗ engine           Docker does not answer",
            "  fix: systemctl start docker",
            "✓ python           3.11",
        ]

    def test_a_warning_is_no_failure(self, run: Run, server: FakeServer) -> None:
        server.checks = [Check(name="engine", status="warning", detail="no isolation")]

        assert run("doctor").exit_code == 0

    def test_without_a_server_it_still_tells(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home/server.log").write_text(
            'noise\n{"detail":"Port 8080 is taken","code":"port_taken","status":503,"title":"x","hint":"y"}\n'
        )

        checks = {check["name"]: check for check in json.loads(run("doctor", "--json").stdout)}

        assert checks["server"]["status"] == "failed"
        assert checks["server"]["fix"] == "apimarket serve"
        assert checks["last start"]["detail"] == "Port 8080 is taken"
        assert checks["data directory"]["status"] == "ok"


class TestDemo:
    def test_what_this_machine_cannot_run_is_told_and_the_rest_goes_on(self, run: Run, server: FakeServer) -> None:
        server.broken_templates = {"go"}
        _answer_saves(server)

        done = run("demo", "--json")

        assert done.exit_code == 0, done.stderr
        python, node, go = json.loads(done.stdout)
        assert (python["name"], python["answered"], python["calls"]) == ("demo-python", 40, 40)
        assert node["answered"] == 40
        assert python["reload_ms"] == 31.0
        assert go["error"] == "Running a go API needs go"
        assert "apimarket[go]" in go["hint"]

    def test_it_may_be_run_again(self, run: Run, server: FakeServer) -> None:
        _answer_saves(server)

        assert run("demo").exit_code == 0
        again = run("demo")

        assert again.exit_code == 0, again.stderr
        assert again.stdout.count("40/40") == 3
        source = (server.home / "demo/demo-python/main.py").read_text()
        assert source.endswith("# saved by `apimarket demo`, time 2\n")
        assert source.count("saved by") == 1

    def test_when_nothing_runs_it_fails(self, run: Run, server: FakeServer) -> None:
        server.broken_templates = {"python", "node", "go"}

        done = run("demo")

        assert done.exit_code == 1
        assert "None of the samples answers" in done.stderr
        assert "hint: demo-go: pip install 'apimarket[go]'" in done.stdout


def _answer_saves(server: FakeServer) -> None:
    """Every look at a demo API shows one generation more, as if a save had been served since the last."""
    looks = {"count": 0}

    class Moving(dict[str, ApiView]):
        def values(self):  # type: ignore[no-untyped-def]
            looks["count"] += 1
            return [
                view.model_copy(
                    update={"generation": generation(looks["count"], total=31.0), "serving": looks["count"]}
                )
                for view in super().values()
            ]

    server.apis = Moving(server.apis)


class TestRefusals:
    def test_a_wrong_token_says_where_the_right_one_is(self, run: Run, server: FakeServer) -> None:
        (server.home / "token").write_text("wrong")

        done = run("ls")

        assert done.exit_code == 1
        assert "no valid bearer token" in done.stderr

    def test_details_of_many_lines_stay_readable(self, run: Run, server: FakeServer) -> None:
        server.refusal = Refusal(422, "invalid_manifest", "2 mistakes:\n  line 1: a\n  line 2: b", "Correct them")

        assert run("ls").stderr == "error: 2 mistakes:\n  line 1: a\n  line 2: b\nhint: Correct them\n"
