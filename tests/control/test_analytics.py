"""Statistics, history, logging from elsewhere, and metrics, over real HTTP."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.requests import Request

from local_server.control.metrics import require_token_from_afar
from local_server.domain.account_errors import TokenRequired
from local_server.wire.analytics import LOG_LIMIT, HistoryView, StatsView
from tests.analytics.test_metrics import parsed
from tests.control.conftest import Running, wait_for

NAME = "counted"


@pytest.fixture
def api(running: Running, project: Path) -> Iterator[dict[str, Any]]:
    made = running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": NAME, "start": False})
    assert made.status == 201
    yield made.json
    assert running.ask("DELETE", f"/api/v1/apis/{NAME}").status == 204


def an_entry(**more: Any) -> dict[str, Any]:
    return {"api": NAME, "method": "GET", "path": "/a", "status": 200, "total_ms": 1.5, **more}


def stats(running: Running, query: str = "") -> StatsView:
    answer = running.ask("GET", f"/api/v1/apis/{NAME}/stats{query}")
    assert answer.status == 200, answer.body
    return StatsView.model_validate_json(answer.body)


def history(running: Running, query: str = "") -> HistoryView:
    answer = running.ask("GET", f"/api/v1/apis/{NAME}/history{query}")
    assert answer.status == 200, answer.body
    return HistoryView.model_validate_json(answer.body)


class TestLog:
    def test_one_execution_is_stored_and_counted_when_it_answers(self, running: Running, api: dict[str, Any]) -> None:
        entry = an_entry(path="/a?token=4711", status=404, bytes_in=3, bytes_out=7, upstream_ms=1, generation=2)
        answer = running.ask("POST", "/analytics/log", entry)
        assert (answer.status, answer.json) == (201, {"accepted": 1, "known": 0})
        (row,) = history(running).requests
        assert (row.api, row.path, row.status, row.outcome, row.total_ms) == (NAME, "/a", 404, "client_error", 1.5)
        assert (row.bytes_in, row.bytes_out, row.upstream_ms, row.generation) == (3, 7, 1, 2)
        found = stats(running)
        assert (found.api, found.id, found.requests, found.bytes_out) == (NAME, api["id"], 1, 7)

    def test_what_key_and_version_it_was_for_is_kept_and_asked_for(self, running: Running, api: dict[str, Any]) -> None:
        entries = [an_entry(key_id="k1", version="1.0.0", cached=True), an_entry(key_id="k2"), an_entry()]
        assert running.ask("POST", "/analytics/log", {"executions": entries}).status == 201
        (row,) = history(running, "?key=k1").requests
        assert (row.key_id, row.version, row.cached) == ("k1", "1.0.0", True)
        assert [row.key_id for row in history(running, "?version=1.0.0").requests] == ["k1"]
        assert history(running, "?key=k2&version=1.0.0").requests == []

    def test_a_batch_sent_twice_counts_once(self, running: Running, api: dict[str, Any]) -> None:
        batch = {"executions": [an_entry(id=str(uuid4())) for _ in range(LOG_LIMIT)]}
        assert running.ask("POST", "/analytics/log", batch).json == {"accepted": LOG_LIMIT, "known": 0}
        assert running.ask("POST", "/analytics/log", batch).json == {"accepted": 0, "known": LOG_LIMIT}
        assert stats(running).requests == LOG_LIMIT

    def test_an_api_is_named_in_any_way(self, running: Running, api: dict[str, Any]) -> None:
        batch = {"executions": [an_entry(api=name) for name in (NAME, f"ana/{NAME}", api["id"])]}
        assert running.ask("POST", "/analytics/log", batch).json["accepted"] == 3

    def test_an_unknown_api_refuses_the_whole_batch(self, running: Running, api: dict[str, Any]) -> None:
        answer = running.ask("POST", "/analytics/log", {"executions": [an_entry(), an_entry(api="nobody")]})
        assert (answer.status, answer.json["code"]) == (404, "api_not_found")
        assert history(running).requests == []

    @pytest.mark.parametrize("days", [-31, 1])
    def test_a_time_out_of_bounds_refuses_the_whole_batch(
        self, running: Running, api: dict[str, Any], days: int
    ) -> None:
        at = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        answer = running.ask("POST", "/analytics/log", {"executions": [an_entry(), an_entry(started_at=at)]})
        assert (answer.status, answer.json["code"], answer.json["place"]) == (422, "execution_refused", 1)
        assert at in answer.json["detail"]
        assert history(running).requests == []

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("status", 99), ("status", 600), ("status", "many"), ("total_ms", -1), ("total_ms", 1e12),
            ("path", "no-slash"), ("path", "/" * 2049), ("path", "/\ud800"), ("method", "get"), ("method", ""),
            ("outcome", "splendid"), ("bytes_out", -1), ("bytes_out", 2**60), ("generation", -1), ("id", "17"),
            ("started_at", "2026-01-01T00:00:00"), ("colour", "red"), ("api", ""),
        ],
    )  # fmt: skip
    def test_a_wrong_value_is_told_with_its_place(
        self, running: Running, api: dict[str, Any], field: str, value: object
    ) -> None:
        answer = running.ask("POST", "/analytics/log", {"executions": [an_entry(), an_entry(**{field: value})]})
        assert (answer.status, answer.json["code"]) == (422, "invalid_request")
        assert [mistake["where"] for mistake in answer.json["mistakes"]] == [f"body.executions.1.{field}"]
        assert history(running).requests == []

    @pytest.mark.parametrize("body", [[], {}, {"executions": []}, {"executions": [{}] * (LOG_LIMIT + 1)}, "x", 1])
    def test_what_is_no_log_is_refused(self, running: Running, body: object) -> None:
        assert running.ask("POST", "/analytics/log", body).status == 422

    def test_numbers_that_are_none_are_refused(self, running: Running, api: dict[str, Any]) -> None:
        body = json.dumps(an_entry(total_ms=float("nan"))).encode()
        assert running.ask("POST", "/analytics/log", body).status == 422


class TestStats:
    def test_they_tell_of_every_side(self, running: Running, api: dict[str, Any]) -> None:
        entries = [an_entry(total_ms=10, generation=1) for _ in range(95)]
        entries += [an_entry(path=f"/users/{number}", status=500, total_ms=1000, generation=2) for number in range(5)]
        running.ask("POST", "/analytics/log", {"executions": entries})
        found = stats(running, "?window=1h")
        assert (found.window, len(found.points), found.requests) == ("1h", 60, 100)
        assert (found.success_rate, found.error_rate) == (0.95, 0.05)
        assert found.p50_ms == pytest.approx(10, rel=1 / 32)
        assert found.p99_ms == pytest.approx(1000, rel=1 / 32)
        assert found.statuses == {"2xx": 95, "5xx": 5}
        called = [point for point in found.points if point.requests]
        assert sum(point.statuses["5xx"] for point in called) == sum(point.errors for point in called) == 5
        assert all(0 < (point.p50_ms or 0) <= (point.p95_ms or 0) <= (point.p99_ms or 0) for point in called)
        assert found.outcomes == {"ok": 95, "server_error": 5}
        assert [(one.number, one.requests, one.errors) for one in found.generations] == [(2, 5, 5), (1, 95, 0)]
        assert [(one.version, one.requests) for one in found.versions] == []
        assert [(one.path, one.requests) for one in found.paths] == [("/a", 95), ("/users/{id}", 5)]
        (group,) = found.errors
        assert (group.outcome, group.status, group.path, group.requests) == ("server_error", 500, "/users/{id}", 5)
        assert found.popularity.rank == 1
        assert found.usage is None

    def test_both_ways_answer_alike(self, running: Running, api: dict[str, Any]) -> None:
        running.ask("POST", "/analytics/log", an_entry())
        for reference in (NAME, f"ana/{NAME}", api["id"]):
            for path in (f"/api/v1/apis/{reference}/stats", f"/analytics/stats/{reference}"):
                assert running.ask("GET", path).json["requests"] == 1
            for path in (f"/api/v1/apis/{reference}/history", f"/analytics/history/{reference}"):
                assert len(running.ask("GET", path).json["requests"]) == 1

    def test_an_unknown_window_says_which_there_are(self, running: Running, api: dict[str, Any]) -> None:
        answer = running.ask("GET", f"/api/v1/apis/{NAME}/stats?window=1y")
        assert answer.status == 422
        assert "'1h', '24h', '7d' or '30d'" in answer.json["detail"]


class TestHistory:
    def test_pages_follow_each_other(self, running: Running, api: dict[str, Any]) -> None:
        batch = {"executions": [an_entry(path=f"/{number}", total_ms=number) for number in range(10)]}
        running.ask("POST", "/analytics/log", batch)
        first = history(running, "?limit=6")
        rest = history(running, f"?limit=6&before={first.next}")
        assert [row.path for row in (*first.requests, *rest.requests)] == [f"/{number}" for number in range(10)]
        assert rest.next is None

    @pytest.mark.parametrize(
        ("query", "paths"),
        [
            ("errors=true", ["/c", "/b"]),
            ("status=5xx", ["/c"]),
            ("outcome=client_error", ["/b"]),
            ("method=post", ["/b"]),
            ("path=/c", ["/c"]),
            ("generation=7", ["/a"]),
            ("since=2000-01-01T00:00:00Z&until=2001-01-01T00:00:00%2B01:00", []),
        ],
    )
    def test_filters(self, running: Running, api: dict[str, Any], query: str, paths: list[str]) -> None:
        entries = [
            an_entry(path="/a", generation=7, total_ms=3),
            an_entry(path="/b", status=404, method="POST", total_ms=2),
            an_entry(path="/c", status=503, total_ms=1),
        ]
        running.ask("POST", "/analytics/log", {"executions": entries})
        assert [row.path for row in history(running, f"?{query}").requests] == paths

    @pytest.mark.parametrize(
        "query",
        [
            "before=17",
            "limit=0",
            "limit=1001",
            "status=500",
            "outcome=fine",
            "generation=-1",
            "since=2026-01-01",
            "colour=red",
        ],
    )
    def test_what_it_cannot_filter_by_is_told(self, running: Running, api: dict[str, Any], query: str) -> None:
        answer = running.ask("GET", f"/api/v1/apis/{NAME}/history?{query}")
        assert answer.status == 422
        assert answer.json["mistakes"][0]["where"] == f"query.{query.partition('=')[0]}"


class TestMetrics:
    def test_they_count_what_goes_through_the_gateway(self, running: Running, api: dict[str, Any]) -> None:
        assert running.ask("POST", f"/api/v1/apis/{NAME}/deploy").status == 202
        assert running.ask("GET", f"/ana/{NAME}/", token=None).status == 200
        series = f'apimarket_requests_total{{api="ana/{NAME}",status="2xx"}}'
        found = wait_for(lambda: series in (text := scrape(running)) and parsed(text))
        assert found[series] == 1
        assert found[f'apimarket_request_duration_seconds_count{{api="ana/{NAME}"}}'] == 1
        assert found[f'apimarket_requests_in_flight{{api="ana/{NAME}"}}'] == 0
        assert found[f'apimarket_circuit_open{{api="ana/{NAME}"}}'] == 0
        assert found[f'apimarket_replicas_serving{{api="ana/{NAME}"}}'] == 1
        assert found[f'apimarket_replicas_wanted{{api="ana/{NAME}"}}'] == 1
        assert found['apimarket_generations_total{outcome="serving"}'] >= 1
        assert found["apimarket_engine_up"] == 1
        assert found["apimarket_executions_dropped_total"] == 0
        assert found["process_resident_memory_bytes"] > 1e6

    def test_a_removed_api_leaves_no_series(self, running: Running, project: Path) -> None:
        running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": "leaving"})
        assert running.ask("GET", "/ana/leaving/", token=None).status == 200
        wait_for(lambda: "ana/leaving" in scrape(running))
        running.ask("DELETE", "/api/v1/apis/leaving")
        assert "leaving" not in scrape(running)

    def test_a_proxy_of_this_machine_needs_the_token(self, running: Running) -> None:
        passed_on = {"X-Forwarded-For": "203.0.113.9"}
        assert running.ask("GET", "/metrics", headers=passed_on, token=None).status == 401
        assert running.ask("GET", "/metrics", headers=passed_on).status == 200

    @pytest.mark.parametrize("client", [("192.0.2.1", 1), ("2001:db8::1", 1), ("::ffff:192.0.2.1", 1), ("", 1), None])
    async def test_from_afar_it_needs_the_token(self, client: tuple[str, int] | None) -> None:
        with pytest.raises(TokenRequired):
            await require_token_from_afar(a_request(client))

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
    async def test_from_this_machine_it_needs_none(self, host: str) -> None:
        await require_token_from_afar(a_request((host, 1)))

    def test_another_host_name_reaches_nothing(self, running: Running) -> None:
        assert running.ask("GET", "/metrics", headers={"Host": "evil.example"}, token=None).status == 421


def scrape(running: Running) -> str:
    answer = running.ask("GET", "/metrics", token=None)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return answer.body.decode()


def a_request(client: tuple[str, int] | None) -> Request:
    class App:
        class state:  # noqa: N801 - as Starlette spells it
            token = os.urandom(8).hex()
            runtime = None  # nobody gets as far as that

    return Request({"type": "http", "headers": [], "client": client, "app": App})
