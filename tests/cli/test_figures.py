"""`stats` and `history` against a server that speaks the contract."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from local_server.cli.figures import rate, sparkline
from local_server.cli.program import program
from local_server.wire.analytics import HistoryView, StatsView
from local_server.wire.apis import ExecutionView
from tests.client.fake_server import FakeServer

Run = Callable[..., Result]
NOW = datetime.now(UTC)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *args, **kwargs: runner.invoke(program, [*args], prog_name="apimarket", **kwargs)


def a_stats(**changes: Any) -> StatsView:
    points = [{"starts_at": NOW - timedelta(hours=23 - hour), "requests": hour, "errors": 0, "p95_ms": None}
              for hour in range(24)]  # fmt: skip
    values: dict[str, Any] = {
        "api": "hello",
        "id": "id-hello",
        "window": "24h",
        "since": NOW - timedelta(hours=24),
        "until": NOW,
        "requests": 276,
        "requests_per_s": 0.0032,
        "success_rate": 0.97,
        "error_rate": 0.02,
        "mean_ms": 5.0,
        "p50_ms": 4.2,
        "p95_ms": 61.0,
        "p99_ms": 1300.0,
        "bytes_in": 0,
        "bytes_out": 3 << 20,
        "statuses": {"2xx": 268, "5xx": 8},
        "outcomes": {"ok": 268, "server_error": 8},
        "points": points,
        "generations": [{"number": 4, "requests": 276, "errors": 8, "mean_ms": 5.0}],
        "versions": [{"version": "1.2.0", "requests": 12, "errors": 3, "mean_ms": 7.0}],
        "paths": [{"path": "/users/{id}", "requests": 200, "mean_ms": 3.0}],
        "errors": [
            {
                "outcome": "server_error", "status": 500, "method": "GET", "path": "/users/{id}", "requests": 8,
                "last_at": NOW - timedelta(days=400), "last_id": "r1",
            }
        ],
        "popularity": {"rank": 1, "of": 3, "share": 0.5},
        "usage": {"memory_bytes": 50 << 20, "cpu_percent": 3.0},
    }  # fmt: skip
    return StatsView.model_validate(values | changes)


def a_request(number: int, **changes: Any) -> ExecutionView:
    values: dict[str, Any] = {
        "id": f"r{number}",
        "api": "hello",
        "generation": 3,
        "method": "GET",
        "path": f"/{number}",
        "status": 200,
        "outcome": "ok",
        "started_at": NOW,
        "total_ms": 2.0,
        "upstream_ms": 1.0,
        "bytes_in": 0,
        "bytes_out": 10,
        "held": False,
    }
    return ExecutionView.model_validate(values | changes)


def query_of(server: FakeServer) -> dict[str, list[str]]:
    return parse_qs(urlsplit(server.got[-1].path).query)


class TestStats:
    def test_it_shows_every_side(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.stats = a_stats()

        done = run("stats", "hello")

        assert done.exit_code == 0
        for told in (
            "hello  last 24h",
            "requests 276  12/h  ·▁▁▂▂▂▃",
            "█  most 23 an hour",
            "ok       97.0%  errors 2.0%",
            "latency  p50 4 ms  p95 61 ms  p99 1.3 s  mean 5 ms",
            "statuses 2xx 268  5xx 8",
            "traffic  in 0 B  out 3.0 MiB",
            "rank     1 of 3  50.0% of all requests",
            "uses     50.0 MiB  3% CPU",
            "GET /users/{id}",
            "g4",
            "1.2.0    12        3       7 ms",
        ):
            assert told in done.stdout
        assert query_of(server) == {"window": ["24h"]}

    def test_silence_is_said(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.stats = a_stats(requests=0, window="7d")

        assert run("stats", "hello", "--window", "7d").stdout == "No request to hello in the last 7d.\n"
        assert query_of(server) == {"window": ["7d"]}

    def test_json_is_the_wire_model_unchanged(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.stats = a_stats(usage=None)

        assert json.loads(run("stats", "hello", "--json").stdout) == server.stats.model_dump(mode="json")

    def test_hostile_paths_cannot_steer_the_terminal(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.stats = a_stats(paths=[{"path": "/\x1b[2Jx\n", "requests": 1, "mean_ms": 1.0}])

        assert "\x1b" not in run("stats", "hello").stdout

    def test_an_unknown_window_is_wrong_usage(self, run: Run, server: FakeServer) -> None:
        assert run("stats", "hello", "--window", "1y").exit_code == 2


class TestSparkline:
    @pytest.mark.parametrize(
        ("counts", "bars"),
        [
            ([], ""),
            ([0, 0], "··"),
            ([1], "█"),
            ([0, 1, 1000], "·▁█"),
            ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
            ([1, 1, 2, 2, 4, 4, 8], "▂▄██"),
        ],
    )
    def test_every_count_that_is_not_0_shows(self, counts: list[int], bars: str) -> None:
        assert sparkline(counts, cells=8 if len(counts) == 8 else 6) == bars


class TestRate:
    @pytest.mark.parametrize(
        ("per_s", "told"),
        [(1234.5, "1234/s"), (1.26, "1.3/s"), (0.5, "30/min"), (0.02, "1.2/min"), (0.001, "3.6/h"), (1e-5, "0.0/h")],
    )
    def test_it_is_in_a_readable_unit(self, per_s: float, told: str) -> None:
        assert rate(per_s) == told


class TestHistory:
    def test_the_newest_come_last(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.requests = [
            a_request(2, status=503, outcome="unavailable", generation=0),
            a_request(1, started_at=NOW - timedelta(days=400), bytes_out=2048, total_ms=1500.0),
        ]

        head, older, newer = run("history", "hello").stdout.splitlines()

        assert head.split() == ["ID", "TIME", "GEN", "STATUS", "TOOK", "SIZE", "REQUEST"]
        day = server.requests[1].started_at.astimezone().strftime("%m-%d %H:%M:%S")
        assert older.split() == ["r1", *day.split(), "g3", "200", "1.5", "s", "2.0", "KiB", "GET", "/1"]
        assert newer.endswith("GET /2  unavailable")
        assert "–" in newer

    def test_what_a_version_answered_names_it(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.requests = [a_request(1, version="1.2.0", generation=1)]

        _, row = run("history", "hello").stdout.splitlines()

        assert row.split()[2] == "1.2.0"

    def test_pages_are_followed_up_to_the_limit(self, run: Run, server: FakeServer) -> None:
        server.add("hello")
        server.requests = [a_request(number) for number in range(9, 0, -1)]

        found = HistoryView.model_validate_json(run("history", "hello", "-n", "5", "--json").stdout)

        assert found == HistoryView(requests=server.requests[:5], next="5")
        assert query_of(server) == {"limit": ["1"], "before": ["4"]}
        everything = json.loads(run("history", "hello", "--json").stdout)
        assert (len(everything["requests"]), everything["next"]) == (9, None)

    def test_filters_are_the_servers(self, run: Run, server: FakeServer) -> None:
        server.add("hello")

        done = run(
            "history", "hello", "--errors", "--since", "2026-01-31T12:00:00+00:00", "--status", "5xx",
            "--method", "POST", "--path", "/a b", "--generation", "0", "--key", "k1", "--version", "1.0.0",
        )  # fmt: skip

        assert done.stdout == "No such request to hello.\n"
        assert query_of(server) == {
            "limit": ["50"],
            "errors": ["true"],
            "since": ["2026-01-31T12:00:00+00:00"],
            "status": ["5xx"],
            "method": ["POST"],
            "path": ["/a b"],
            "generation": ["0"],
            "key": ["k1"],
            "version": ["1.0.0"],
        }

    def test_an_unknown_api_is_the_servers_refusal(self, run: Run, server: FakeServer) -> None:
        done = run("history", "nope")

        assert (done.exit_code, done.stdout) == (1, "")
        assert "No API is registered under 'nope'" in done.stderr
