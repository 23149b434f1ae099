"""The response cache: what is given again to whom, what never is, and that both ways agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from local_server.domain.executions import CallOutcome
from local_server.domain.ids import ApiId
from local_server.domain.manifest import RateLimit
from local_server.gateway import cached, express
from local_server.gateway.cache import ONE_BYTES, SHELF_BYTES, Cache

from .conftest import Rig, serving, until
from .test_callers import a_key, bearer

LONG_WAY = {"sec-fetch-site": "none"}
Headers = list[tuple[str, str]]
Ways = list[bool]


@dataclass
class Api:
    """Answers what it is told to, and numbers its answers."""

    port: int = 0
    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        said = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append({**said, "method": scope["method"]})
        number = len(self.asked)
        while (await receive()).get("more_body"):
            pass
        if self.gate is not None:
            await self.gate.wait()
        etag = next((value for name, value in self.headers if name.lower() == "etag"), None)
        status = 304 if etag is not None and said.get("if-none-match") == etag else self.status
        body = self.body if self.body is not None else b"answer %d" % number
        headers = [(name.encode(), value.encode()) for name, value in self.headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if status in (204, 304) else body})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    async with serving(api, proxy_headers=False, date_header=False, server_header=False) as api.port:
        yield api


@pytest.fixture(params=["short", "long"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    """Headers that send what is kept by one of the two ways."""
    return LONG_WAY if request.param == "long" else {}


def open_api(rig: Rig, api: Api, ttl_s: int = 60, **route: Any) -> None:
    rig.api("x", api.port, cache_ttl_s=ttl_s, **route)


def later(rig: Rig, seconds: float) -> None:
    """Let the gateway's clock go forward."""
    before = rig.gateway.routing.cache._now
    rig.gateway.routing.cache._now = lambda: before() + timedelta(seconds=seconds)


def keys(rig: Rig, count: int) -> list[dict[str, str]]:
    """The headers of as many callers, each with a key of its own."""
    made = [a_key(number, "me/x") for number in range(1, count + 1)]
    rig.gateway.callers.use_keys(key for _, key in made)
    return [bearer(text) for text, _ in made]


async def warm(rig: Rig, api: Api, ttl_s: int = 60, **route: Any) -> None:
    """Have `/me/x/a` kept."""
    open_api(rig, api, ttl_s, **route)
    assert (await rig.client.get("/me/x/a")).text == "answer 1"


class TestGivenAgain:
    async def test_an_answer_is_given_again_by_both_ways(self, rig: Rig, api: Api, ways: Ways) -> None:
        api.headers = [("x-own", "1"), ("cache-control", "max-age=30")]
        await warm(rig, api)
        ways.clear()
        short = await rig.client.get("/me/x/a")
        long = await rig.client.get("/me/x/a", headers=LONG_WAY)
        assert ways == [True, False]
        assert len(api.asked) == 1
        for answer in (short, long):
            assert (answer.status_code, answer.text) == (200, "answer 1")
            assert answer.headers["cache-status"].startswith("apimarket; hit; ttl=")
            assert answer.headers["age"] == "0"
            assert answer.headers["x-own"] == "1"
        assert set(short.headers) == set(long.headers)
        assert short.headers["x-request-id"] != long.headers["x-request-id"]
        assert [record.cached for record in rig.records] == [False, True, True]
        assert [record.generation for record in rig.records] == [1, 1, 1]
        assert [record.bytes_out for record in rig.records] == [8, 8, 8]

    async def test_it_says_how_old_it_is_and_is_asked_for_anew_when_too_old(
        self, rig: Rig, api: Api, way: dict[str, str]
    ) -> None:
        await warm(rig, api, 60)
        later(rig, 40)
        old = await rig.client.get("/me/x/a", headers=way)
        assert (old.text, old.headers["age"]) == ("answer 1", "40")
        later(rig, 20)
        new = await rig.client.get("/me/x/a", headers=way)
        assert (new.text, new.headers["cache-status"]) == ("answer 2", "apimarket; fwd=stale; stored")

    async def test_a_clock_that_is_set_back_makes_nothing_younger(self, rig: Rig, api: Api) -> None:
        await warm(rig, api)
        later(rig, 59)
        later(rig, -10_000)
        assert (await rig.client.get("/me/x/a")).headers["age"] == "0"
        later(rig, 20_000)
        assert (await rig.client.get("/me/x/a")).text == "answer 2"

    async def test_head_is_answered_from_what_get_was(self, rig: Rig, api: Api, way: dict[str, str]) -> None:
        await warm(rig, api)
        answer = await rig.client.head("/me/x/a", headers=way)
        assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "8", b"")
        assert len(api.asked) == 1
        assert rig.records[-1].bytes_out == 0

    async def test_head_keeps_nothing(self, rig: Rig, api: Api) -> None:
        open_api(rig, api)
        await rig.client.head("/me/x/a")
        assert (await rig.client.get("/me/x/a")).text == "answer 2"

    async def test_without_a_ttl_in_the_manifest_nothing_is_kept(self, rig: Rig, api: Api) -> None:
        api.headers = [("cache-control", "public, max-age=60")]
        open_api(rig, api, 0)
        await rig.client.get("/me/x/a")
        answer = await rig.client.get("/me/x/a")
        assert answer.text == "answer 2"
        assert "cache-status" not in answer.headers

    async def test_a_large_one_waits_for_its_client_on_the_long_way(self, rig: Rig, api: Api, ways: Ways) -> None:
        api.body = bytes(express.MAX_BODY_BYTES + 1)
        open_api(rig, api)
        await rig.client.get("/me/x/a")
        answer = await rig.client.get("/me/x/a")
        assert answer.headers["cache-status"].startswith("apimarket; hit")
        assert (answer.content, ways[-1]) == (api.body, False)

    async def test_who_does_not_read_does_not_fill_the_memory(self, rig: Rig, api: Api) -> None:
        api.body = bytes(60_000)
        open_api(rig, api)
        await rig.client.get("/me/x/a")
        before = len(rig.records)
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"GET /me/x/a HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % rig.port * 3000)
        await until(lambda: len(rig.records) > before)
        seen = -1
        while seen != len(rig.records):  # until it stands still
            seen = len(rig.records)
            await asyncio.sleep(0.2)
        assert seen - before < 300
        writer.close()


class TestFreshness:
    @pytest.mark.parametrize(
        ("headers", "fresh_s"),
        [
            ([], 60),
            ([("cache-control", "max-age=5")], 5),
            ([("cache-control", "max-age=5, s-maxage=10")], 10),
            ([("cache-control", "max-age=5"), ("cache-control", "max-age=3")], 3),
            ([("cache-control", 'max-age="7"')], 7),
            ([("cache-control", "max-age=5, must-revalidate")], 5),
            ([("cache-control", "max-age=5"), ("expires", "0")], 5),
            ([("cache-control", "max-age=10"), ("age", "4")], 6),
            ([("cache-control", "MAX-AGE=5")], 5),
        ],
        ids=["default", "max-age", "s-maxage", "two", "quoted", "must-revalidate", "over-expires", "age", "upper"],
    )
    async def test_it_is_given_for_as_long_as_it_says(
        self, rig: Rig, api: Api, way: dict[str, str], headers: Headers, fresh_s: int
    ) -> None:
        api.headers = headers
        await warm(rig, api, 60)
        later(rig, fresh_s - 0.9)
        assert (await rig.client.get("/me/x/a", headers=way)).text == "answer 1"
        later(rig, 1)
        assert (await rig.client.get("/me/x/a", headers=way)).text == "answer 2"

    async def test_expires_counts_from_its_own_date(self, rig: Rig, api: Api) -> None:
        now = datetime.now(UTC)
        api.headers = [
            ("date", format_datetime(now, usegmt=True)),
            ("expires", format_datetime(now + timedelta(seconds=20), usegmt=True)),
        ]
        await warm(rig, api)
        later(rig, 18)
        assert (await rig.client.get("/me/x/a")).text == "answer 1"
        later(rig, 2.5)
        assert (await rig.client.get("/me/x/a")).text == "answer 2"

    @pytest.mark.parametrize(
        "headers",
        [
            [("cache-control", "no-store")],
            [("cache-control", "private")],
            [("cache-control", 'private="set-cookie", max-age=60')],
            [("cache-control", "no-cache")],
            [("cache-control", "max-age=0")],
            [("cache-control", "max-age=-5")],
            [("cache-control", "max-age=soon")],
            [("cache-control", "max-age=60, s-maxage=0")],
            [("cache-control", 'ext="a, b", no-store')],
            [("cache-control", 'ext="open, no-store')],
            [("expires", "0")],
            [("expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
            [("set-cookie", "a=b"), ("cache-control", "public, max-age=60")],
            [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "max-age=60")],
            [("vary", "*")],
            [("vary", "Accept, x-forwarded-for")],
            [("age", "100")],
        ],
        ids=str,
    )
    async def test_some_answers_are_never_given_again(self, rig: Rig, api: Api, headers: Headers) -> None:
        api.headers = headers
        await warm(rig, api)
        answer = await rig.client.get("/me/x/a")
        assert answer.text == "answer 2"
        assert answer.headers["cache-status"].startswith("apimarket; fwd=")

    @pytest.mark.parametrize(
        ("status", "control", "kept"),
        [
            (200, "", True), (204, "", True), (301, "", True), (410, "", True),
            (404, "", False), (404, "max-age=9", True), (302, "", False), (302, "max-age=9", True),
            (206, "max-age=9", False), (500, "max-age=9", False), (503, "", False), (401, "max-age=9", False),
        ],
    )  # fmt: skip
    async def test_it_depends_on_the_status(self, rig: Rig, api: Api, status: int, control: str, kept: bool) -> None:
        api.status, api.headers = status, [("cache-control", control)] if control else []
        open_api(rig, api)
        for _ in range(2):
            answer = await rig.client.get("/me/x/a")
            assert answer.status_code == status
        assert len(api.asked) == (1 if kept else 2)

    async def test_what_broke_off_is_not_kept(self, rig: Rig, api: Api) -> None:
        api.headers, api.body = [("content-length", "100")], b"half"
        open_api(rig, api)
        for _ in range(2):
            with pytest.raises(httpx2.RemoteProtocolError):
                await rig.client.get("/me/x/a")
        assert len(api.asked) == 2


class TestWhatTheCallerWants:
    @pytest.mark.parametrize(
        "headers",
        [
            {"cache-control": "no-cache"},
            {"pragma": "no-cache"},
            {"cache-control": "no-store"},
            {"cache-control": "max-age=0"},
            {"cache-control": "min-fresh=100"},
            {"range": "bytes=0-1"},
            {"if-match": '"a"'},
        ],
        ids=str,
    )
    async def test_the_api_is_asked_where_it_says_so(
        self, rig: Rig, api: Api, way: dict[str, str], headers: dict[str, str]
    ) -> None:
        await warm(rig, api)
        later(rig, 1)
        assert (await rig.client.get("/me/x/a", headers=headers | way)).text == "answer 2"

    async def test_no_cache_renews_what_is_kept_and_no_store_does_not(self, rig: Rig, api: Api) -> None:
        await warm(rig, api)
        await rig.client.get("/me/x/a", headers={"cache-control": "no-store"})
        assert (await rig.client.get("/me/x/a")).text == "answer 1"
        await rig.client.get("/me/x/a", headers={"cache-control": "no-cache"})
        assert (await rig.client.get("/me/x/a")).text == "answer 3"

    async def test_only_if_cached_never_bothers_the_api(self, rig: Rig, api: Api, way: dict[str, str]) -> None:
        open_api(rig, api)
        asks = {"cache-control": "only-if-cached"} | way
        refused = await rig.client.get("/me/x/a", headers=asks)
        assert (refused.status_code, refused.json()["code"]) == (504, "not_cached")
        assert (api.asked, rig.records[-1].outcome) == ([], CallOutcome.REFUSED)
        await rig.client.get("/me/x/a")
        assert (await rig.client.get("/me/x/a", headers=asks)).text == "answer 1"


class TestConditions:
    @pytest.mark.parametrize(
        ("tag", "same"), [('"v1"', True), ('W/"v1"', True), ('"v0", "v1"', True), ("*", True), ('"v2"', False)]
    )
    async def test_who_has_it_already_is_told_so(
        self, rig: Rig, api: Api, way: dict[str, str], tag: str, same: bool
    ) -> None:
        api.headers = [("etag", '"v1"'), ("content-type", "text/plain"), ("cache-control", "max-age=9")]
        await warm(rig, api)
        answer = await rig.client.get("/me/x/a", headers={"if-none-match": tag} | way)
        assert answer.status_code == (304 if same else 200)
        assert len(api.asked) == 1
        if same:
            assert (answer.content, answer.headers["etag"], answer.headers["cache-control"]) == (
                b"", '"v1"', "max-age=9",
            )  # fmt: skip
            assert "content-type" not in answer.headers
            assert (rig.records[-1].status, rig.records[-1].cached) == (304, True)

    @pytest.mark.parametrize(("offset_s", "status"), [(0, 304), (10, 304), (-10, 200)])
    async def test_so_is_who_names_a_time(self, rig: Rig, api: Api, offset_s: int, status: int) -> None:
        changed = datetime(2026, 1, 1, tzinfo=UTC)
        api.headers = [("last-modified", format_datetime(changed, usegmt=True))]
        await warm(rig, api)
        since = format_datetime(changed + timedelta(seconds=offset_s), usegmt=True)
        answer = await rig.client.get("/me/x/a", headers={"if-modified-since": since})
        assert (answer.status_code, len(api.asked)) == (status, 1)

    async def test_what_is_too_old_is_given_again_once_the_api_confirms_it(
        self, rig: Rig, api: Api, way: dict[str, str]
    ) -> None:
        api.headers = [("etag", '"v1"'), ("content-type", "text/plain")]
        await warm(rig, api, 60)
        later(rig, 100)
        api.headers = [("etag", '"v1"'), ("x-new", "1")]
        confirmed = await rig.client.get("/me/x/a", headers=way)
        assert (confirmed.status_code, confirmed.text, confirmed.headers["x-new"]) == (200, "answer 1", "1")
        assert confirmed.headers["cache-status"].startswith("apimarket; fwd=stale; fwd-status=304; ttl=")
        assert confirmed.headers["content-type"] == "text/plain"
        assert (len(api.asked), api.asked[1]["if-none-match"]) == (2, '"v1"')
        assert [record.status for record in rig.records] == [200, 200]
        assert [record.cached for record in rig.records] == [False, False]
        await rig.client.get("/me/x/a", headers=way)
        assert len(api.asked) == 2

    async def test_what_changed_takes_its_place(self, rig: Rig, api: Api) -> None:
        api.headers = [("etag", '"v1"')]
        await warm(rig, api)
        later(rig, 100)
        api.headers = [("etag", '"v2"')]
        assert (await rig.client.get("/me/x/a")).text == "answer 2"
        assert (await rig.client.get("/me/x/a")).text == "answer 2"
        assert len(api.asked) == 2

    async def test_no_cache_is_kept_to_be_confirmed_each_time(self, rig: Rig, api: Api) -> None:
        api.headers = [("etag", '"v1"'), ("cache-control", "no-cache")]
        await warm(rig, api)
        for count in (2, 3):
            assert (await rig.client.get("/me/x/a")).text == "answer 1"
            assert len(api.asked) == count

    async def test_a_caller_s_own_condition_is_not_mixed_with_the_gateway_s(self, rig: Rig, api: Api) -> None:
        api.headers = [("etag", '"v1"')]
        await warm(rig, api)
        later(rig, 100)
        answer = await rig.client.get("/me/x/a", headers={"if-none-match": '"mine"'})
        assert (answer.status_code, answer.text, api.asked[1]["if-none-match"]) == (200, "answer 1", '"v1"')
        later(rig, 100)
        answer = await rig.client.get("/me/x/a", headers={"if-none-match": '"v1"'})
        assert answer.status_code == 304

    async def test_a_condition_on_what_is_not_kept_is_the_api_s_business(self, rig: Rig, api: Api) -> None:
        api.headers = [("etag", '"v1"')]
        open_api(rig, api)
        assert (await rig.client.get("/me/x/a", headers={"if-none-match": '"v1"'})).status_code == 304
        assert (await rig.client.get("/me/x/a")).text == "answer 2"


class TestWhoseItIs:
    async def test_it_is_never_given_to_another_key(self, rig: Rig, api: Api, way: dict[str, str]) -> None:
        ana, bo = keys(rig, 2)
        await warm(rig, api)
        assert (await rig.client.get("/me/x/a", headers=ana | way)).text == "answer 2"
        assert (await rig.client.get("/me/x/a", headers=bo | way)).text == "answer 3"
        assert (await rig.client.get("/me/x/a", headers=ana | way)).text == "answer 2"
        assert (await rig.client.get("/me/x/a", headers=bo | way)).text == "answer 3"
        assert (await rig.client.get("/me/x/a", headers=way)).text == "answer 1"

    @pytest.mark.parametrize("control", ["public", "s-maxage=60"])
    async def test_unless_the_api_says_it_is_for_everybody(self, rig: Rig, api: Api, control: str) -> None:
        ana, bo = keys(rig, 2)
        api.headers = [("cache-control", control)]
        open_api(rig, api)
        for headers in (ana, bo, {}, {"authorization": "Basic eDp5"}, {"cookie": "a=b"}):
            assert (await rig.client.get("/me/x/a", headers=headers)).text == "answer 1"

    @pytest.mark.parametrize(
        "headers", [{"authorization": "Bearer other"}, {"cookie": "session=1"}, {"x-api-key": "own"}], ids=str
    )
    async def test_credentials_of_the_api_s_own_share_nothing(
        self, rig: Rig, api: Api, way: dict[str, str], headers: dict[str, str]
    ) -> None:
        await warm(rig, api, auth="none")
        for number in (2, 3):
            assert (await rig.client.get("/me/x/a", headers=headers | way)).text == f"answer {number}"
        assert (await rig.client.get("/me/x/a", headers=way)).text == "answer 1"

    async def test_a_revoked_key_gets_nothing_that_is_kept(self, rig: Rig, api: Api, way: dict[str, str]) -> None:
        (ana,) = keys(rig, 1)
        open_api(rig, api)
        await rig.client.get("/me/x/a", headers=ana)
        rig.gateway.callers.use_keys([])
        assert (await rig.client.get("/me/x/a", headers=ana | way)).status_code == 401

    async def test_it_counts_for_the_limit_all_the_same(self, rig: Rig, api: Api, way: dict[str, str]) -> None:
        await warm(rig, api, rate_limit=RateLimit(2, 60))
        kept = await rig.client.get("/me/x/a", headers=way)
        assert (kept.text, kept.headers["ratelimit-remaining"]) == ("answer 1", "0")
        assert (await rig.client.get("/me/x/a", headers=way)).status_code == 429


class TestWhatItDependsOn:
    async def test_vary_keeps_them_apart(self, rig: Rig, api: Api, way: dict[str, str]) -> None:
        api.headers = [("vary", "Accept-Language, X-Tint")]
        open_api(rig, api)
        for _ in range(2):
            for number, tint in enumerate(["red", "blue"], 1):
                answer = await rig.client.get("/me/x/a", headers={"x-tint": tint} | way)
                assert answer.text == f"answer {number}"
        assert len(api.asked) == 2

    async def test_a_compressed_body_is_for_who_asked_for_it(self, rig: Rig, api: Api) -> None:
        api.headers = [("content-encoding", "identity")]
        open_api(rig, api)
        await rig.client.get("/me/x/a", headers={"accept-encoding": "gzip"})
        answer = await rig.client.get("/me/x/a", headers={"accept-encoding": "identity"})
        assert answer.text == "answer 2"

    async def test_so_do_query_host_and_prefix(self, rig: Rig, api: Api) -> None:
        rig.api("own", api.port, cache_ttl_s=60)
        await rig.client.get("/me/own/a")
        assert (await rig.client.get("/me/own/a?q")).text == "answer 2"
        assert (await rig.client.get("/a", headers={"host": f"own.me.localhost:{rig.port}"})).text == "answer 3"
        assert (await rig.client.get("/me/own/a", headers={"host": f"localhost:{rig.port}"})).text == "answer 4"

    async def test_a_page_s_origin_is_answered_for_itself(self, rig: Rig, api: Api) -> None:
        await warm(rig, api, cors=("https://a.example", "https://b.example"))
        for number, origin in enumerate(["https://a.example", "https://b.example"], 2):
            answer = await rig.client.get("/me/x/a", headers={"origin": origin})
            assert (answer.text, answer.headers["access-control-allow-origin"]) == (f"answer {number}", origin)


class TestWhatChanges:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PURGE"])
    async def test_what_is_written_to_is_asked_for_anew(self, rig: Rig, api: Api, method: str) -> None:
        (ana,) = keys(rig, 1)
        await warm(rig, api)
        await rig.client.get("/me/x/a", headers=ana)
        await rig.client.get("/me/x/b")
        await rig.client.request(method, "/me/x/a")
        assert (await rig.client.get("/me/x/a")).text == "answer 5"
        assert (await rig.client.get("/me/x/a", headers=ana)).text == "answer 6"
        assert (await rig.client.get("/me/x/b")).text == "answer 3"

    async def test_also_by_the_short_way(self, rig: Rig, api: Api, ways: Ways) -> None:
        await warm(rig, api)
        for number in range(80):  # until the API is known to keep idle connections
            await rig.client.get(f"/me/x/{number}")
        ways.clear()
        await rig.client.post("/me/x/a", content=b"1")
        assert ways == [True]
        assert (await rig.client.get("/me/x/a")).text != "answer 1"

    async def test_not_by_what_the_api_refused(self, rig: Rig, api: Api) -> None:
        await warm(rig, api)
        api.status = 403
        await rig.client.post("/me/x/a")
        assert (await rig.client.get("/me/x/a")).text == "answer 1"

    async def test_what_is_being_answered_while_it_changes_is_not_kept(self, rig: Rig, api: Api) -> None:
        open_api(rig, api)
        api.gate = asyncio.Event()
        reading = asyncio.create_task(rig.client.get("/me/x/a"))
        await until(lambda: api.asked)
        writing = asyncio.create_task(rig.client.post("/me/x/a"))
        await until(lambda: len(api.asked) == 2)
        lane = next(iter(rig.gateway.routing._lanes))
        lane.shelf.changed(b"/a")  # as the answer to the POST does, were it here first
        api.gate.set()
        await asyncio.gather(reading, writing)
        api.gate = None
        assert (await rig.client.get("/me/x/a")).text == "answer 3"

    async def test_a_new_generation_gives_nothing_of_an_old_one(self, rig: Rig, api: Api, way: dict[str, str]) -> None:
        await warm(rig, api)
        rig.api("x", api.port, generation=2, cache_ttl_s=60)
        answer = await rig.client.get("/me/x/a", headers=way)
        assert (answer.text, answer.headers["x-apimarket-generation"]) == ("answer 2", f"{2:064x}")

    async def test_nor_is_it_asked_to_confirm_it(self, rig: Rig, api: Api) -> None:
        api.headers = [("etag", '"v1"')]
        await warm(rig, api)
        rig.api("x", api.port, generation=2, cache_ttl_s=60)
        assert (await rig.client.get("/me/x/a")).text == "answer 2"
        assert "if-none-match" not in api.asked[1]

    async def test_nor_does_an_old_one_that_comes_back(self, rig: Rig, api: Api) -> None:
        old = await warm_lane(rig, api)
        rig.api("x", api.port, generation=2, cache_ttl_s=60)
        entry = rig.gateway.routing.lookup(ApiId("me/x"))
        assert entry is not None
        rig.gateway.routing.route(entry.route, old)
        assert (await rig.client.get("/me/x/a")).text == "answer 2"

    async def test_an_api_that_was_stopped_gives_nothing(self, rig: Rig, api: Api) -> None:
        await warm(rig, api)
        rig.api("x", None, cache_ttl_s=60, availability="stopped")
        assert (await rig.client.get("/me/x/a")).status_code == 503


async def warm_lane(rig: Rig, api: Api) -> Any:
    lane = rig.api("x", api.port, cache_ttl_s=60)
    assert (await rig.client.get("/me/x/a")).text == "answer 1"
    return lane


class TestAtOnce:
    async def ask(self, rig: Rig, api: Api, count: int) -> tuple[list[str], list[str]]:
        """Texts and Cache-Status of as many who ask while the first is not answered."""
        api.gate = asyncio.Event()
        asking = [asyncio.create_task(rig.client.get("/me/x/a")) for _ in range(count)]
        await until(lambda: api.asked)
        lane = next(iter(rig.gateway.routing._lanes))
        await until(lambda: len(rig.gateway.routing.in_flight()) and len(lane.shelf._flights) == 1)
        await asyncio.sleep(0.05)  # let the others come; the figures hold for any that do
        api.gate.set()
        answers = await asyncio.gather(*asking)
        return [answer.text for answer in answers], [answer.headers["cache-status"] for answer in answers]

    async def test_many_who_miss_are_one_question(self, rig: Rig, api: Api) -> None:
        open_api(rig, api)
        texts, told = await self.ask(rig, api, 40)
        assert set(texts) == {"answer 1"}
        assert len(api.asked) == 1
        assert sum("fwd=uri-miss; stored" in each for each in told) == 1
        assert any("collapsed" in each for each in told)
        assert sum(record.cached for record in rig.records) == 39

    async def test_when_it_may_not_be_shared_each_is_answered_for_itself(self, rig: Rig, api: Api) -> None:
        api.headers = [("cache-control", "private")]
        open_api(rig, api)
        texts, _ = await self.ask(rig, api, 20)
        assert len(set(texts)) == len(api.asked) == 20
        # For a while nobody waits for another there.
        api.asked.clear()
        api.gate = asyncio.Event()
        asking = [asyncio.create_task(rig.client.get("/me/x/a")) for _ in range(5)]
        await until(lambda: len(api.asked) == 5)
        api.gate.set()
        await asyncio.gather(*asking)

    async def test_when_the_first_breaks_off_the_others_go_on(self, rig: Rig, api: Api) -> None:
        open_api(rig, api)
        api.gate = asyncio.Event()
        first = asyncio.create_task(rig.client.get("/me/x/a"))
        await until(lambda: api.asked)
        others = [asyncio.create_task(rig.client.get("/me/x/a")) for _ in range(3)]
        await asyncio.sleep(0.05)
        first.cancel()
        await until(lambda: len(api.asked) > 1)
        api.gate.set()
        assert [answer.status_code for answer in await asyncio.gather(*others)] == [200] * 3

    async def test_nobody_waits_long_for_a_slow_one(self, rig: Rig, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cached, "FOLLOW_S", 0.05)
        open_api(rig, api)
        api.gate = asyncio.Event()
        asking = [asyncio.create_task(rig.client.get("/me/x/a")) for _ in range(3)]
        await until(lambda: len(api.asked) == 3)
        api.gate.set()
        await asyncio.gather(*asking)

    async def test_who_hangs_up_while_waiting_is_noticed(self, rig: Rig, api: Api) -> None:
        open_api(rig, api)
        api.gate = asyncio.Event()
        first = asyncio.create_task(rig.client.get("/me/x/a"))
        await until(lambda: api.asked)
        waiting = asyncio.create_task(rig.client.get("/me/x/a"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await until(lambda: rig.records)
        assert (rig.records[0].outcome, rig.records[0].status) == (CallOutcome.ABORTED, 499)
        api.gate.set()
        assert (await first).status_code == 200


class TestBounds:
    async def test_what_is_too_long_is_passed_on_and_not_kept(self, rig: Rig, api: Api) -> None:
        api.body = bytes(ONE_BYTES + 1)
        open_api(rig, api)
        for _ in range(2):
            assert len((await rig.client.get("/me/x/a")).content) == ONE_BYTES + 1
        assert (len(api.asked), rig.gateway.routing.cache.bytes) == (2, 0)

    async def test_an_api_s_and_all_together_are_bounded_and_the_unused_goes_first(self, rig: Rig, api: Api) -> None:
        api.body = bytes(900_000)
        open_api(rig, api)
        for number in range(30):
            await rig.client.get(f"/me/x/{number}")
            await rig.client.get("/me/x/0")
        assert rig.gateway.routing.cache.bytes <= SHELF_BYTES
        assert len(api.asked) == 30
        await rig.client.get("/me/x/1")
        assert len(api.asked) == 31

    async def test_all_shelves_together_are_bounded(self, rig: Rig, api: Api) -> None:
        rig.gateway.routing.cache = cache = Cache(lambda: datetime.now(UTC), most_bytes=100_000)
        api.body = bytes(30_000)
        for slug in ("x", "y"):
            rig.api(slug, api.port, cache_ttl_s=60)
            for number in range(5):
                await rig.client.get(f"/me/{slug}/{number}")
        assert 0 < cache.bytes <= 100_000

    async def test_nothing_is_left_of_a_generation_that_ended(self, rig: Rig, api: Api) -> None:
        lane = await warm_lane(rig, api)
        assert rig.gateway.routing.cache.bytes > 0
        await lane.close()
        assert rig.gateway.routing.cache.bytes == 0
