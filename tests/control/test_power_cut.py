"""What somebody was told outlives a power cut: the commit that keeps it is flushed to the disk before the answer."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local_server.accounts import passwords, service
from local_server.storage.sqlite import SqliteStorage
from tests.control.conftest import Running, serving, wait_for
from tests.control.test_market import MANIFEST, PASSWORD, WEATHER, an_account, call, subscribe

FULL = 2
"""As `pragma synchronous` tells it."""
_CHANGED = re.compile(r"\s*(?:insert (?:or \w+ )?into|update|delete from)\s+(\w+)", re.IGNORECASE)


class Disk:
    """Which tables were changed by a commit that was flushed, and which by one that was not."""

    def __init__(self) -> None:
        self.flushed: set[str] = set()
        self.unflushed: set[str] = set()

    def forget(self) -> None:
        self.flushed, self.unflushed = set(), set()

    def watched(self, transact: Callable[..., Any]) -> Callable[..., Any]:
        def watch(storage: SqliteStorage, act: Any, db: Any) -> Any:
            said: list[str] = []
            (level,) = db.execute("pragma synchronous").fetchone()
            db.conn.set_trace_callback(said.append)
            try:
                return transact(storage, act, db)
            finally:
                db.conn.set_trace_callback(None)
                changed = {found[1] for one in said if (found := _CHANGED.match(one))}
                if level == FULL:
                    self.flushed |= changed
                else:
                    self.unflushed |= changed

        return watch


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteStorage, "_transact", disk.watched(SqliteStorage._transact))
        yield disk


@pytest.fixture(scope="module")
def running(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("projects") / "weather"
    directory.mkdir()
    (directory / "main.py").write_text("def handler(request):\n    return {}\n")
    (directory / "answer.txt").write_text("sunny")
    (directory / "apimarket.toml").write_text(MANIFEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        patch.setattr(service, "FREE_SIGNUPS", 1000)
        with serving(tmp_path_factory.mktemp("power") / "home") as started:
            assert started.ask("POST", "/api/v1/apis", {"directory": str(directory)}).status == 201
            wait_for(lambda: started.ask("GET", WEATHER, token=None).status == 200)
            yield started


def assert_flushed(disk: Disk, *tables: str) -> None:
    assert disk.flushed >= set(tables)
    assert not disk.unflushed & set(tables)
    disk.forget()


def test_accounts(running: Running, disk: Disk) -> None:
    disk.forget()
    token = an_account(running)
    assert_flushed(disk, "users", "audit")
    assert running.ask("POST", "/api/v1/auth/logout", token=token).status == 204
    assert_flushed(disk, "users", "audit")


def test_keys(running: Running, disk: Disk) -> None:
    disk.forget()
    made = running.ask("POST", "/api/v1/apis/weather/keys", {}, headers={"Idempotency-Key": "power"}).json
    assert_flushed(disk, "api_keys", "idempotency")
    path = f"/api/v1/keys/{made['info']['id']}/rotate"
    other = running.ask("POST", path, {}, headers={"Idempotency-Key": "cut"}).json
    assert_flushed(disk, "api_keys", "idempotency")
    assert running.ask("DELETE", f"/api/v1/keys/{other['info']['id']}").status == 204
    assert_flushed(disk, "api_keys")


def test_tokens(running: Running, disk: Disk) -> None:
    disk.forget()
    ends_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"name": "ci", "scope": "publish:ana/weather", "expires_at": ends_at}
    made = running.ask("POST", "/api/v1/tokens", body)
    assert made.status == 201, made.body
    assert_flushed(disk, "access_tokens")
    assert running.ask("DELETE", f"/api/v1/tokens/{made.json['info']['id']}").status == 204
    assert_flushed(disk, "access_tokens")


def test_subscriptions_and_reviews(running: Running, disk: Disk) -> None:
    token = an_account(running)
    disk.forget()
    made = subscribe(running, token)
    assert_flushed(disk, "subscriptions", "api_keys")
    assert call(running, made["key"]).status == 200
    wait_for(lambda: running.ask("GET", "/api/v1/usage", token=token).json[0]["usage"]["used"])
    disk.forget()
    review = running.ask("PUT", f"{WEATHER}/reviews", {"rating": 5, "text": "Right"}, token=token)
    assert review.status in (200, 201), review.body
    assert_flushed(disk, "reviews")
    one = made["subscription"]["id"]
    assert running.ask("POST", f"/api/v1/subscriptions/{one}/cancel", {"when": "now"}, token=token).status == 200
    assert_flushed(disk, "subscriptions", "api_keys")


def test_secrets(running: Running, disk: Disk) -> None:
    disk.forget()
    assert running.ask("PUT", "/api/v1/apis/weather/secrets/API_TOKEN", {"value": PASSWORD}).status == 200
    assert_flushed(disk, "secrets")
    assert running.ask("DELETE", "/api/v1/apis/weather/secrets/API_TOKEN").status == 200
    assert_flushed(disk, "secrets")


def test_what_passes_through_is_not(running: Running, disk: Disk) -> None:
    """The request log would make every call wait for the disk in the end."""
    disk.forget()
    running.ask("GET", "/ana/weather/", token=None)
    wait_for(lambda: "executions" in disk.unflushed)
    assert "executions" not in disk.flushed
