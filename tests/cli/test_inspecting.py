"""`inspect` against a real server."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from local_server.cli.program import program
from local_server.wire.exchanges import CompareView, ExchangeSummary, ExchangeView, Forgotten, ReplayView
from tests.control.conftest import Running, serving, wait_for

Run = Callable[..., Result]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\x9b31m"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An API of two generations."""
    root = tmp_path_factory.mktemp("inspecting")
    with serving(root / "home") as started:
        (root / "hello").mkdir()
        (root / "hello" / "main.py").write_text("def handler(request):\n    return {}\n")
        for number, answer in enumerate(('{"total": 1}', '{"total": 2, "note": "' + HOSTILE + '"}'), 1):
            (root / "hello" / "answer.txt").write_text(answer)
            if number == 1:
                assert started.ask("POST", "/api/v1/apis", {"directory": str(root / "hello")}).status == 201
            wait_for(lambda wanted=number: started.ask("GET", "/api/v1/apis/hello").json["serving"] == wanted)
        yield started


@pytest.fixture
def run(running: Running, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("APIMARKET_HOME", str(running.home))
    runner = CliRunner()
    return lambda *args: runner.invoke(program, ["inspect", *args], prog_name="apimarket")


@pytest.fixture
def request_id(running: Running) -> str:
    body = {"user": HOSTILE, "password": "planted"}
    answer = running.ask("POST", "/ana/hello/orders?token=planted", body, {"x-note": "one"}, token=None)
    return answer.headers["x-request-id"]


class TestList:
    def test_the_newest_come_last(self, run: Run, request_id: str) -> None:
        head, *_, last = run("hello").stdout.splitlines()
        assert head.split() == ["ID", "TIME", "GEN", "STATUS", "TOOK", "SIZE", "REQUEST"]
        assert last.split()[0] == request_id[-8:]
        assert last.endswith("POST /orders?token=[redacted]")

    def test_json_is_the_servers(self, run: Run, request_id: str) -> None:
        rows = [ExchangeSummary.model_validate(row) for row in json.loads(run("hello", "--json", "-n", "1").stdout)]
        assert [row.id for row in rows] == [request_id]

    def test_the_last_one_of_a_path_or_that_was_not_ok(self, run: Run, request_id: str, running: Running) -> None:
        running.ask("GET", "/ana/hello/later", token=None)
        assert "POST /orders" in run("hello", "last", "--path", "/ord").stdout
        assert "kept under 'last'" in run("hello", "last", "--errors").stderr

    def test_none(self, run: Run, request_id: str) -> None:
        assert run("hello", "--path", "/nowhere").stdout == "No such request to hello.\n"
        assert run("hello", "--errors").stdout == "No such request to hello.\n"

    def test_the_history_has_the_same_ids(self, run: Run, request_id: str, running: Running) -> None:
        def known() -> bool:
            return any(
                row["id"] == request_id for row in running.ask("GET", "/api/v1/apis/hello/history").json["requests"]
            )

        wait_for(known)

    def test_forgetting(self, run: Run, request_id: str) -> None:
        assert run("hello", "--forget").stdout.endswith(" forgotten.\n")
        assert run("hello").stdout == "No such request to hello.\n"
        assert Forgotten.model_validate_json(run("hello", "--forget", "--json").stdout).forgotten == 0


class TestOne:
    def test_it_is_shown_whole_by_its_id_its_end_or_as_the_last(self, run: Run, request_id: str) -> None:
        shown = [run("hello", name).stdout for name in (request_id, request_id[-8:], "last")]
        assert shown[0] == shown[1] == shown[2]
        for told in (
            "POST /orders",
            "200",
            "answered by g2",
            request_id,
            "x-note: one",
            '"password": "[redacted]"',
            "total",
        ):
            assert told in shown[0]

    def test_a_version_that_answered_is_named(self, run: Run, running: Running) -> None:
        made = running.ask("POST", "/api/v1/apis/hello/deploy", {"version": "1.0.0", "weight": 0})
        assert made.status == 202
        wait_for(lambda: running.ask("GET", "/ana/hello@1.0.0/kept", token=None).status == 200)
        found = run("hello", "last", "--path", "/kept")
        assert "answered by 1.0.0" in found.stdout
        assert run("hello", "-n", "1").stdout.splitlines()[1].split()[2] == "1.0.0"
        asked = json.loads(run("hello", "last", "--path", "/kept", "--json").stdout)["id"]
        assert "answered by 1.0.0" in run("hello", asked, "--replay").stdout
        first, second = run("hello", asked, "--against", "1").stdout.splitlines()[:2]
        assert (first.split()[:2], second.split()[:2]) == (["-", "g1"], ["+", "1.0.0"])
        line = running.ask("GET", "/api/v1/apis/hello/logs?version=1.0.0").json[-1]["text"]
        assert line.startswith("replayed GET /kept: 200")

    def test_nothing_in_it_steers_the_terminal(self, run: Run, request_id: str) -> None:
        for args in ([], ["--replay"], ["--against", "1"], ["--curl"]):
            shown = run("hello", request_id, *args).stdout
            assert shown
            assert [char for char in shown if not char.isprintable() and char != "\n"] == [], args

    def test_json_is_the_servers(self, run: Run, request_id: str) -> None:
        assert ExchangeView.model_validate_json(run("hello", "last", "--json").stdout).id == request_id

    def test_a_cut_body_says_so(self, run: Run, running: Running) -> None:
        running.ask("POST", "/ana/hello/", b"x" * 65537, token=None)
        shown = run("hello", "last").stdout
        assert "cut: 65537 bytes passed" in shown
        assert "Cannot be replayed: its body has 65537 bytes, of which the first 65536 were kept." in shown

    def test_an_unknown_one(self, run: Run, request_id: str) -> None:
        done = run("hello", "nope")
        assert (done.exit_code, done.stdout) == (1, "")
        assert "No exchange of ana/hello is kept under 'nope'" in done.stderr


class TestActs:
    def test_replay(self, run: Run, request_id: str) -> None:
        shown = run("hello", "last", "--replay").stdout
        assert shown.startswith("200  ")
        assert "answered by g2" in shown
        assert ReplayView.model_validate_json(run("hello", "last", "--replay", "--json").stdout).status == 200

    def test_the_difference_to_another_generation(self, run: Run, request_id: str) -> None:
        first, second, *rest = run("hello", "last", "--against", "1").stdout.splitlines()
        assert first.startswith("- g1  200")
        assert second.startswith("+ g2  200")
        assert [line for line in rest if line][:2] == ["- total: 1", "+ total: 2"]
        assert not CompareView.model_validate_json(run("hello", "last", "--against", "1", "--json").stdout).same

    def test_no_difference(self, run: Run, request_id: str) -> None:
        assert "The answers are the same" in run("hello", "last", "--against", "2").stdout

    def test_curl_is_alone_on_standard_output(self, run: Run, request_id: str) -> None:
        shown = run("hello", "last", "--curl").stdout
        assert "curl --globoff" in shown
        assert "planted" not in shown
        assert "curl --globoff" in json.loads(run("hello", "last", "--curl", "--json").stdout)["curl"]

    def test_an_unknown_generation(self, run: Run, request_id: str) -> None:
        done = run("hello", "last", "--against", "77")
        assert done.exit_code == 1
        assert "ana/hello has no generation 77" in done.stderr

    @pytest.mark.parametrize(
        "args",
        [["--replay"], ["--against", "1"], ["--curl"], ["last", "--replay", "--curl"], ["last", "--forget"],
         ["last", "--against", "0"], ["last", "--against", "x"]],
    )  # fmt: skip
    def test_wrong_usage(self, run: Run, args: list[str]) -> None:
        assert run("hello", *args).exit_code == 2
