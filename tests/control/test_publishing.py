"""Publishing and pulling over HTTP: a whole server on one side, a marketplace on the other."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_server.client import sessions
from tests.control.conftest import Running, serving, wait_for
from tests.sync.fake_marketplace import FakeMarketplace, a_marketplace


@pytest.fixture(scope="module")
def market() -> Iterator[FakeMarketplace]:
    with a_marketplace() as found:
        yield found


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory, market: FakeMarketplace) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("publishing") / "home") as started:
        kept: sessions.Kept = {"token": "ana-token", "handle": "ana", "expires_at": "2099-01-01T00:00:00Z"}
        sessions.keep(started.home, market.url, kept)
        yield started


def registered(running: Running, directory: Path, name: str, says: str | None = None) -> Any:
    directory.mkdir(parents=True)
    (directory / "main.py").write_text("def handler(request):\n    return {}\n")
    if says is not None:
        (directory / "answer.txt").write_text(says)
    answer = running.ask("POST", "/api/v1/apis", {"directory": str(directory), "name": name})
    assert answer.status == 201, answer.json
    wait_for(lambda: running.ask("GET", f"/api/v1/apis/{name}").json["serving"])
    return answer.json


def entry_of(running: Running, op: str) -> Any:
    return next(one for one in running.ask("GET", "/api/v1/outbox").json["entries"] if one["op"] == op)


class TestPublish:
    def test_what_serves_goes_to_the_marketplace(
        self, laptop: Running, market: FakeMarketplace, tmp_path: Path
    ) -> None:
        registered(laptop, tmp_path / "weather", "weather")
        dry = laptop.ask("POST", "/api/v1/apis/weather/publish", {"dry_run": True})
        assert dry.status == 202
        assert dry.json["entry"] is None
        assert {change["path"] for change in dry.json["plan"]["files"]} == {"apimarket.toml", "main.py"}
        assert "ana/weather" not in market.market.heads

        answer = laptop.ask("POST", "/api/v1/apis/weather/publish", {})
        assert answer.status == 202, answer.json
        op = answer.json["entry"]["op"]
        wait_for(lambda: entry_of(laptop, op)["state"] == "applied")
        assert market.market.heads["ana/weather"]["tree"] == answer.json["plan"]["tree"]
        seen = laptop.ask("GET", "/api/v1/outbox").json
        assert [(api["name"], api["version"], api["ahead"]) for api in seen["apis"]] == [
            ("ana/weather", "0.1.0", False)
        ]
        assert seen["remotes"][0]["reachable"] is True

        again = laptop.ask("POST", "/api/v1/apis/weather/publish", {})
        assert (again.status, again.json["code"]) == (409, "nothing_new")

    def test_the_contract_is_asked_of_what_is_published_and_counts_as_no_call(
        self, laptop: Running, market: FakeMarketplace, tmp_path: Path
    ) -> None:
        registered(laptop, tmp_path / "tides", "tides", '{"openapi": "3.1.0", "paths": {"/old": {"get": {}}}}')
        assert laptop.ask("POST", "/api/v1/apis/tides/deploy", {"version": "1.0.0"}).status == 202
        wait_for(lambda: laptop.ask("GET", "/api/v1/apis/tides").json["shares"] == {"1.0.0": 100})
        contract = '{"openapi":"3.1.0","paths":{"/new":{"get":{}}}}'
        (tmp_path / "tides" / "answer.txt").write_text(contract)
        wait_for(lambda: laptop.ask("GET", "/api/v1/apis/tides").json["serving"] == 2)

        op = laptop.ask("POST", "/api/v1/apis/tides/publish", {}).json["entry"]["op"]
        wait_for(lambda: entry_of(laptop, op)["state"] == "applied")
        (version,) = market.market.versions["ana/tides"]
        assert version["openapi"] == json.loads(contract)
        assert laptop.ask("GET", "/api/v1/apis/tides/stats").json["requests"] == 0

    def test_what_does_not_run_is_not_published(self, laptop: Running, tmp_path: Path) -> None:
        registered(laptop, tmp_path / "idle", "idle")
        laptop.ask("POST", "/api/v1/apis/idle/stop")
        wait_for(lambda: laptop.ask("GET", "/api/v1/apis/idle").json["state"] == "stopped")
        answer = laptop.ask("POST", "/api/v1/apis/idle/publish", {})
        assert (answer.status, answer.json["code"]) == (409, "nothing_served")

    def test_a_save_that_does_not_serve_is_told_of(self, laptop: Running, tmp_path: Path) -> None:
        registered(laptop, tmp_path / "broken", "broken")
        (tmp_path / "broken" / "syntax-error").write_text("'(' was never closed")
        wait_for(lambda: laptop.ask("GET", "/api/v1/apis/broken").json["error"])
        (warning,) = laptop.ask("POST", "/api/v1/apis/broken/publish", {"dry_run": True}).json["plan"]["warnings"]
        assert "never closed" in warning
        assert "g1 is what is published" in warning

        op = laptop.ask("POST", "/api/v1/apis/broken/publish", {}).json["entry"]["op"]
        wait_for(lambda: entry_of(laptop, op)["state"] == "applied")
        again = laptop.ask("POST", "/api/v1/apis/broken/publish", {}).json
        assert again["code"] == "nothing_new"
        assert "never closed" in again["hint"]

    def test_a_version_of_somebody_is_pulled_and_runs(
        self, laptop: Running, market: FakeMarketplace, tmp_path: Path
    ) -> None:
        registered(laptop, tmp_path / "source", "source")
        op = laptop.ask("POST", "/api/v1/apis/source/publish", {}).json["entry"]["op"]
        wait_for(lambda: entry_of(laptop, op)["state"] == "applied")
        with serving(tmp_path / "bob") as bob:
            kept: sessions.Kept = {"token": "bob-token", "handle": "bob", "expires_at": "2099-01-01T00:00:00Z"}
            sessions.keep(bob.home, market.url, kept)
            body = {"name": "ana/source", "directory": str(tmp_path / "copy"), "start": True}
            pulled = bob.ask("POST", "/api/v1/pull", body)
            assert pulled.status == 201, pulled.json
            assert (tmp_path / "copy" / "main.py").read_text() == (tmp_path / "source" / "main.py").read_text()
            wait_for(lambda: bob.ask("GET", "/api/v1/apis/source").json["serving"])

    def test_trouble_with_the_marketplace_is_said_as_such(
        self, laptop: Running, market: FakeMarketplace, tmp_path: Path
    ) -> None:
        registered(laptop, tmp_path / "never", "never")
        answer = laptop.ask("POST", "/api/v1/apis/never/pull", {})
        assert (answer.status, answer.json["code"]) == (404, "not_published")
        assert laptop.ask("GET", "/api/v1/apis/never/conflict").json["code"] == "no_conflict"
        unknown = laptop.ask("POST", "/api/v1/outbox/nothing/cancel")
        assert (unknown.status, unknown.json["code"]) == (404, "outbox_entry_not_found")
        away = {"remote": "http://127.0.0.1:9", "name": "ana/x"}
        kept: sessions.Kept = {"token": "x", "handle": "ana", "expires_at": "2099-01-01T00:00:00Z"}
        sessions.keep(laptop.home, away["remote"], kept)
        try:
            refused = laptop.ask("POST", "/api/v1/pull", away)
        finally:
            sessions.forget(laptop.home, away["remote"])
        assert (refused.status, refused.json["code"]) == (503, "marketplace_unreachable")

    def test_who_hangs_up_while_it_is_fetched_gives_it_up(self, laptop: Running, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(20)
            remote = f"http://127.0.0.1:{silent.getsockname()[1]}"
            kept: sessions.Kept = {"token": "x", "handle": "ana", "expires_at": "2099-01-01T00:00:00Z"}
            sessions.keep(laptop.home, remote, kept)
            try:
                asking = laptop.connect()
                body = json.dumps({"name": "ana/x", "remote": remote, "directory": str(tmp_path / "x")})
                headers = {"Authorization": f"Bearer {laptop.token}", "Content-Type": "application/json"}
                asking.request("POST", "/api/v1/pull", body, headers)
                asked, _ = silent.accept()
                with asked:
                    asked.settimeout(20)
                    assert asked.recv(10_000).startswith(b"GET /api/v1/sync")
                    asking.close()
                    assert asked.recv(10_000) == b""
            finally:
                sessions.forget(laptop.home, remote)
        assert not (tmp_path / "x").exists()
        assert laptop.ask("GET", "/health").status == 200

    def test_the_device_key_is_the_owners_alone_and_not_in_the_database(self, laptop: Running) -> None:
        key = laptop.home / "device.key"
        assert key.stat().st_mode & 0o777 == 0o600
        secret = bytes.fromhex(key.read_text())
        for name in ("registry.db", "registry.db-wal"):
            if (laptop.home / name).exists():
                content = (laptop.home / name).read_bytes()
                assert secret not in content
                assert secret.hex().encode() not in content
