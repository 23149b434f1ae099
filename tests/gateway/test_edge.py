"""Who may talk to the server at all: Host and Origin, on raw sockets."""

from __future__ import annotations

import asyncio

import pytest

from .conftest import Rig, answering, raw_server

UPGRADE = (
    "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
PATHS = ["/", "/api/v1/apis", "/me/x/", "/health"]

# {p} is the server's port, {q} another one.
ALLOWED = [
    "127.0.0.1:{p}", "localhost:{p}", "[::1]:{p}", "LOCALHOST:{p}", "api.example.test", "api.example.test:{p}",
    "API.Example.Test",
]  # fmt: skip
REFUSED = [
    "evil.example", "evil.example:{p}", "127.0.0.1", "localhost", "127.0.0.1:{q}", "localhost:{q}", "localhost:{p}0",
    "localhost.:{p}", "127.0.0.2:{p}", "0.0.0.0:{p}", "[::]:{p}", "[::1]", "::1:{p}", "2130706433:{p}", "127.1:{p}",
    "localhost:{p}:{p}", "user@localhost:{p}", "localhost:{p}/x", "localhost:+{p}", "localhost :{p}", "localhost:",
    "api.example.test:{q}", "evil.localhost.example:{p}", "a.b.c.localhost:{p}", ".localhost:{p}", "x_y.localhost:{p}",
    "-x.localhost:{p}", "xy.me..localhost:{p}", "xy.localhost", "xy.localhost:{q}", "", " ",
    "localhost:{p}, evil.example", "localhost\t:{p}", "locаlhost:{p}",
]  # fmt: skip


def fill(rig: Rig, text: str) -> str:
    return text.format(p=rig.port, q=rig.port % 60000 + 1)


async def status(rig: Rig, *headers: str, path: str = "/api/v1/x", method: str = "GET", websocket: bool = False) -> int:
    lines = "".join(f"{header}\r\n" for header in headers)
    lines += UPGRADE if websocket else "connection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return int(line.split(b" ", 2)[1])


class TestHost:
    @pytest.mark.parametrize("host", ALLOWED)
    async def test_own_names_are_answered(self, rig: Rig, host: str) -> None:
        assert await status(rig, f"Host: {fill(rig, host)}") == 200

    @pytest.mark.parametrize("host", REFUSED)
    async def test_all_others_are_refused_before_routing(self, rig: Rig, echo_port: int, host: str) -> None:
        rig.api("x", echo_port)
        for path in PATHS:
            assert await status(rig, f"Host: {fill(rig, host)}", path=path) in (421, 400)
        assert rig.records == []

    @pytest.mark.parametrize("host", ["evil.example:{p}", "127.0.0.1", "localhost:{q}"])
    async def test_websockets_too(self, rig: Rig, echo_port: int, host: str) -> None:
        rig.api("x", echo_port)
        for path in PATHS:
            assert await status(rig, f"Host: {fill(rig, host)}", path=path, websocket=True) == 421

    async def test_exactly_one(self, rig: Rig) -> None:
        good = f"Host: localhost:{rig.port}"
        assert await status(rig) in (421, 400)
        assert await status(rig, good, good) in (421, 400)
        assert await status(rig, good, "Host: evil.example") in (421, 400)
        assert await status(rig, "Host: evil.example", good) in (421, 400)

    async def test_absolute_target_does_not_replace_the_header(self, rig: Rig) -> None:
        path = f"http://localhost:{rig.port}/api/v1/x"
        assert await status(rig, "Host: evil.example", path=path) == 400

    async def test_refusal_says_what_is_allowed(self, rig: Rig) -> None:
        answer = await rig.client.get("/api/v1/x", headers={"host": "evil.example"})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (421, "host_refused")
        assert "evil.example" in problem["detail"]
        assert f"localhost:{rig.port}" in problem["hint"]


class TestControlOrigin:
    @pytest.mark.parametrize("origin", ["http://localhost:{p}", "http://127.0.0.1:{p}", "http://[::1]:{p}"])
    async def test_own_pages_may(self, rig: Rig, origin: str) -> None:
        assert await status(rig, f"Host: localhost:{rig.port}", f"Origin: {fill(rig, origin)}") == 200

    @pytest.mark.parametrize(
        "origin",
        ["http://evil.example", "null", "http://localhost:{q}", "http://localhost", "http://xy.localhost:{p}", "file://",
         "http://xy.me.localhost:{p}", "chrome-extension://abc", "http://localhost:{p}.evil.example", ""],
    )  # fmt: skip
    async def test_no_other_page_may(self, rig: Rig, origin: str) -> None:
        for method in ("GET", "POST", "OPTIONS"):
            headers = (f"Host: localhost:{rig.port}", f"Origin: {fill(rig, origin)}")
            for path in ("/", "/api/v1/apis", "/docs", "/openapi.json", "/executor/deploy"):
                assert await status(rig, *headers, path=path, method=method) == 403
        assert await status(rig, *headers, path="/api/v1/events", websocket=True) == 403

    async def test_own_page_may_open_a_websocket(self, rig: Rig) -> None:
        headers = (f"Host: localhost:{rig.port}", f"Origin: http://localhost:{rig.port}")
        assert await status(rig, *headers, path="/api/v1/events", websocket=True) == 101

    async def test_two_origins_are_refused(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        own = f"Origin: http://localhost:{rig.port}"
        for path in ("/api/v1/x", "/me/x/"):
            assert (
                await status(rig, f"Host: localhost:{rig.port}", own, "Origin: http://evil.example", path=path) == 403
            )

    async def test_control_answers_have_one_date(self, rig: Rig) -> None:
        assert len((await rig.client.get("/health")).headers.get_list("date")) == 1

    async def test_control_answers_keep_other_pages_away(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        headers = (await rig.client.get("/docs")).headers
        assert headers["content-security-policy"] == "frame-ancestors 'none'"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert "content-security-policy" not in (await rig.client.get("/me/x/")).headers


class TestSharedOrigin:
    async def test_by_path_an_api_cannot_reach_for_the_consoles_windows(self, rig: Rig) -> None:
        greedy = {"service-worker-allowed": "/", "cross-origin-opener-policy": "same-origin"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in greedy.items())
        async with raw_server(answering(f"HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n".encode())) as port:
            rig.api("xy", port)
            by_path = await rig.client.get("/me/xy/")
            by_host = await rig.client.get("/", headers={"host": f"xy.localhost:{rig.port}"})
        assert not greedy.keys() & set(by_path.headers)
        assert greedy.items() <= dict(by_host.headers).items()


class TestReserved:
    @pytest.mark.parametrize("rig", [{"reserved": frozenset({"status"})}], indirect=True)
    async def test_what_is_the_control_apis_is_never_its_namesakes(self, rig: Rig, echo_port: int) -> None:
        """Whoever asks for it sends the token along, which an API must not see."""
        rig.api("weather", echo_port, owner="status")
        rig.api("weather", echo_port)
        for _ in range(2):  # also once there are connections to the API, for the short way
            assert (await rig.client.get("/status/weather/")).text == "control"
            assert (await rig.client.get("/me/weather/")).headers["x-saw-path"] == "/"


class TestApiOrigin:
    async def test_cross_site_is_refused_and_recorded(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        answer = await rig.client.get("/me/x/", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")
        assert "https://evil.example" in answer.json()["hint"]
        assert (await rig.record()).outcome == "refused"

    @pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
    async def test_near_pages_and_the_address_bar_may(self, rig: Rig, echo_port: int, site: str) -> None:
        rig.api("x", echo_port)
        headers = {"sec-fetch-site": site, "origin": "http://localhost:3000"}
        answer = await rig.client.get("/me/x/", headers=headers)
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers

    async def test_without_fetch_metadata_the_origin_decides(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        for origin, expected in [("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)]:
            assert (await rig.client.get("/me/x/", headers={"origin": origin})).status_code == expected

    @pytest.mark.parametrize("cors", [("https://app.example",), ("*",)])
    async def test_listed_origin_may_and_can_read_the_answer(
        self, rig: Rig, echo_port: int, cors: tuple[str, ...]
    ) -> None:
        rig.api("x", echo_port, cors=cors)
        headers = {"sec-fetch-site": "cross-site", "origin": "https://app.example"}
        answer = await rig.client.get("/me/x/", headers=headers)
        assert answer.status_code == 200
        expected = "*" if cors == ("*",) else "https://app.example"
        assert answer.headers.get_list("access-control-allow-origin") == [expected]
        readable = answer.headers["access-control-expose-headers"].split(", ")
        assert {"X-Request-Id", "X-Apimarket-Version", "RateLimit", "Sunset", "Cache-Status"} <= set(readable)

    async def test_listed_origin_can_read_refusals(self, rig: Rig) -> None:
        rig.api("x", None, availability="stopped", cors=("https://app.example",))
        answer = await rig.client.get("/me/x/", headers={"origin": "https://app.example"})
        assert answer.status_code == 503
        assert answer.headers["access-control-allow-origin"] == "https://app.example"

    async def test_preflight_is_answered_here(self, rig: Rig) -> None:
        rig.api("x", None, availability="stopped", cors=("https://app.example",))
        headers = {
            "origin": "https://app.example",
            "access-control-request-method": "PUT",
            "access-control-request-headers": "x-key",
        }
        answer = await rig.client.options("/me/x/", headers=headers)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-methods"] == "PUT"
        assert answer.headers["access-control-allow-headers"] == "x-key"
        answer = await rig.client.options("/me/x/", headers={**headers, "origin": "https://evil.example"})
        assert answer.status_code == 403

    async def test_plain_options_reaches_the_api(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port, cors=("*",))
        answer = await rig.client.options("/me/x/", headers={"origin": "https://app.example"})
        assert answer.headers["x-saw-method"] == "OPTIONS"
