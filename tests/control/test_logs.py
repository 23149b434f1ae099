"""The server's own log: one event a line, whoever wrote the words in it, and no secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local_server import logs
from local_server.domain.keys import write_key
from local_server.gateway import Edge, Gateway, Hosts
from local_server.gateway.current import Current, current
from local_server.gateway.serving import uvicorn_options
from local_server.system import RealSystem
from tests.gateway.conftest import serving

HOSTILE = [
    'a\n{"time": "2026-01-01T00:00:00Z", "level": "error", "message": "forged"}',
    "a\r\n2026-01-01 00:00:00,000 ERROR apimarket: forged",
    "a\x0b\x0c\x1c\x1d\x1e\x85b\u2028c\u2029d",
    "\x1b]0;title\x07\x1b[2Jscreen gone",
    "\u202egnp.exe",
    "half a character \ud800",
    '"}',
    "\x00",
    "%s %d %(name)s {0} ${x}",
]
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged, by whatever format is configured on it; the loggers are as before afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._NOISY}
    root.handlers = []
    yield io.StringIO()
    root.handlers = before
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def lines_of(written: io.StringIO) -> list[str]:
    text = written.getvalue()
    assert text.endswith("\n")
    return text[:-1].split("\n")


class TestJson:
    def test_a_line_says_when_how_bad_who_and_what(self, written: io.StringIO) -> None:
        logs.configure("json", stream=written)
        before = datetime.now(UTC)
        logging.getLogger("apimarket.test").warning("%d of %s", 2, "Ünïcode")
        logging.getLogger("apimarket.test").debug("not this")
        (line,) = lines_of(written)
        fields = json.loads(line)
        assert list(fields) == ["time", "level", "logger", "message"]
        assert (fields["level"], fields["logger"], fields["message"]) == ("warning", "apimarket.test", "2 of Ünïcode")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["time"])
        assert abs((datetime.fromisoformat(fields["time"][:-1] + "+00:00") - before).total_seconds()) < 5

    def test_the_request_and_its_trace_are_named(self, written: io.StringIO) -> None:
        logs.configure("json", stream=written)
        token = current.set(Current("request-1", TRACE))
        logging.getLogger("x").info("within")
        current.reset(token)
        logging.getLogger("x").info("outside")
        within, outside = map(json.loads, lines_of(written))
        assert (within["request_id"], within["trace_id"]) == ("request-1", TRACE)
        assert "request_id" not in outside
        assert "trace_id" not in outside

    def test_an_error_is_a_field(self, written: io.StringIO) -> None:
        logs.configure("json", stream=written)
        try:
            raise ValueError("first\nsecond")
        except ValueError:
            logging.getLogger("x").exception("it failed")
        fields = json.loads(lines_of(written)[0])
        assert fields["message"] == "it failed"
        assert fields["error"]["type"] == "builtins.ValueError"
        assert fields["error"]["message"] == "first\nsecond"
        assert fields["error"]["traceback"].startswith("Traceback (most recent call last)")

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_nobody_can_forge_a_line(self, written: io.StringIO, text: str) -> None:
        logs.configure("json", stream=written)
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger(text).exception("%s", text)
        logging.getLogger("x").info("next")
        raw = written.getvalue()
        assert raw.isascii()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", raw)
        first, second = map(json.loads, raw.splitlines())
        assert (first["message"], first["error"]["message"]) == (text, text)
        assert (first["level"], second["message"]) == ("error", "next")

    def test_what_does_not_fit_its_format_is_still_told(self, written: io.StringIO) -> None:
        logs.configure("json", stream=written)
        logging.getLogger("x").info("%d things", "many")
        assert json.loads(lines_of(written)[0])["message"] == "%d things ('many',)"

    def test_it_is_bounded(self, written: io.StringIO) -> None:
        logs.configure("json", stream=written)
        try:
            raise ValueError("y" * 10_000_000)
        except ValueError:
            logging.getLogger("x").exception("x" * 10_000_000)
        assert len(lines_of(written)[0]) < 4 * logs.MOST_CHARS


class TestText:
    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_nobody_can_forge_a_line_or_control_a_terminal(self, written: io.StringIO, text: str) -> None:
        logs.configure("text", stream=written)
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("x").exception("%s", text)
        first, *more = lines_of(written)
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR x: ", first)
        assert all(line.startswith("    ") for line in more)
        assert not logs._CONTROL.search(written.getvalue().replace("\n", ""))


class TestSecrets:
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_none_is_ever_written(self, written: io.StringIO, form: Any) -> None:
        local, key = "the-local-token-of-this-machine-0123456789", write_key(bytes(range(32)))
        jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLWJ5dGVz"
        secrets = [local, key, jwt, "opaque-bearer-value-1", "hunter2-hunter2"]
        logs.configure(form, [local], written)
        said = f'{local} {key} {jwt} Authorization: Bearer opaque-bearer-value-1 {{"password": "hunter2-hunter2"}}'
        try:
            raise ValueError(said)
        except ValueError:
            logging.getLogger("x").exception(said)
        logging.getLogger("x").info("%s", {"headers": [said]})
        assert [secret for secret in secrets if secret in written.getvalue()] == []
        assert "[redacted]" in written.getvalue()


class TestInTheServer:
    async def test_what_fails_in_a_request_is_told_with_the_request(self, written: io.StringIO) -> None:
        async def broken(scope: Any, receive: Any, send: Any) -> None:
            logging.getLogger("control").error("%s failed", scope["path"])
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        logs.configure("json", stream=written)
        gateway = Gateway(lambda _: None, RealSystem(), hosts=Hosts([]))
        async with serving(Edge(broken, gateway), **uvicorn_options()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"GET /api/a%0Ab HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n"
            writer.write(f"{head}traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n".encode())
            answer = (await asyncio.wait_for(reader.read(), 5)).decode()
            writer.close()
        fields = json.loads(lines_of(written)[0])
        assert (fields["message"], fields["trace_id"]) == ("/api/a\nb failed", TRACE)
        assert f"x-request-id: {fields['request_id']}\r\n" in answer
        await gateway.close()

    def test_a_server_writes_nothing_but_json_lines(self, tmp_path: Path) -> None:
        environ = os.environ | {"APIMARKET_LOG_FORMAT": "json", "APIMARKET_HOME": str(tmp_path)}
        command = [sys.executable, "-m", "local_server", "serve", "--port", "0", "--engine", "process"]
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            first = json.loads(server.stderr.readline())
            assert first["message"].startswith("apimarket ")
            url = first["message"].rpartition(" ")[2]
            token = (tmp_path / "token").read_text().strip()
            asking = urllib.request.Request(f"{url}/api/v1/apis", headers={"Authorization": f"Bearer {token}"})
            for _ in range(100):
                try:
                    with urllib.request.urlopen(asking, timeout=5) as answer:
                        assert answer.headers["x-request-id"]
                        break
                except OSError:
                    continue
            server.terminate()
            rest = server.stderr.read()
        assert all(json.loads(line)["level"] for line in rest.splitlines())
        assert token not in rest
