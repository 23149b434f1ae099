"""The marketplace over real HTTP: what anybody may read, and what a stranger, a consumer and an owner may do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local_server.accounts import passwords, service
from tests.control.conftest import Answer, Running, serving, wait_for

PASSWORD = "correct horse battery"
HOSTILE = "\x1b[31mred \u202egnp.exe <b>bold</b> [link](javascript:x)"
MANIFEST = """\
[api]
name = "weather"
runtime = "python"
version = "1.2.0"
summary = "Forecasts for any place"
tags = ["geo"]
category = "data"
visibility = "public"

[[plan]]
code = "free"
price = "0 EUR/month"
quota = "3/month"

[[plan]]
code = "pro"
price = "4.50 EUR/month"
quota = "10/month"
overage = "bill"
overage_price = "0.002 EUR"
"""
WEATHER = "/api/v1/marketplace/apis/ana/weather"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        patch.setattr(service, "FREE_SIGNUPS", 1000)
        with serving(tmp_path_factory.mktemp("market") / "home") as started:
            yield started


@pytest.fixture(scope="module")
def weather(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A public API of the machine's owner, listed with its README."""
    directory = tmp_path_factory.mktemp("projects") / "weather"
    directory.mkdir()
    (directory / "main.py").write_text("def handler(request):\n    return {}\n")
    (directory / "answer.txt").write_text("sunny")
    (directory / "README.md").write_text(f"# Weather\nbarometric {HOSTILE}\n")
    (directory / "apimarket.toml").write_text(MANIFEST)
    answer = running.ask("POST", "/api/v1/apis", {"directory": str(directory)})
    assert answer.status == 201, answer.body
    wait_for(lambda: "barometric" in running.ask("GET", WEATHER, token=None).json.get("readme", ""))
    return directory


_accounts = iter(range(1, 1000))


def an_account(running: Running, role: str = "consumer") -> str:
    handle = f"user-{next(_accounts)}"
    body = {"handle": handle, "email": f"{handle}@example.org", "password": PASSWORD, "role": role}
    answer = running.ask("POST", "/api/v1/auth/signup", body, token=None)
    assert answer.status == 201, answer.body
    return str(answer.json["token"])


def subscribe(running: Running, token: str, **body: Any) -> Any:
    answer = running.ask("POST", f"{WEATHER}/subscribe", body, token=token)
    assert answer.status == 201, answer.body
    return answer.json


def call(running: Running, key: str) -> Answer:
    return running.ask("GET", "/ana/weather/", headers={"Authorization": f"Bearer {key}"}, token=None)


def used(running: Running, token: str) -> int:
    (one,) = running.ask("GET", "/api/v1/usage", token=token).json
    return int(one["usage"]["used"])


class TestCatalogue:
    def test_anybody_finds_it(self, running: Running, weather: Path) -> None:
        for query in ("q=weather", "q=barometric", "q=geo+fore", "tag=geo", "category=data", "free=true", "owner=ana"):
            found = running.ask("GET", f"/api/v1/marketplace/apis?{query}", token=None)
            assert found.status == 200
            assert [api["name"] for api in found.json["apis"]] == ["ana/weather"], query
        assert found.json["facets"]["tag"] == [{"value": "geo", "count": 1}]
        assert found.json["complete"]
        for query in ("q=nothing", "tag=other", "free=false", "min_rating=5"):
            assert running.ask("GET", f"/api/v1/marketplace/apis?{query}", token=None).json["apis"] == []

    def test_the_detail_has_what_decides(self, running: Running, weather: Path) -> None:
        detail = running.ask("GET", WEATHER, token=None).json
        assert HOSTILE in detail["readme"]  # kept as it is: text
        assert [(plan["code"], plan["price"], plan["quota"]) for plan in detail["plans"]] == [
            ("free", "0 EUR/month", "3/month"),
            ("pro", "4.50 EUR/month", "10/month"),
        ]
        assert detail["api"]["price_from"] == "0 EUR"
        assert running.ask("GET", f"{WEATHER}/plans", token=None).json == detail["plans"]
        assert running.ask("GET", "/api/v1/marketplace/tags", token=None).json == [{"value": "geo", "count": 1}]
        assert running.ask("GET", "/api/v1/marketplace/categories", token=None).json == [{"value": "data", "count": 1}]

    def test_private_ones_are_as_if_they_were_not(self, running: Running, weather: Path, project: Path) -> None:
        assert running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": "secret"}).status == 201
        for path in ("", "/plans", "/reviews"):
            secret = running.ask("GET", f"/api/v1/marketplace/apis/ana/secret{path}", token=None)
            nothing = running.ask("GET", f"/api/v1/marketplace/apis/ana/hidden{path}", token=None)
            assert (secret.status, nothing.status) == (404, 404)
            assert secret.json["code"] == nothing.json["code"] == "listing_not_found"
        changed = running.ask("PATCH", "/api/v1/apis/secret", {"visibility": "unlisted"})
        assert changed.status == 200, changed.body
        path = "/api/v1/marketplace/apis/ana/secret"
        wait_for(lambda: running.ask("GET", path, token=None).status == 200)
        assert running.ask("GET", "/api/v1/marketplace/apis?q=secret", token=None).json["apis"] == []
        assert running.ask("GET", path, token=None).json["plans"][0]["code"] == "free"
        assert running.ask("DELETE", "/api/v1/apis/secret").status == 204
        wait_for(lambda: running.ask("GET", path, token=None).status == 404)

    @pytest.mark.parametrize(
        "query",
        [
            "after=nonsense",
            "after=WyJiZXN0IiwidHJ1ZSIsIiJd",
            "sort=worst",
            "limit=0",
            "limit=101",
            "min_rating=9",
            "x=1",
        ],
    )
    def test_bad_questions(self, running: Running, query: str) -> None:
        answer = running.ask("GET", f"/api/v1/marketplace/apis?{query}", token=None)
        assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")

    def test_the_feed_tells_what_changed_and_nothing_twice(self, running: Running, weather: Path) -> None:
        first = running.ask("GET", "/api/v1/marketplace/catalogue", token=None)
        assert [change["api"]["name"] for change in first.json["changes"] if change["api"]] == ["ana/weather"]
        tag = {"If-None-Match": first.headers["etag"]}
        assert running.ask("GET", "/api/v1/marketplace/catalogue", headers=tag, token=None).status == 304
        since = first.json["next"]
        rest = running.ask("GET", f"/api/v1/marketplace/catalogue?since={since}", token=None).json
        assert (rest["changes"], rest["next"], rest["complete"]) == ([], since, True)


class TestSubscriptions:
    def test_the_life_of_one(self, running: Running, weather: Path) -> None:
        token = an_account(running)
        made = subscribe(running, token)
        one, key = made["subscription"], made["key"]
        assert (one["api"], one["plan"]["code"], one["state"]) == ("ana/weather", "free", "active")
        assert one["usage"]["quota_left"] == 3
        assert call(running, key).status == 200
        wait_for(lambda: used(running, token) == 1)
        path = f"/api/v1/subscriptions/{one['id']}"
        assert running.ask("GET", path, token=token).json["usage"]["quota_left"] == 2
        upgraded = running.ask("PATCH", path, {"plan": "pro"}, token=token).json
        assert (upgraded["plan"]["code"], upgraded["usage"]["cost"]) == ("pro", "4.50 EUR")
        back = running.ask("PATCH", path, {"plan": "free"}, token=token).json
        assert (back["plan"]["code"], back["next_plan"]) == ("pro", "free")
        ending = running.ask("POST", f"{path}/cancel", {}, token=token).json
        assert (ending["state"], ending["cancel_at_end"]) == ("active", True)
        assert call(running, key).status == 200
        assert not running.ask("PATCH", path, {"keep": True}, token=token).json["cancel_at_end"]
        over = running.ask("POST", f"{path}/cancel", {"when": "now"}, token=token).json
        assert (over["state"], over["ended_at"] is not None) == ("canceled", True)
        assert (call(running, key).status, call(running, key).json["code"]) == (401, "key_refused")
        again = running.ask("POST", f"{path}/cancel", {"when": "now"}, token=token)
        assert (again.status, again.json["code"]) == (409, "subscription_ended")
        assert subscribe(running, token)["subscription"]["id"] != one["id"]

    def test_a_rotated_key_goes_on_counting(self, running: Running, weather: Path) -> None:
        token = an_account(running)
        made = subscribe(running, token)
        rotated = running.ask("POST", f"/api/v1/keys/{made['key_id']}/rotate", {"grace_s": 60}, token=token)
        assert (rotated.status, rotated.json["info"]["api"]) == (201, "ana/weather")
        for key in (made["key"], rotated.json["key"]):
            assert call(running, key).status == 200
        wait_for(lambda: used(running, token) == 2)

    def test_sent_twice_it_is_one(self, running: Running, weather: Path) -> None:
        token, key = an_account(running), {"Idempotency-Key": "try-1"}
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(running.ask, "POST", f"{WEATHER}/subscribe", {"plan": "free"}, key, token)
                for _ in range(16)
            ]
            answers = [one.result() for one in asked]
        assert {answer.status for answer in answers} == {201}
        assert len({answer.json["subscription"]["id"] for answer in answers}) == 1
        (made,) = [answer.json for answer in answers if answer.json["key"]]
        assert {answer.json["key_id"] for answer in answers} == {made["key_id"]}
        rotated = running.ask("POST", f"/api/v1/keys/{made['key_id']}/rotate", {"grace_s": 0}, token=token)
        assert call(running, rotated.json["key"]).status == 200
        other = running.ask("POST", f"{WEATHER}/subscribe", {"plan": "pro"}, key, token)
        assert (other.status, other.json["code"]) == (409, "idempotency_key_reused")
        bad = running.ask("POST", f"{WEATHER}/subscribe", {}, {"Idempotency-Key": "a b"}, token)
        assert (bad.status, bad.json["code"]) == (422, "invalid_idempotency_key")
        second = running.ask("POST", f"{WEATHER}/subscribe", {}, token=token)
        assert (second.status, second.json["code"]) == (409, "already_subscribed")

    def test_of_64_at_once_one_subscribes(self, running: Running, weather: Path) -> None:
        token = an_account(running)
        with ThreadPoolExecutor(64) as pool:
            asked = [pool.submit(running.ask, "POST", f"{WEATHER}/subscribe", {}, None, token) for _ in range(64)]
            answers = [one.result() for one in asked]
        assert sorted(answer.status for answer in answers) == [201] + [409] * 63
        assert {answer.json["code"] for answer in answers if answer.status == 409} == {"already_subscribed"}
        assert len(running.ask("GET", "/api/v1/subscriptions", token=token).json) == 1

    def test_64_clients_are_counted_to_the_call_and_their_quota_holds(self, running: Running, weather: Path) -> None:
        tokens = [an_account(running) for _ in range(16)]
        with ThreadPoolExecutor(64) as pool:
            keys = list(pool.map(lambda token: subscribe(running, token)["key"], tokens))
            statuses = list(pool.map(lambda number: call(running, keys[number % 16]).status, range(256)))
        assert statuses.count(200) == 16 * 3
        assert statuses.count(429) == 16 * 13
        for token in tokens:
            wait_for(lambda token=token: used(running, token) == 3)  # type: ignore[misc]
            (one,) = running.ask("GET", "/api/v1/usage", token=token).json
            assert (one["usage"]["quota_used"], one["usage"]["quota_left"]) == (3, 0)

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"plan": "gold"}, 404, "plan_not_found"),
            ({"plan": 7}, 422, "invalid_request"),
            ({"plan": "free", "spend_cap_minor": 5}, 422, "invalid_spend_cap"),
            ({"plan": "pro", "spend_cap_minor": -1}, 422, "invalid_request"),
            ({"plan": "pro", "spend_cap_minor": 1.5}, 422, "invalid_request"),
            ({"plan": "pro", "spend_cap_minor": 449}, 422, "invalid_spend_cap"),
            ({"state": "active"}, 422, "invalid_request"),
        ],
        ids=str,
    )
    def test_bad_wishes(self, running: Running, weather: Path, body: Any, status: int, code: str) -> None:
        token = an_account(running)
        answer = running.ask("POST", f"{WEATHER}/subscribe", body, token=token)
        assert (answer.status, answer.json["code"]) == (status, code)
        assert running.ask("GET", "/api/v1/subscriptions", token=token).json == []

    def test_the_owner_has_nothing_to_subscribe_to(self, running: Running, weather: Path) -> None:
        answer = running.ask("POST", f"{WEATHER}/subscribe", {})
        assert (answer.status, answer.json["code"]) == (409, "own_api")

    def test_nobody_reaches_anothers(self, running: Running, weather: Path) -> None:
        mine = subscribe(running, an_account(running))["subscription"]
        stranger = an_account(running, "developer")
        path = f"/api/v1/subscriptions/{mine['id']}"
        for method, where, body in (
            ("GET", path, None), ("PATCH", path, {"plan": "pro"}), ("POST", f"{path}/cancel", {"when": "now"}),
        ):  # fmt: skip
            answer = running.ask(method, where, body, token=stranger)
            assert (answer.status, answer.json["code"]) == (404, "subscription_not_found")
            assert running.ask(method, where, body).status == 404  # the API's owner neither
            assert running.ask(method, where, body, token=None).status == 401
        assert running.ask("GET", "/api/v1/apis/ana%2Fweather/subscribers", token=stranger).status == 404
        assert running.ask("GET", "/api/v1/apis/weather/subscribers", token=stranger).status == 404
        assert running.ask("GET", "/api/v1/apis/weather/plans", token=stranger).status == 404

    def test_the_owner_sees_use_by_subscriber(self, running: Running, weather: Path) -> None:
        token = an_account(running)
        made = subscribe(running, token, plan="pro")
        call(running, made["key"])
        wait_for(lambda: used(running, token) == 1)
        written = running.ask("GET", "/api/v1/apis/weather/plans").json
        offered = running.ask("GET", f"{WEATHER}/plans", token=None).json
        assert [plan["code"] for plan in written] == ["free", "pro"]
        assert written == [{key: plan[key] for key in written[0]} for plan in offered]
        rows = running.ask("GET", "/api/v1/apis/weather/subscribers").json
        (row,) = [row for row in rows if row["subscription"] == made["subscription"]["id"]]
        assert (row["used"], row["plan"], row["cost"]) == (1, "pro", "4.50 EUR")
        assert made["key"] not in str(rows)


class TestMeasured:
    def test_the_listing_tells_what_its_calls_were_like(self, running: Running, weather: Path) -> None:
        def measured() -> Any:
            return running.ask("GET", WEATHER, token=None).json["measured"]

        before = measured()["requests"]
        key = subscribe(running, an_account(running), plan="pro")["key"]
        for _ in range(8):
            assert call(running, key).status == 200
        told = wait_for(lambda: measured() if measured()["requests"] == before + 8 else None)
        assert (told["success_rate"], told["uptime"]) == (1.0, 1.0)
        assert 0 < told["p50_ms"] <= told["p95_ms"] < 20_000
        assert running.ask("POST", "/api/v1/apis/weather/stop").status == 202
        wait_for(lambda: call(running, key).status == 503)
        try:
            low = wait_for(lambda: measured() if measured()["uptime"] < 1 else None)
            assert low["uptime"] == pytest.approx((low["requests"] - 1) / low["requests"])
        finally:
            assert running.ask("POST", "/api/v1/apis/weather/deploy").status == 202
            wait_for(lambda: running.ask("GET", "/api/v1/apis/weather").json["serving"])


class TestReviews:
    def test_only_who_used_it_may_write_one(self, running: Running, weather: Path) -> None:
        token = an_account(running)
        body = {"rating": 4, "text": HOSTILE}
        assert running.ask("PUT", f"{WEATHER}/reviews", body, token=None).status == 401
        refused = running.ask("PUT", f"{WEATHER}/reviews", body, token=token)
        assert (refused.status, refused.json["code"]) == (403, "review_not_allowed")
        own = running.ask("PUT", f"{WEATHER}/reviews", body)
        assert (own.status, own.json["code"]) == (409, "own_api")
        key = subscribe(running, token)["key"]
        assert running.ask("PUT", f"{WEATHER}/reviews", body, token=token).status == 403
        call(running, key)
        wait_for(lambda: used(running, token) == 1)
        for rating in (4, 2):
            assert running.ask("PUT", f"{WEATHER}/reviews", body | {"rating": rating}, token=token).status == 200
        found = running.ask("GET", f"{WEATHER}/reviews", token=None).json
        assert (found["summary"]["count"], found["summary"]["average"]) == (1, 2.0)
        (review,) = found["reviews"]
        answer_path = f"{WEATHER}/reviews/{review['reviewer']}/answer"
        assert running.ask("PUT", answer_path, {"text": "no"}, token=token).status == 404
        assert running.ask("PUT", answer_path, {"text": "thanks"}).json["answer"] == "thanks"
        listed = running.ask("GET", "/api/v1/marketplace/apis?q=weather", token=None).json["apis"][0]
        assert (listed["rating"], listed["reviews"]) == (2.0, 1)
        assert running.ask("DELETE", f"{WEATHER}/reviews", token=token).status == 204
        assert running.ask("DELETE", f"{WEATHER}/reviews", token=token).status == 404

    @pytest.mark.parametrize(
        "body", [{"rating": 0}, {"rating": 6}, {"rating": 4.5}, {"rating": True}, {"rating": 3, "text": "x" * 4001}, {}]
    )
    def test_bad_ones(self, running: Running, weather: Path, body: Any) -> None:
        answer = running.ask("PUT", f"{WEATHER}/reviews", body, token=an_account(running))
        assert answer.status == 422


class TestPlansOverTime:
    def test_other_terms_are_the_next_version_and_subscribers_keep_theirs(
        self, running: Running, weather: Path
    ) -> None:
        token = an_account(running)
        made = subscribe(running, token, plan="pro")["subscription"]
        assert made["plan"]["version"] == 1
        manifest = weather / "apimarket.toml"
        manifest.write_text(MANIFEST.replace("4.50", "9.00"))

        def offered() -> Any:
            return running.ask("GET", f"{WEATHER}/plans", token=None).json[1]

        wait_for(lambda: offered()["version"] == 2)
        assert offered()["price"] == "9 EUR/month"
        (kept,) = running.ask("GET", "/api/v1/usage", token=token).json
        assert (kept["plan"]["version"], kept["plan"]["price"]) == (1, "4.50 EUR/month")
        manifest.write_text(MANIFEST)
        wait_for(lambda: offered()["version"] == 3)


def test_a_key_is_written_nowhere(running: Running, weather: Path) -> None:
    token = an_account(running)
    body, header = {"plan": "free"}, {"Idempotency-Key": "secret-1"}
    made = running.ask("POST", f"{WEATHER}/subscribe", body, header, token).json
    call(running, made["key"])
    wait_for(lambda: used(running, token) == 1)
    secret = made["key"][14:50].encode()
    assert [path for path in running.home.rglob("*") if path.is_file() and secret in path.read_bytes()] == []
