"""Accounts and keys over real HTTP, and every route as an anonymous, a stranger, a consumer and the owner."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from local_server.accounts import passwords
from local_server.control.access import FOR_ACCOUNTS, NEVER_FOR_ACCOUNTS
from local_server.domain.ids import ApiId
from local_server.storage.base import Tx
from tests.control.conftest import Answer, Running, operations, serving
from tests.control.test_access import ENTRANCES, OPEN, PUBLIC

PROBLEM = "application/problem+json"
PASSWORD = "correct horse battery"
CLOSED = [each for each in operations() if each[:2] not in OPEN | PUBLIC | ENTRANCES]


def add_gift(app: FastAPI) -> None:
    """A route that no server has: makes an API another account's, as only a marketplace will."""

    async def give(request: Request, api: str, handle: str) -> None:
        def act(tx: Tx) -> None:
            found = tx.registry.get(ApiId(api))
            user = tx.accounts.by_handle(handle)
            assert found is not None
            assert user is not None
            tx.registry.save(replace(found, user_id=user.id, owner=handle), found.revision)

        await request.app.state.runtime.storage.write(act)

    app.add_api_route("/api/v1/give", give, methods=["POST"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        with serving(tmp_path_factory.mktemp("accounts") / "home", add_gift) as started:
            yield started


@pytest.fixture(scope="module")
def sessions(running: Running) -> dict[str, str]:
    """A token for each of those who are not the machine's owner."""
    made = {}
    for handle, role in (("bob", "developer"), ("carol", "consumer")):
        body = {"handle": handle, "email": f"{handle}@example.org", "password": PASSWORD, "role": role}
        answer = running.ask("POST", "/api/v1/auth/signup", body, token=None)
        assert answer.status == 201
        made[handle] = answer.json["token"]
    return made


def register(running: Running, directory: Path, name: str) -> str:
    root = directory / name
    root.mkdir()
    (root / "main.py").write_text("def handler(request):\n    return {}\n")
    (root / "answer.txt").write_text("hello")
    return str(running.ask("POST", "/api/v1/apis", {"directory": str(root), "name": name}).json["id"])


@pytest.fixture
def hello(running: Running, tmp_path: Path) -> Iterator[str]:
    """The id of an API of the machine's owner."""
    api_id = register(running, tmp_path, "hello")
    yield api_id
    running.ask("DELETE", f"/api/v1/apis/{api_id}")


def make_key(running: Running, api: str = "hello", **body: Any) -> Any:
    answer = running.ask("POST", f"/api/v1/apis/{api}/keys", body)
    assert answer.status == 201, answer.body
    return answer.json


def call(running: Running, key: str = "", path: str = "/ana/hello/") -> Answer:
    return running.ask("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {}, token=None)


class TestSessions:
    def test_the_life_of_one(self, running: Running, sessions: dict[str, str]) -> None:
        login = running.ask("POST", "/api/v1/auth/login", {"login": "bob", "password": PASSWORD}, token=None)
        assert login.status == 200
        assert login.json["token_type"] == "bearer"
        me = running.ask("GET", "/api/v1/auth/me", token=login.json["token"]).json
        assert (me["handle"], me["email"], me["role"], me["machine_owner"]) == (
            "bob", "bob@example.org", "developer", False
        )  # fmt: skip
        assert running.ask("POST", "/api/v1/auth/logout", token=login.json["token"]).status == 204
        over = running.ask("GET", "/api/v1/auth/me", token=login.json["token"])
        assert (over.status, over.json["code"], over.headers["www-authenticate"]) == (401, "session_invalid", "Bearer")
        again = running.ask(
            "POST", "/api/v1/auth/login", {"email": "BOB@example.org", "password": PASSWORD}, token=None
        )
        sessions["bob"] = again.json["token"]

    def test_another_password_ends_the_others(self, running: Running) -> None:
        body = {"handle": "petra", "password": PASSWORD}
        old = running.ask("POST", "/api/v1/auth/signup", body, token=None).json["token"]
        wrong = running.ask("POST", "/api/v1/auth/password", {"current": "wrong guess", "new": "x" * 9}, token=old)
        assert (wrong.status, wrong.json["code"]) == (403, "wrong_password")
        done = running.ask("POST", "/api/v1/auth/password", {"current": PASSWORD, "new": "another one"}, token=old)
        assert (done.status, done.json["account"]["handle"]) == (200, "petra")
        assert running.ask("GET", "/api/v1/auth/me", token=done.json["token"]).status == 200
        assert running.ask("GET", "/api/v1/auth/me", token=old).json["code"] == "session_invalid"

    def test_the_local_token_is_the_owners(self, running: Running) -> None:
        me = running.ask("GET", "/api/v1/auth/me").json
        assert (me["handle"], me["machine_owner"], me["email"]) == ("ana", True, None)

    def test_a_handle_may_come_from_the_address(self, running: Running) -> None:
        body = {"email": "Dora.Example@example.org", "password": PASSWORD}
        made = running.ask("POST", "/api/v1/auth/signup", body, token=None)
        assert made.json["account"]["handle"] == "dora-example"

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"handle": "bob"}, 409, "name_taken"),
            ({"email": "BOB@example.org"}, 409, "email_taken"),
            ({"handle": "ana"}, 409, "name_taken"),
            ({"handle": "api"}, 422, "invalid_name"),
            ({"email": "nonsense"}, 422, "invalid_email"),
            ({"email": None, "handle": None}, 422, "invalid_email"),
            ({"password": "x" * 73}, 422, "invalid_password"),
            ({"password": "x" * 2000}, 422, "invalid_request"),
            ({"password": "short"}, 422, "invalid_password"),
            ({"role": "admin"}, 422, "invalid_request"),
            ({"is_admin": True}, 422, "invalid_request"),
            ({"token_version": 7}, 422, "invalid_request"),
        ],
        ids=str,
    )
    def test_bad_input(
        self, running: Running, sessions: dict[str, str], change: dict[str, Any], status: int, code: str
    ) -> None:
        body = {"handle": "erin", "email": "erin@example.org", "password": PASSWORD} | change
        answer = running.ask("POST", "/api/v1/auth/signup", body, token=None)
        assert (answer.status, answer.headers["content-type"], answer.json["code"]) == (status, PROBLEM, code)
        assert not isinstance(change.get("password"), str) or change["password"] not in answer.json["detail"]

    def test_wrong_passwords_are_told_and_slowed_down(self, running: Running) -> None:
        statuses = []
        for _ in range(8):
            body = {"login": "nobody", "password": "guess again"}
            answer = running.ask("POST", "/api/v1/auth/login", body, token=None)
            statuses.append(answer.status)
        assert statuses[0] == 401
        assert answer.status == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 15
        time.sleep(1.05)


class TestWhoMayWhat:
    def test_there_is_something_to_try(self) -> None:
        assert len(CLOSED) > 25
        assert {operation["operationId"] for _, _, operation in CLOSED} >= FOR_ACCOUNTS

    @pytest.mark.parametrize(
        ("method", "path", "operation"), CLOSED, ids=lambda part: "" if isinstance(part, dict) else part
    )
    def test_strangers_and_consumers_reach_nothing_of_the_owners(
        self, running: Running, sessions: dict[str, str], hello: str, method: str, path: str, operation: dict[str, Any]
    ) -> None:
        """404 for an API that is not theirs, 403 for the machine, and 2xx only for what is everybody's."""
        key = make_key(running)["info"]["id"]
        name = operation["operationId"]
        for reference in (hello, "ana/hello") if "{id}" in path else ("",):
            where = path.replace("{id}", reference).replace("{key_id}", key)
            for who in ("bob", "carol"):
                answer = running.ask(method, where, {"id": hello} if "deploy" in path else None, token=sessions[who])
                if "{key_id}" in path:
                    body = {} if method == "POST" else None
                    answer = running.ask(method, where, body, token=sessions[who])
                    assert (answer.status, answer.json["code"]) == (404, "key_not_found")
                elif name == "executor_deploy" or ("{id}" in path and name not in NEVER_FOR_ACCOUNTS):
                    assert (answer.status, answer.json["code"]) == (404, "api_not_found")
                    assert "hello" not in answer.json["hint"]
                elif any(part in path for part in ("{owner}", "{subscription}")):
                    assert answer.status in (404, 422, 428)
                elif name in FOR_ACCOUNTS:
                    # Nothing was said that could be done, or what was named is nobody's.
                    assert answer.status in (200, 204, 404, 422)
                    assert hello.encode() not in answer.body
                else:
                    assert (answer.status, answer.json["code"]) == (403, "machine_owner_only")
                if name == "logout":
                    body = {"login": who, "password": PASSWORD}
                    sessions[who] = running.ask("POST", "/api/v1/auth/login", body, token=None).json["token"]
        assert running.ask("GET", f"/api/v1/apis/{hello}").json["desired_state"] == "running"
        assert call(running, make_key(running)["key"]).status == 200

    def test_an_account_has_its_own_and_only_its_own(
        self, running: Running, sessions: dict[str, str], hello: str, tmp_path: Path
    ) -> None:
        own = register(running, tmp_path, "theirs")
        assert running.ask("POST", f"/api/v1/give?api={own}&handle=bob", token=None).status == 200
        bob = sessions["bob"]
        listed = running.ask("GET", "/api/v1/apis", token=bob).json
        assert [(api["owner"], api["name"]) for api in listed] == [("bob", "theirs")]
        assert [api["name"] for api in running.ask("GET", "/api/v1/apis?q=the", token=bob).json] == ["theirs"]
        for reference in (own, "theirs", "bob/theirs"):
            assert running.ask("GET", f"/api/v1/apis/{reference}", token=bob).json["id"] == own
        made = running.ask("POST", "/api/v1/apis/theirs/keys", {}, token=bob)
        assert (made.status, made.json["info"]["api"]) == (201, "bob/theirs")
        rotated = running.ask("POST", f"/api/v1/keys/{made.json['info']['id']}/rotate", {}, token=bob)
        assert rotated.status == 201
        assert running.ask("DELETE", f"/api/v1/keys/{rotated.json['info']['id']}", token=bob).status == 204
        assert running.ask("GET", "/api/v1/apis/theirs", token=sessions["carol"]).status == 404
        assert running.ask("POST", "/api/v1/apis/theirs/upload", b"", token=bob).status == 403
        assert running.ask("DELETE", f"/api/v1/apis/{own}").status == 204

    def test_a_name_means_the_callers_api_all_the_way(
        self, running: Running, sessions: dict[str, str], tmp_path: Path
    ) -> None:
        """Both have an API called twin: what was checked is what is acted on."""
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        bobs = register(running, tmp_path / "a", "twin")
        running.ask("POST", f"/api/v1/give?api={bobs}&handle=bob", token=None)
        anas = register(running, tmp_path / "b", "twin")
        assert running.ask("GET", "/api/v1/apis/twin").json["id"] == anas
        assert running.ask("GET", "/api/v1/apis/twin", token=sessions["bob"]).json["id"] == bobs
        make_key(running, "twin")
        assert running.ask("GET", "/api/v1/apis/twin/keys", token=sessions["bob"]).json == []
        for path in ("/api/v1/apis/twin/deploy", "/api/v1/apis/twin/stop"):
            assert running.ask("POST", path, token=sessions["bob"]).json["id"] == bobs
        deployed = running.ask("POST", "/executor/deploy", {"id": "twin"}, token=sessions["bob"])
        assert deployed.json["id"] == bobs
        assert running.ask("DELETE", "/api/v1/apis/twin", token=sessions["bob"]).status == 204
        assert running.ask("GET", f"/api/v1/apis/{anas}").status == 200
        running.ask("DELETE", f"/api/v1/apis/{anas}")

    def test_the_owners_handle_by_session_is_not_the_machine(self, running: Running, hello: str) -> None:
        body = {"handle": "ana", "email": "ana@example.org", "password": PASSWORD}
        token = running.ask("POST", "/api/v1/auth/signup", body).json["token"]
        me = running.ask("GET", "/api/v1/auth/me", token=token).json
        assert (me["handle"], me["machine_owner"], me["email"]) == ("ana", False, "ana@example.org")
        assert running.ask("GET", f"/api/v1/apis/{hello}", token=token).status == 200
        assert running.ask("POST", "/api/v1/apis/hello/restart", token=token).status == 202
        for path in ("/api/v1/apis", "/api/v1/apis/scaffold", "/api/v1/server/stop", "/api/v1/apis/hello/upload"):
            body = {"directory": "/"} if path == "/api/v1/apis" else {"name": "made"}
            assert running.ask("POST", path, body, token=token).status == 403


class TestKeys:
    def test_one_that_is_rotated_twice_by_the_same_request_has_one_successor(
        self, running: Running, hello: str
    ) -> None:
        made = make_key(running)
        path, once = f"/api/v1/keys/{made['info']['id']}/rotate", {"Idempotency-Key": "rotate-1"}
        lost, seen = (running.ask("POST", path, {"grace_s": 60}, headers=once).json for _ in range(2))
        assert [call(running, key).status for key in (made["key"], lost["key"], seen["key"])] == [200, 401, 200]
        other = running.ask("POST", path, {"grace_s": 61}, headers=once)
        assert (other.status, other.json["code"]) == (409, "idempotency_key_reused")
        for one in (made, seen):
            running.ask("DELETE", f"/api/v1/keys/{one['info']['id']}")

    def test_the_life_of_one(self, running: Running, hello: str) -> None:
        made = make_key(running, name="phone", rate_limit="3/day")
        key, info = made["key"], made["info"]
        assert (info["name"], info["state"], info["rate_limit"]) == ("phone", "active", "3/day")
        assert (info["api"], info["scopes"]) == ("ana/hello", ["read", "write"])
        assert key.startswith(info["prefix"])
        assert [call(running, key).status for _ in range(4)] == [200, 200, 200, 429]
        (listed,) = running.ask("GET", "/api/v1/apis/hello/keys").json
        assert listed["last_used_at"] is not None
        assert listed | {"last_used_at": None} == info
        rotated = running.ask("POST", f"/api/v1/keys/{info['id']}/rotate", {"grace_s": 60}).json
        states = {one["id"]: one["state"] for one in running.ask("GET", "/api/v1/apis/hello/keys").json}
        assert states == {info["id"]: "grace", rotated["info"]["id"]: "active"}
        assert call(running, rotated["key"]).status == 200
        assert running.ask("DELETE", f"/api/v1/keys/{rotated['info']['id']}").status == 204
        assert call(running, rotated["key"]).status == 401

    def test_a_quota_is_spent_shown_and_goes_on_with_the_key_that_follows(self, running: Running, hello: str) -> None:
        made = make_key(running, quota="3/month")
        info = made["info"]
        assert (info["quota"], info["quota_overage"], info["quota_used"], info["quota_left"]) == (
            "3/month",
            "block",
            0,
            3,
        )
        spent = [call(running, made["key"]) for _ in range(2)]
        assert [answer.status for answer in spent] == [200, 200], [answer.body for answer in spent]
        (listed,) = running.ask("GET", "/api/v1/apis/hello/keys").json
        assert (listed["quota_used"], listed["quota_left"]) == (2, 1)
        rotated = running.ask("POST", f"/api/v1/keys/{info['id']}/rotate", {}).json
        assert rotated["info"]["quota_left"] == 1
        assert [call(running, key).status for key in (rotated["key"], rotated["key"], made["key"])] == [200, 429, 429]

    def test_without_grace_the_old_one_ends_at_once(self, running: Running, hello: str) -> None:
        made = make_key(running)
        running.ask("POST", f"/api/v1/keys/{made['info']['id']}/rotate", {"grace_s": 0})
        refused = call(running, made["key"])
        assert (refused.status, refused.json["code"]) == (401, "key_refused")

    def test_an_expired_one_is_refused(self, running: Running, hello: str) -> None:
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        made = make_key(running, expires_at=soon)
        assert call(running, made["key"]).status == 200
        deadline = time.monotonic() + 10
        while (answer := call(running, made["key"])).status == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "has expired" in answer.json["detail"]

    @pytest.mark.parametrize(
        "body",
        [
            {"scopes": []},
            {"scopes": ["admin"]},
            {"cidrs": ["10.0.0.1/8"]},
            {"rate_limit": "-1/min"},
            {"rate_limit": "1e9/min"},
            {"expires_at": "2001-01-01T00:00:00Z"},
            {"expires_at": "2999-01-01T00:00:00"},
            {"name": "x" * 101},
            {"user_id": "someone"},
            {"quota": "0/month"},
            {"quota": "10/hour"},
            {"quota": -1},
            {"plan": "unknown"},
            {"plan": "free", "quota": "10/day"},
        ],
        ids=str,
    )
    def test_bad_input(self, running: Running, hello: str, body: dict[str, Any]) -> None:
        answer = running.ask("POST", "/api/v1/apis/hello/keys", body)
        assert (answer.status, answer.headers["content-type"]) == (422, PROBLEM)
        assert running.ask("GET", "/api/v1/apis/hello/keys").json == []

    @pytest.mark.parametrize("grace", [-1, 30 * 86400 + 1, 1.5, "soon", None])
    def test_bad_grace(self, running: Running, hello: str, grace: Any) -> None:
        made = make_key(running)
        path = f"/api/v1/keys/{made['info']['id']}/rotate"
        assert running.ask("POST", path, {"grace_s": grace}).status == 422

    def test_one_that_is_not_there(self, running: Running) -> None:
        for method, path, body in (("DELETE", "/api/v1/keys/k", None), ("POST", "/api/v1/keys/k/rotate", {})):
            answer = running.ask(method, path, body)
            assert (answer.status, answer.json["code"]) == (404, "key_not_found")

    def test_revocation_under_load_is_in_force_within_a_second(self, running: Running, hello: str) -> None:
        """Eight clients call as fast as they can; none that begins after the revocation was answered gets through."""
        made = make_key(running)
        answered_at: list[float] = []

        def hammer() -> list[tuple[float, int]]:
            seen = []
            while not answered_at or time.monotonic() < answered_at[0] + 0.3:
                began = time.monotonic()
                seen.append((began, call(running, made["key"]).status))
            return seen

        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(hammer) for _ in range(8)]
            time.sleep(0.2)
            asked_at = time.monotonic()
            assert running.ask("DELETE", f"/api/v1/keys/{made['info']['id']}").status == 204
            answered_at.append(time.monotonic())
            seen = [each for client in clients for each in client.result()]
        assert {status for began, status in seen if began > answered_at[0]} == {401}
        assert {status for _, status in seen} == {200, 401}
        last_s = max(began for began, status in seen if status == 200) - asked_at
        print(f"the last call let in began {last_s * 1000:.1f} ms after the revocation was asked for")
        assert last_s < 1.0


class TestEnforcement:
    def test_a_setting_makes_keys_obligatory_on_this_machine_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("APIMARKET_ENFORCE_KEYS", "1")
        with serving(tmp_path / "home") as running:
            register(running, tmp_path, "hello")
            assert (call(running).status, call(running).json["code"]) == (401, "key_required")
            assert call(running, make_key(running)["key"]).status == 200

    def test_a_manifests_limit_holds_for_each_caller(self, running: Running, hello: str, tmp_path: Path) -> None:
        manifest = tmp_path / "hello" / "apimarket.toml"
        assert call(running).status == 200
        manifest.write_text(manifest.read_text() + '\n[gateway]\nrate_limit = "2/h"\n')
        key = make_key(running)["key"]
        deadline = time.monotonic() + 20
        while "ratelimit-limit" not in call(running).headers:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [call(running, key).status for _ in range(3)] == [200, 200, 429]
        assert [call(running).status for _ in range(2)] == [200, 429]

    def test_so_does_what_it_says_of_kept_answers_and_of_bodies(
        self, running: Running, hello: str, tmp_path: Path
    ) -> None:
        manifest = tmp_path / "hello" / "apimarket.toml"
        assert call(running).status == 200
        manifest.write_text(manifest.read_text() + "\n[gateway]\ncache_ttl_s = 60\nmax_body_mb = 1\n")
        deadline = time.monotonic() + 20
        while "hit" not in call(running).headers.get("cache-status", ""):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        refused = running.ask("POST", "/ana/hello/", bytes((1 << 20) + 1), token=None)
        assert (refused.status, refused.json["code"]) == (413, "body_too_large")


class TestSecrets:
    def test_none_is_written_anywhere(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "ROUNDS", 4)
        caplog.set_level(logging.DEBUG)
        home = tmp_path / "home"
        with serving(home) as running:
            register(running, tmp_path, "hello")
            made = make_key(running)
            rotated = running.ask("POST", f"/api/v1/keys/{made['info']['id']}/rotate", {}).json
            body = {"handle": "bob", "email": "bob@example.org", "password": PASSWORD}
            session = running.ask("POST", "/api/v1/auth/signup", body, token=None).json["token"]
            running.ask("POST", "/api/v1/auth/login", {"login": "bob", "password": PASSWORD + "!"}, token=None)
            for key in (made["key"], rotated["key"], made["key"][:-1]):
                call(running, key, "/ana/hello/?q=1")
            secrets = [made["key"][14:50], rotated["key"][14:50], session, session.split(".")[2], PASSWORD]
            for secret in secrets:
                found = [path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
                assert found == []
        for secret in secrets:
            found = [path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
            assert found == []
            assert secret not in caplog.text
        assert (home / "session.key").stat().st_mode & 0o777 == 0o600

    def test_sessions_outlive_a_restart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(passwords, "ROUNDS", 4)
        with serving(tmp_path / "home") as running:
            body = {"handle": "bob", "email": "bob@example.org", "password": PASSWORD}
            token = running.ask("POST", "/api/v1/auth/signup", body, token=None).json["token"]
        with serving(tmp_path / "home") as running:
            assert running.ask("GET", "/api/v1/auth/me", token=token).json["handle"] == "bob"
