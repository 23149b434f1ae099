import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_server.cli.calling import _readable
from local_server.cli.program import program
from tests.client.fake_server import FakeServer

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    runner = CliRunner()
    return lambda *args, **kwargs: runner.invoke(program, ["call", *args], prog_name="apimarket", **kwargs)


def echoed(done: Result) -> dict[str, object]:
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


class TestTarget:
    @pytest.mark.parametrize(
        ("target", "path"),
        [
            ("hello", "/me/hello/"),
            ("hello/now?q=a%20b&c=1", "/me/hello/now?q=a%20b&c=1"),
            ("/hello/now", "/me/hello/now"),
            ("me/hello/now", "/me/hello/now"),
            ("hello?q=1", "/me/hello/?q=1"),
        ],
    )
    def test_name_and_path(self, run: Run, server: FakeServer, target: str, path: str) -> None:
        server.add("hello")

        assert echoed(run(target))["path"] == path

    def test_an_unknown_name_is_told_as_it_was_given(self, run: Run, server: FakeServer) -> None:
        done = run("nope/now")

        assert done.exit_code == 1
        assert "'nope'" in done.stderr


class TestSending:
    def test_flags_are_curls(self, run: Run, server: FakeServer) -> None:
        server.add("hello")

        told = echoed(run("hello/x", "-X", "PUT", "-H", "X-A: 1", "-H", "X-B:2", "-d", '{"a":1}'))

        headers = told["headers"]
        assert isinstance(headers, dict)
        assert (told["method"], told["body"]) == ("PUT", '{"a":1}')
        assert (headers["X-A"], headers["X-B"], headers["Content-Type"]) == ("1", "2", "application/json")

    def test_data_makes_it_a_post_of_a_form(self, run: Run, server: FakeServer) -> None:
        server.add("hello")

        told = echoed(run("hello", "-d", "a=1"))

        assert told["method"] == "POST"
        assert "application/x-www-form-urlencoded" in str(told["headers"])

    def test_data_comes_from_a_file_or_standard_input(self, run: Run, server: FakeServer, tmp_path: Path) -> None:
        server.add("hello")
        (tmp_path / "body").write_bytes(b"from a file")

        assert echoed(run("hello", "-d", f"@{tmp_path / 'body'}"))["body"] == "from a file"
        assert echoed(run("hello", "-d", "@-", input="from a pipe"))["body"] == "from a pipe"

    def test_a_file_that_cannot_be_read_is_named(self, run: Run, server: FakeServer, tmp_path: Path) -> None:
        server.add("hello")
        done = run("hello", "-d", f"@{tmp_path / 'nope'}")
        assert done.exit_code == 2
        assert f"-d @{tmp_path / 'nope'}: no such file or directory" in done.stderr

    @pytest.mark.parametrize("header", ["nonsense", ": x", "A: b\r\nEvil: 1"])
    def test_a_header_that_is_none_is_wrong_usage(self, run: Run, server: FakeServer, header: str) -> None:
        server.add("hello")

        assert run("hello", "-H", header).exit_code == 2

    def test_the_token_stays_here(self, run: Run, server: FakeServer) -> None:
        server.add("hello")

        assert "uthorization" not in str(echoed(run("hello"))["headers"])


class TestShowing:
    def test_include_shows_status_and_headers(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.gateway = lambda got: (200, {"X-Odd": "\x1b[2Jx"}, b"body")

        lines = run("hello", "-i").stdout.splitlines()

        assert lines[0].startswith("200 OK  ")
        assert "X-Odd: x" in lines
        assert lines[-2:] == ["", "body"]

    def test_an_error_status_exits_1_and_still_prints_the_body(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.gateway = lambda got: (500, {}, b"boom")

        done = run("hello")

        assert (done.exit_code, done.stdout) == (1, "boom")
        assert done.stderr == "error: 500 Internal Server Error\n"

    def test_a_pipe_gets_the_bytes_as_they_came(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.gateway = lambda got: (200, {}, b"\x00\xff\x1b[31m")

        assert run("hello").stdout_bytes == b"\x00\xff\x1b[31m"

    def test_json_is_one_document(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.gateway = lambda got: (201, {"X-A": "1"}, b"made")

        told = json.loads(run("hello", "--json").stdout)

        assert (told["status"], told["reason"], told["body"]) == (201, "Created", "made")
        assert ["X-A", "1"] in told["headers"]
        assert told["elapsed_ms"] > 0

    def test_an_api_whose_gateway_is_gone(self, run: Run, server: FakeServer) -> None:
        server.add("hello", url="http://127.0.0.1:1/me/hello")

        done = run("hello")

        assert done.exit_code == 1
        assert "connection refused" in done.stderr

    @pytest.mark.parametrize(
        ("body", "shown"),
        [
            (b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'),
            (b"plain\x1b[2J\n", "plain"),
            (b"\xff\x00", "2 B that are not text. Redirect them to a file to keep them."),
        ],
    )
    def test_a_terminal_gets_it_readable(self, body: bytes, shown: str) -> None:
        assert _readable(body) == shown
