"""The curl command of a kept request runs as it stands, and holds none of its secrets."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.curl import curl
from local_server.domain.exchanges import BODY_BYTES, NOTHING, Body, Exchange
from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.ids import ApiId, RequestId

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


class Server(HTTPServer):
    got: tuple[str, str, list[tuple[str, str]], bytes]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def __getattr__(self, name: str) -> Any:
        """Every method is taken."""
        if name.startswith("do_"):
            return self._take
        raise AttributeError(name)

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.got = self.command, self.path, self.headers.items(), body
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture(params=["bash", "dash"])
def shell(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param}")
    return str(request.param)


def exchange(
    server: Server,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
) -> Exchange:
    row = Execution(
        RequestId("r"), ApiId("a"), 1, method, path, 200, CallOutcome.OK, datetime.now(UTC), 1, 1, len(body), 0, False
    )
    origin = f"http://127.0.0.1:{server.server_port}"
    return Exchange(
        row, origin, "127.0.0.1", "/me/x", path, query, headers, Body(body[:BODY_BYTES], len(body)), (), NOTHING
    )


def run(shell: str, one: Exchange, **variables: str) -> str:
    """Hand it to the shell as if it were typed: an argument would have a limit."""
    command = curl(one)
    environment = os.environ | variables
    subprocess.run([shell, "-eu"], input=command.encode(), check=True, env=environment, capture_output=True, timeout=20)
    return command


class TestRunning:
    def test_a_plain_one(self, server: Server, shell: str) -> None:
        run(
            shell,
            exchange(server, path="/a/../b", query="q=it's&x=[1-3]{a,b}$HOME", headers=(("x-a", "$(id) `id` 'q'"),)),
        )
        method, path, headers, body = server.got
        assert (method, path, body) == ("GET", "/me/x/a/../b?q=it's&x=[1-3]{a,b}$HOME", b"")
        assert ("x-a", "$(id) `id` 'q'") in headers
        assert {name.lower() for name, _ in headers} == {"host", "user-agent", "x-a"}

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PURGE", "GET"])
    def test_methods_and_bodies(self, server: Server, shell: str, method: str) -> None:
        body = b'{"it\'s": "\\n $HOME `id` %s \xc3\xa9\n"}'
        run(shell, exchange(server, method, headers=(("content-type", "application/json"),), body=body))
        assert (server.got[0], server.got[3]) == (method, body)
        assert ("content-type", "application/json") in server.got[2]

    @pytest.mark.parametrize(
        "body",
        [
            b"@/etc/passwd",
            b"\x1b]0;title\x07",
            b"a\r\nb",
            bytes(range(256)),
            b"\xff\xfe",
            b"'" * BODY_BYTES,
            b"%s\\n" * 100,
            os.urandom(BODY_BYTES),
        ],
        ids=["@", "escapes", "CRLF", "every byte", "not UTF-8", "quotes", "formats", "64 KiB"],
    )
    def test_odd_bodies_arrive_byte_by_byte(self, server: Server, shell: str, body: bytes) -> None:
        run(shell, exchange(server, "POST", body=body))
        assert server.got[3] == body
        assert not any(name.lower() == "content-type" for name, _ in server.got[2])

    def test_secrets_are_variables(self, server: Server, shell: str) -> None:
        one = exchange(
            server, "POST", query="token=pl4nted&a=1",
            headers=(
                ("authorization", "Bearer pl4nted"), ("cookie", "a=pl4nted"), ("content-type", "application/json"),
                ("x-empty", ""),
            ),
            body=b'{"user": "ana", "password": "pl4nted"}',
        )  # fmt: skip
        given = {"AUTHORIZATION": "au", "COOKIE": "c=1", "TOKEN": "to", "PASSWORD": "p w", "APIMARKET_KEY": "k"}
        command = run(shell, replace(one, keyed=True), **given)
        assert "pl4nted" not in command
        _, path, headers, body = server.got
        assert path == "/me/x/?token=to&a=1"
        assert {("authorization", "Bearer au"), ("cookie", "c=1"), ("x-api-key", "k"), ("x-empty", "")} <= set(headers)
        assert body == b'{"user": "ana", "password": "p w"}'

    def test_a_missing_variable_is_an_error_of_a_strict_shell(self, server: Server) -> None:
        one = exchange(server, headers=(("cookie", "pl4nted"),))
        done = subprocess.run(["bash", "-euc", curl(one)], capture_output=True, text=True, check=False, timeout=20)
        assert "COOKIE" in done.stderr


class TestWhatItCannotHold:
    def test_a_body_that_was_cut_is_read_from_a_file(self, server: Server) -> None:
        assert curl(exchange(server, "POST", body=b"x" * (BODY_BYTES + 1))).endswith('--data-binary @"$BODY_FILE"')

    def test_so_is_one_that_was_refused_unread(self, server: Server, shell: str, tmp_path: Path) -> None:
        (tmp_path / "body").write_bytes(b"n=1")
        one = replace(exchange(server, "PUT", headers=(("content-length", "3"),)), request_complete=False)
        run(shell, one, BODY_FILE=str(tmp_path / "body"))
        assert (server.got[0], server.got[3]) == ("PUT", b"n=1")

    def test_so_is_a_packed_one_with_secrets(self, server: Server) -> None:
        import gzip

        packed = gzip.compress(b'{"password": "pl4nted"}')
        headers = (("content-encoding", "gzip"), ("content-type", "application/json"))
        assert curl(exchange(server, "POST", headers=headers, body=packed)).endswith('--data-binary @"$BODY_FILE"')

    def test_a_websocket_has_none(self, server: Server) -> None:
        assert curl(replace(exchange(server), websocket=True)) == ""
