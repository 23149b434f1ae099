"""Access tokens over real HTTP: each operation of the server, tried with a token that may publish one API."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_server.control.access import FOR_ACCESS_TOKENS
from local_server.domain.access_tokens import write_token
from tests.control.conftest import Running, operations, serving
from tests.control.test_access import ENTRANCES, OPEN, PUBLIC

ENDLESS = {"events"}
CLOSED = [
    pytest.param(*each, id=f"{each[0]} {each[1]}")
    for each in operations()
    if each[:2] not in OPEN | PUBLIC | ENTRANCES and each[2]["operationId"] not in ENDLESS
]


def created(running: Running, scope: str = "publish:ana/weather", days: int = 30) -> Any:
    body = {"scope": scope, "expires_at": (datetime.now(UTC) + timedelta(days=days)).isoformat()}
    answer = running.ask("POST", "/api/v1/tokens", body)
    assert answer.status == 201, answer.json
    return answer.json


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("tokens") / "home") as started:
        yield started


@pytest.fixture(scope="module")
def token(running: Running) -> str:
    text: str = created(running)["token"]
    return text


class TestScope:
    @pytest.mark.parametrize(("method", "path", "operation"), CLOSED)
    def test_it_is_for_its_api_and_nothing_else(
        self, running: Running, token: str, method: str, path: str, operation: dict[str, Any]
    ) -> None:
        """Whatever is not named for tokens is refused, and so is all that names another API."""

        def status_of(slug: str) -> int:
            where = path.replace("{owner}", "ana").replace("{slug}", slug)
            while "{" in where:
                before, _, rest = where.partition("{")
                where = before + "f" * 64 + rest.partition("}")[2]
            answer = running.ask(method, where, token=token)
            if answer.status == 403 and method != "HEAD":
                assert answer.json["code"] == "outside_scope"
                assert "publish:ana/weather" in answer.json["detail"]
            return answer.status

        if operation["operationId"] not in FOR_ACCESS_TOKENS:
            assert status_of("weather") == 403
            return
        assert status_of("weather") not in (401, 403)
        if "{slug}" in path:
            assert status_of("other") == 403

    def test_it_sees_whether_its_own_api_runs(self, running: Running, token: str, tmp_path: Path) -> None:
        for name in ("weather", "other"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "main.py").write_text("def handler(request):\n    return {}\n")
            assert (
                running.ask("POST", "/api/v1/apis", {"directory": str(tmp_path / name), "start": False}).status == 201
            )
        own = running.ask("GET", "/api/v1/apis/ana/weather/versions/1.0.0", token=token)
        assert (own.status, own.json["code"]) == (404, "version_not_found")
        other = running.ask("GET", "/api/v1/apis/ana/other/versions/1.0.0", token=token)
        assert (other.status, other.json["code"]) == (403, "outside_scope")

    def test_every_name_in_the_rule_is_an_operation(self) -> None:
        assert {operation["operationId"] for _, _, operation in operations()} >= FOR_ACCESS_TOKENS


class TestLife:
    def test_it_is_kept_as_its_digest_alone(self, running: Running, token: str) -> None:
        content = b"".join(path.read_bytes() for path in running.home.glob("registry.db*"))
        assert token.encode() not in content
        assert token[:15].encode() in content
        (row,) = [one for one in running.ask("GET", "/api/v1/tokens").json if one["prefix"] == token[:15]]
        assert "token" not in row

    @pytest.mark.parametrize("change", ["revoked", "expired"])
    def test_it_ends(self, running: Running, change: str) -> None:
        made = created(running)
        assert running.ask("GET", "/api/v1/sync", token=made["token"]).status == 200
        if change == "revoked":
            assert running.ask("DELETE", f"/api/v1/tokens/{made['info']['id']}").status == 204
        else:
            db = sqlite3.connect(running.home / "registry.db")
            with db:
                db.execute("update access_tokens set expires_at = created_at where id = ?", [made["info"]["id"]])
            db.close()
        refused = running.ask("GET", "/api/v1/sync", token=made["token"])
        assert (refused.status, refused.json["code"]) == (401, "access_token_invalid")
        assert change in refused.json["detail"] or change == "expired"

    def test_what_was_never_one_is_refused(self, running: Running, token: str) -> None:
        for text in (write_token(bytes(32)), token[:-1] + ("a" if token[-1] != "a" else "b"), "am_token_"):
            assert running.ask("GET", "/api/v1/sync", token=text).status == 401

    def test_what_cannot_be_made(self, running: Running) -> None:
        soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        late = (datetime.now(UTC) + timedelta(days=400)).isoformat()
        for scope, expires_at in (
            ("publish:bob/x", soon), ("publish:ana/X", soon), ("publish:ana", soon), ("read:ana/x", soon),
            ("publish:ana/x", late), ("publish:ana/x", "2020-01-01T00:00:00Z"),
            ("publish:ana/x", "2027-01-01T00:00:00"),
        ):  # fmt: skip
            answer = running.ask("POST", "/api/v1/tokens", {"scope": scope, "expires_at": expires_at})
            assert (answer.status, answer.json["code"]) == (422, "invalid_token_field"), scope
