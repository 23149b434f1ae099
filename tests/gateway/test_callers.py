"""Keys and limits over real HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from local_server.domain.executions import CallOutcome
from local_server.domain.ids import ApiId, KeyId, UserId
from local_server.domain.keys import ApiKey, Scope, digest_of, write_key
from local_server.domain.manifest import RateLimit
from local_server.gateway.callers import caller_of, is_loopback
from local_server.gateway.request_head import read_head
from tests.gateway.conftest import Rig, answering, raw_server

PROBLEM = "application/problem+json"
STRICT = pytest.mark.parametrize("rig", [{"enforce_keys": True}], indirect=True, ids=["strict"])


def a_key(number: int = 1, api: str = "me/hello", **more: Any) -> tuple[str, ApiKey]:
    text = write_key(number.to_bytes(32, "big"))
    given: dict[str, Any] = {
        "id": KeyId(f"k{number}"),
        "api_id": ApiId(api),
        "user_id": UserId("u"),
        "name": "",
        "digest": digest_of(text.encode()),
        "prefix": text[:14],
        "scopes": tuple(Scope),
        "cidrs": (),
        "rate_limit": None,
        "created_at": datetime.now(UTC),
    }
    return text, ApiKey(**(given | more))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class TestWithoutAKey:
    @pytest.mark.parametrize("auth", ["key", "none"])
    async def test_loopback_is_its_owners(self, rig: Rig, echo_port: int, auth: str) -> None:
        rig.api("hello", echo_port, auth=auth)
        assert (await rig.client.get("/me/hello/")).status_code == 200

    @STRICT
    async def test_a_strict_server_wants_one_where_the_manifest_does(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        rig.api("open", echo_port, auth="none")
        refused = await rig.client.get("/me/hello/")
        assert (refused.status_code, refused.headers["content-type"]) == (401, PROBLEM)
        assert (refused.json()["code"], refused.headers["www-authenticate"]) == ("key_required", "Bearer")
        assert "apimarket keys create me/hello" in refused.json()["hint"]
        assert (await rig.client.get("/me/open/")).status_code == 200
        assert [(row.outcome, row.status) for row in rig.records] == [
            (CallOutcome.REFUSED, 401),
            (CallOutcome.OK, 200),
        ]

    def test_what_comes_from_elsewhere_needs_one(self) -> None:
        assert [is_loopback(a) for a in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")] == [True] * 4
        assert not any(is_loopback(a) for a in ("", "10.0.0.1", "1270.0.0.1", "::ffff:10.0.0.1", "::2", "localhost"))


class TestWithAKey:
    @STRICT
    async def test_it_opens_and_goes_no_further(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        text, key = a_key()
        rig.gateway.callers.use_keys([key])
        for headers in (
            bearer(text),
            {"X-Api-Key": text},
            bearer(text) | {"X-Api-Key": text},
            {"authorization": f"bEARER  {text}"},
        ):
            answer = await rig.client.get("/me/hello/", headers=headers)
            assert answer.status_code == 200
            assert text not in str(answer.headers)
            assert not {"x-saw-authorization", "x-saw-x-api-key"} & set(answer.headers)

    async def test_it_is_checked_even_where_none_is_needed(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        rig.api("open", echo_port, auth="none")
        text, _ = a_key()
        for path in ("/me/hello/", "/me/open/"):
            for headers in (bearer(text), {"X-Api-Key": text}):
                answer = await rig.client.get(path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "key_refused")
                assert text not in answer.text

    async def test_the_apis_own_credentials_pass(self, rig: Rig, echo_port: int) -> None:
        rig.api("open", echo_port, auth="none")
        own = {"Authorization": "Bearer eyJ0.e30.x", "X-Api-Key": "its-own"}
        answer = await rig.client.get("/me/open/", headers=own)
        assert (answer.headers["x-saw-authorization"], answer.headers["x-saw-x-api-key"]) == (
            "Bearer eyJ0.e30.x",
            "its-own",
        )
        basic = await rig.client.get("/me/open/", headers={"Authorization": "Basic YW1fOmFtXw=="})
        assert basic.headers["x-saw-authorization"] == "Basic YW1fOmFtXw=="

    async def test_a_header_of_ours_that_holds_none_of_ours_says_what_to_do(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        answer = await rig.client.get("/me/hello/", headers={"X-Api-Key": "its-own"})
        assert answer.status_code == 401
        assert 'auth = "none"' in answer.json()["hint"]

    async def test_every_way_to_be_wrong(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        past = datetime.now(UTC) - timedelta(seconds=1)
        wrong = {
            "was revoked": a_key(1, revoked_at=past),
            "has expired": a_key(2, expires_at=past),
            "was replaced by another, and held until": a_key(3, grace_until=past, replaced_by=KeyId("k9")),
            "is for another API": a_key(4, "me/other"),
            "may not be used from this address": a_key(5, cidrs=("10.0.0.0/8",)),
            "lacks the scope write": a_key(6, scopes=(Scope.READ,)),
        }
        rig.gateway.callers.use_keys([key for _, key in wrong.values()])
        for what, (text, _) in wrong.items():
            answer = await rig.client.post("/me/hello/", headers=bearer(text))
            assert what in answer.json()["detail"]
            assert answer.status_code == (401 if what.startswith(("was", "has")) else 403)
            assert text not in answer.text
        unknown, _ = a_key(7)
        for text, what in ((unknown, "not known"), (unknown[:-1] + "!", "mistyped"), ("am_", "mistyped")):
            assert what in (await rig.client.get("/me/hello/", headers=bearer(text))).json()["detail"]
        assert {row.outcome for row in rig.records} == {CallOutcome.REFUSED}

    async def test_several_are_none(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        (one, first), (two, second) = a_key(1), a_key(2)
        rig.gateway.callers.use_keys([first, second])
        for headers in (bearer(one) | {"X-Api-Key": two}, [("X-Api-Key", one), ("X-Api-Key", two)]):
            answer = await rig.client.get("/me/hello/", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "key_refused")

    async def test_scopes_are_methods(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        (reads, one), (writes, two) = a_key(1, scopes=(Scope.READ,)), a_key(2, scopes=(Scope.WRITE,))
        rig.gateway.callers.use_keys([one, two])
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PURGE"):
            statuses = [
                (await rig.client.request(method, "/me/hello/", headers=bearer(key))).status_code
                for key in (reads, writes)
            ]
            assert statuses == ([200, 403] if method in ("GET", "HEAD", "OPTIONS") else [403, 200])

    async def test_a_websocket_needs_to_write(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        reads, key = a_key(1, scopes=(Scope.READ,))
        rig.gateway.callers.use_keys([key])
        answer = await rig.raw(
            b"GET /me/hello/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % (rig.port, reads.encode())
        )
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"a WebSocket needs" in answer

    @STRICT
    async def test_a_page_that_may_call_can_ask_first_and_read_the_refusal(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port, cors=("https://a.example",))
        page = {"Origin": "https://a.example", "Sec-Fetch-Site": "cross-site"}
        asks = page | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        assert (await rig.client.options("/me/hello/", headers=asks)).status_code == 204
        refused = await rig.client.get("/me/hello/", headers=page)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://a.example"

    async def test_use_is_noted(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        used: list[str] = []
        rig.gateway.callers.used = lambda key_id, _at: used.append(key_id)
        (good, one), (bad, two) = a_key(1), a_key(2, revoked_at=datetime.now(UTC))
        rig.gateway.callers.use_keys([one, two])
        for text in (good, bad):
            await rig.client.get("/me/hello/", headers=bearer(text))
        assert used == ["k1"]

    async def test_revocation_under_load_is_in_force_at_once(self, rig: Rig) -> None:
        """From the swap on, no request that begins is let in, whatever is under way."""
        text, key = a_key()
        rig.gateway.callers.use_keys([key])
        swapped = asyncio.Event()
        late: list[int] = []

        async def client() -> None:
            for _ in range(40):
                begun_late = swapped.is_set()
                status = (await rig.client.get("/me/hello/", headers=bearer(text))).status_code
                if begun_late:
                    late.append(status)

        async def revoke() -> None:
            await asyncio.sleep(0.05)
            rig.gateway.callers.use_keys([])
            swapped.set()

        async with raw_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as port:
            rig.api("hello", port)
            await asyncio.gather(revoke(), *(client() for _ in range(16)))
        assert set(late) == {401}


class TestLimits:
    async def test_64_clients_get_exactly_what_is_allowed(self, rig: Rig) -> None:
        allowed = 100
        (text, key), own = a_key(1), RateLimit(allowed, 3600)
        rig.gateway.callers.use_keys([key])

        async def client() -> list[httpx2.Response]:
            return [await rig.client.get("/me/hello/", headers=bearer(text)) for _ in range(5)]

        async with raw_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as port:
            rig.api("hello", port, rate_limit=own)
            done = [answer for batch in await asyncio.gather(*(client() for _ in range(64))) for answer in batch]
        assert sum(answer.status_code == 200 for answer in done) == allowed
        refused = [answer for answer in done if answer.status_code != 200]
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "rate_limited")}
        for answer in refused:
            assert 3600 <= int(answer.headers["retry-after"]) <= 3637
            assert answer.headers["ratelimit-remaining"] == "0"
            assert answer.headers["ratelimit-policy"] == '"caller";q=100;w=3600'
        remaining = sorted(int(answer.headers["ratelimit-remaining"]) for answer in done if answer.status_code == 200)
        assert remaining == list(range(allowed))

    async def test_without_a_key_an_address_is_limited_and_each_key_for_itself(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port, rate_limit=RateLimit(2, 3600))
        (one, first), (two, second) = a_key(1), a_key(2, rate_limit=RateLimit(3, 3600))
        rig.gateway.callers.use_keys([first, second])
        for headers, allowed in (({}, 2), (bearer(one), 2), (bearer(two), 3)):
            statuses = [(await rig.client.get("/me/hello/", headers=headers)).status_code for _ in range(5)]
            assert statuses == [200] * allowed + [429] * (5 - allowed)

    async def test_no_limit_says_nothing_of_one(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        answer = await rig.client.get("/me/hello/")
        assert not [name for name in answer.headers if name.startswith("ratelimit")]

    async def test_what_the_api_says_of_limits_gives_way_to_ours(self, rig: Rig) -> None:
        own = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRateLimit-Remaining: 999\r\nX-Own: 1\r\n\r\n"
        async with raw_server(answering(own)) as port:
            rig.api("hello", port, rate_limit=RateLimit(2, 60))
            answer = await rig.client.get("/me/hello/")
        assert (answer.headers["ratelimit-remaining"], answer.headers["x-own"]) == ("1", "1")

    @pytest.mark.parametrize("cors", [(), ("https://app.example",)], ids=["short", "long"])
    async def test_stand_in_what_the_gateway_says_in_the_apis_place(self, rig: Rig, cors: tuple[str, ...]) -> None:
        limit = RateLimit(20, 3600)
        async with raw_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as port:
            rig.api("hello", port, rate_limit=limit, cors=cors)
            assert (await rig.client.post("/me/hello/")).headers["ratelimit-remaining"] == "19"
        for remaining in ("18", "17"):  # on the connection that is left, and on none
            answer = await rig.client.post("/me/hello/")
            assert (answer.status_code // 100, answer.headers["ratelimit-remaining"]) == (5, remaining)
        rig.api("stopped", None, availability="stopped", rate_limit=limit)
        answer = await rig.client.get("/me/stopped/")
        assert (answer.status_code, answer.headers["ratelimit-remaining"]) == (503, "19")
        rig.api("kept", None, availability="stopped", rate_limit=limit, cache_ttl_s=60)
        answer = await rig.client.get("/me/kept/", headers={"Cache-Control": "only-if-cached"})
        assert (answer.status_code, answer.headers["ratelimit-remaining"]) == (504, "19")

    def test_a_network_of_ipv6_is_one_caller(self) -> None:
        assert caller_of("2001:db8::1") == caller_of("2001:db8::ffff:1%eth0") != caller_of("2001:db8:0:1::1")
        assert caller_of("192.0.2.1") != caller_of("192.0.2.2")
        assert caller_of("") == caller_of("")


class TestHead:
    def test_a_key_never_stays_among_the_lines(self) -> None:
        text, _ = a_key()
        for name, value in ((b"x-api-key", text.encode()), (b"authorization", b"Bearer " + text.encode())):
            head = read_head([(b"host", b"x"), (name, value), (b"x-other", b"y")])
            assert (head.key, head.keys) == (text.encode(), 1)
            assert text.encode() not in b"".join(head.lines)
            assert b"x-other" in head.lines

    def test_a_header_that_connection_names_is_not_passed_on(self) -> None:
        head = read_head([(b"connection", b"x-api-key"), (b"x-api-key", b"own")])
        head.pass_key_on()
        assert b"own" not in head.lines


class TestTheLog:
    @pytest.fixture
    def keys(self, rig: Rig, echo_port: int) -> dict[str, str]:
        """k1 may all, k2 only read, k3 is revoked, k4 is another API's."""
        rig.api("hello", echo_port)
        now = datetime.now(UTC)
        made = {
            "k1": a_key(1),
            "k2": a_key(2, scopes=(Scope.READ,)),
            "k3": a_key(3, revoked_at=now),
            "k4": a_key(4, api="me/other"),
        }
        rig.gateway.callers.use_keys(key for _, key in made.values())
        return {name: text for name, (text, _) in made.items()}

    @pytest.mark.parametrize(
        ("key", "status", "logged"),
        [("k1", 200, "k1"), ("k2", 403, "k2"), ("k3", 401, "k3"), ("k4", 403, None), (None, 200, None)],
    )
    async def test_names_the_key_also_of_calls_it_did_not_let_in(
        self, rig: Rig, keys: dict[str, str], key: str | None, status: int, logged: str | None
    ) -> None:
        answer = await rig.client.post("/me/hello/", headers=bearer(keys[key]) if key else {})
        row = await rig.record()
        assert (answer.status_code, row.status, row.key_id) == (status, status, logged)
