"""What goes to the API, and what comes back."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from local_server.domain.executions import CallOutcome

from .conftest import Rig, answering, raw_server, serving

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class TestTheWayThere:
    async def test_prefix_is_stripped_and_told(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port)
        answer = await rig.client.get("/me/echo/a/b?x=1&y=%20")
        assert answer.headers["x-saw-path"] == "/a/b"
        assert answer.headers["x-saw-query"] == "x=1&y=%20"
        assert answer.headers["x-saw-x-forwarded-prefix"] == "/me/echo"
        assert answer.headers["x-saw-x-forwarded-host"] == f"127.0.0.1:{rig.port}"
        assert answer.headers["x-saw-x-forwarded-proto"] == "http"
        assert answer.headers["x-saw-x-forwarded-for"] == "127.0.0.1"

    @pytest.mark.parametrize(
        "path", ["/a%2Fb", "/%2e%2e/x", "/../../api/v1", "//double", "/caf%C3%A9", "/a;b=1/c", "/a%00b", "/%25"]
    )
    async def test_path_goes_on_byte_for_byte(self, rig: Rig, echo_port: int, path: str) -> None:
        rig.api("echo", echo_port)
        head = f"GET /me/echo{path}?q=%2F&q=+ HTTP/1.1\r\nhost: localhost:{rig.port}\r\nconnection: close\r\n\r\n"
        answer = await rig.raw(head.encode())
        assert f"x-saw-path: {path}\r\n".encode() in answer
        assert b"x-saw-query: q=%2F&q=+\r\n" in answer

    @pytest.mark.parametrize("host", ["echo.localhost", "echo.me.localhost", "ECHO.me.LocalHost"])
    async def test_host_routing_has_no_prefix(self, rig: Rig, echo_port: int, host: str) -> None:
        rig.api("echo", echo_port)
        answer = await rig.client.get(
            "/api/v1/x", headers={"host": f"{host}:{rig.port}", "x-forwarded-prefix": "/evil"}
        )
        assert answer.headers["x-saw-path"] == "/api/v1/x"
        assert "x-saw-x-forwarded-prefix" not in answer.headers

    async def test_forwarded_headers_are_never_taken_from_outside(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port)
        spoofed = {
            "x-forwarded-for": "6.6.6.6",
            "x-forwarded-host": "evil",
            "x-forwarded-proto": "https",
            "x-forwarded-port": "1",
            "forwarded": "for=6.6.6.6",
            "x-real-ip": "6.6.6.6",
            "x-request-id": "evil",
            "x-apimarket-key": "evil",
        }
        answer = await rig.client.get("/me/echo/", headers=spoofed)
        seen = {name: value for name, value in answer.headers.multi_items() if name.startswith("x-saw-")}
        assert seen["x-saw-x-forwarded-for"] == "127.0.0.1"
        assert "evil" not in " ".join(seen.values())
        assert not {"x-saw-forwarded", "x-saw-x-real-ip", "x-saw-x-forwarded-port"} & seen.keys()

    async def test_hop_by_hop_headers_end_here(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port)
        dropped = {"connection": "keep-alive, X-Secret", "x-secret": "1", "te": "trailers", "proxy-authorization": "x"}
        answer = await rig.client.get("/me/echo/", headers={**dropped, "keep-alive": "5", "x-kept": "yes"})
        assert answer.headers["x-saw-x-kept"] == "yes"
        assert not {f"x-saw-{name}" for name in (*dropped, "keep-alive")} & set(answer.headers)

    async def test_connection_cannot_take_the_host_or_the_length_away(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port)
        answer = await rig.client.post("/me/echo/", content=b"abc", headers={"connection": "host, content-length"})
        assert answer.content == b"abc"
        assert answer.headers["x-saw-host"] == f"127.0.0.1:{rig.port}"

    async def test_request_id_is_one_uuid7_everywhere(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port)
        answer = await rig.client.get("/me/echo/")
        request_id = answer.headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", request_id)
        assert answer.headers["x-saw-x-request-id"] == request_id
        assert (await rig.record()).id == request_id

    async def test_expect_is_answered_here(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        head = f"POST /me/echo/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\nexpect: 100-continue\r\n"
        writer.write(head.encode() + b"content-length: 3\r\nconnection: close\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"x-saw-expect" not in answer


class TestTheWayBack:
    @pytest.mark.parametrize(
        ("raw", "status", "body"),
        [
            (OK, 200, b"hi"),
            (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", 204, b""),
            (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: x\r\n\r\n", 304, b""),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-trailer: 1\r\n\r\n", 200, b"hi"),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, 200, b"hi"),
            (b"HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n", 299, b""),
            (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, b"hi"),
        ],
    )
    async def test_messages_without_and_with_bodies(self, rig: Rig, raw: bytes, status: int, body: bytes) -> None:
        async with raw_server(answering(raw)) as port:
            rig.api("x", port)
            for _ in range(3):
                answer = await rig.client.get("/me/x/")
                assert (answer.status_code, answer.content) == (status, body)
                assert not {"link", "x-trailer"} & set(answer.headers)

    async def test_body_that_ends_with_the_connection(self, rig: Rig) -> None:
        async with raw_server(answering(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)) as port:
            rig.api("x", port)
            assert (await rig.client.get("/me/x/")).content == b"all of it"

    async def test_head_has_the_length_and_no_body(self, rig: Rig) -> None:
        async with raw_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n")) as port:
            rig.api("x", port)
            for _ in range(3):
                answer = await rig.client.head("/me/x/")
                assert (answer.headers["content-length"], answer.content) == ("1234", b"")

    async def test_head_answered_with_a_body_does_not_poison_the_next(self, rig: Rig) -> None:
        async with raw_server(answering(OK)) as port:
            rig.api("x", port)
            for _ in range(3):
                assert (await rig.client.head("/me/x/")).status_code == 200
                assert (await rig.client.get("/me/x/")).content == b"hi"

    async def test_generation_and_pending_error_are_told(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port, generation=7, pending_error="SyntaxError:\r\nSet-Cookie: évil\x00")
        answer = await rig.client.get("/me/echo/")
        assert answer.headers["x-apimarket-generation"] == f"{7:064x}"
        assert answer.headers["x-apimarket-pending-error"] == "SyntaxError: Set-Cookie: ?vil?"
        assert "set-cookie" not in answer.headers

    async def test_own_date_and_server_pass_and_are_single(self, rig: Rig) -> None:
        raw = b"HTTP/1.1 200 OK\r\nserver: mine\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n"
        async with raw_server(answering(raw)) as port, raw_server(answering(OK)) as dateless:
            rig.api("x", port)
            rig.api("y", dateless)
            answer = await rig.client.get("/me/x/")
            assert answer.headers.get_list("date") == ["Mon, 01 Jan 2024 00:00:00 GMT"]
            assert answer.headers.get_list("server") == ["mine"]
            assert len((await rig.client.get("/me/y/")).headers.get_list("date")) == 1

    async def test_hop_by_hop_headers_of_the_answer_end_here(self, rig: Rig) -> None:
        raw = (
            b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=1\r\nupgrade: h2c\r\n"
            b"x-request-id: forged\r\nx-apimarket-generation: forged\r\ncontent-length: 0\r\n\r\n"
        )
        async with raw_server(answering(raw)) as port:
            rig.api("x", port)
            answer = await rig.client.get("/me/x/")
            assert not {"x-hop", "keep-alive", "upgrade"} & set(answer.headers)
            assert "forged" not in str(answer.headers)

    async def test_big_headers_pass_and_huge_ones_are_refused(self, rig: Rig) -> None:
        def raw(size: int) -> bytes:
            return b"HTTP/1.1 200 OK\r\nx-big: " + b"a" * size + b"\r\ncontent-length: 0\r\n\r\n"

        async with raw_server(answering(raw(60_000))) as big, raw_server(answering(raw(400_000))) as huge:
            rig.api("big", big)
            rig.api("huge", huge)
            answer = await rig.raw(_get(rig, "/me/big/"))
            assert b"x-big: " + b"a" * 60_000 in answer
            assert (await rig.client.get("/me/huge/")).json()["code"] == "upstream_failed"

    @pytest.mark.parametrize(
        "raw",
        [
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\nx: y\n\n",
            b"HTTP/1.1 200 OK\r\nx: y\r\n folded\r\ncontent-length: 0\r\n\r\n",
        ],
    )
    async def test_ambiguous_answers_are_refused(self, rig: Rig, raw: bytes) -> None:
        async with raw_server(answering(raw)) as port:
            rig.api("x", port)
            answer = await rig.client.get("/me/x/")
            assert (answer.status_code, answer.json()["code"]) == (502, "upstream_failed")

    async def test_bytes_after_an_answer_never_become_the_next_one(self, rig: Rig) -> None:
        evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
        async with raw_server(answering(OK + evil)) as port:
            rig.api("x", port)
            for _ in range(5):
                assert (await rig.client.get("/me/x/")).content == b"hi"


class TestNoSuchApi:
    async def test_problem_names_close_ones(self, rig: Rig, echo_port: int) -> None:
        rig.api("weather", echo_port)
        answer = await rig.client.get("/me/wether/x")
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (404, "api_not_found")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "me/weather" in problem["hint"]
        assert problem["instance"] == answer.headers["x-request-id"]

    @pytest.mark.parametrize("path", ["/me", "/me/", "//me/x/", "/%6de/x/", "/me/x%2f", "*", "/me/../me/x"])
    async def test_odd_paths_are_nobodys(self, rig: Rig, echo_port: int, path: str) -> None:
        rig.api("x", echo_port)
        answer = await rig.raw(_get(rig, path))
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))

    @pytest.mark.parametrize("host", ["nobody.localhost", "two.other.localhost", "two.localhost"])
    async def test_unknown_and_ambiguous_hosts(self, rig: Rig, echo_port: int, host: str) -> None:
        rig.api("x", echo_port)
        rig.api("two", echo_port)
        rig.api("two", echo_port, owner="you")
        answer = await rig.client.get("/", headers={"host": f"{host}:{rig.port}"})
        assert answer.json()["code"] == "api_not_found"

    async def test_forgotten_api_is_gone(self, rig: Rig, echo_port: int) -> None:
        lane = rig.api("x", echo_port)
        assert lane is not None
        rig.gateway.routing.forget(lane.api_id)
        assert (await rig.client.get("/me/x/")).status_code == 404


class TestRedirect:
    async def test_missing_slash_is_added_and_the_query_kept(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        answer = await rig.client.post("/me/x?a=%2F&b", content=b"123")
        assert (answer.status_code, answer.headers["location"]) == (308, "/me/x/?a=%2F&b")


class TestRecord:
    async def test_tells_the_call(self, rig: Rig, echo_port: int) -> None:
        rig.api("echo", echo_port, generation=3)
        await rig.client.post("/me/echo/a?secret=1", content=b"12345")
        record = await rig.record()
        assert (record.method, record.path, record.status, record.outcome) == ("POST", "/a", 200, CallOutcome.OK)
        assert (record.generation, record.bytes_in, record.bytes_out, record.held) == (3, 5, 5, False)
        assert 0 < record.upstream_us <= record.total_us < 5_000_000
        assert record.started_at.tzinfo is not None

    @pytest.mark.parametrize(("status", "outcome"), [(404, "client_error"), (500, "server_error"), (302, "ok")])
    async def test_outcome_follows_the_status(self, rig: Rig, status: int, outcome: str) -> None:
        async with raw_server(answering(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status)) as port:
            rig.api("x", port)
            await rig.client.get("/me/x/")
            assert (await rig.record()).outcome == outcome


class TestAmbiguousRequests:
    @pytest.mark.parametrize(
        "headers",
        ["content-length: 1\r\ncontent-length: 2", "content-length: 3\r\ntransfer-encoding: chunked",
         "transfer-encoding: gzip, chunked", "content-length: +3"],
    )  # fmt: skip
    async def test_are_refused(self, rig: Rig, echo_port: int, headers: str) -> None:
        rig.api("x", echo_port)
        head = f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\nconnection: close\r\n{headers}\r\n\r\n"
        answer = await rig.raw(head.encode() + b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")

    async def test_line_breaks_in_headers_are_refused_whatever_parser_read_them(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            await asyncio.Event().wait()

        headers = [(b"host", b"localhost:1"), (b"x", b"a\r\ntransfer-encoding: chunked")]
        scope = {"type": "http", "method": "GET", "raw_path": b"/me/x/", "query_string": b"", "headers": headers}
        scope |= {"server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "scheme": "http"}
        await rig.gateway(scope, receive, send)
        assert sent[0]["status"] == 400
        assert json.loads(sent[1]["body"])["code"] == "malformed_request"


def _get(rig: Rig, path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: localhost:{rig.port}\r\nconnection: close\r\n\r\n".encode()


class TestBigRequestHeaders:
    async def test_pass(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)

        async def length(scope: Any, receive: Any, send: Any) -> None:
            size = len(dict(scope["headers"])[b"x-big"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(size).encode()})

        async with serving(length) as port:
            rig.api("big", port)
            assert (await rig.client.get("/me/big/", headers={"x-big": "a" * 30_000})).text == "30000"
