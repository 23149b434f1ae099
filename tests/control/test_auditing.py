"""Who did what stays on record."""

import sqlite3
from pathlib import Path
from typing import Any

from local_server.control.auditing import ACTIONS, NOTHING_CHANGES, OF_THEIR_OWN
from tests.control.conftest import Running, operations


def rows(running: Running) -> list[tuple[str, str, str]]:
    """(action, whose it is about, detail), oldest first."""
    with sqlite3.connect(f"file:{running.home / 'registry.db'}?mode=ro", uri=True) as db:
        return db.execute("select action, subject, detail from audit order by at, id").fetchall()


def test_of_every_operation_that_changes_something_it_is_decided() -> None:
    changing = {each["operationId"] for method, _, each in operations() if method not in ("GET", "HEAD")}
    decided = [*ACTIONS, *OF_THEIR_OWN, *NOTHING_CHANGES]
    assert sorted(decided) == sorted(changing)


def test_an_act_is_on_record_when_it_is_answered_and_a_refusal_is_not(running: Running, project: Path) -> None:
    def act(method: str, path: str, body: Any = None) -> int:
        return running.ask(method, f"/api/v1/apis{path}", body).status

    before = len(rows(running))
    assert act("POST", "", {"directory": str(project), "name": "kept", "start": False}) == 201
    made = running.ask("GET", "/api/v1/apis/kept").json["id"]
    assert act("PATCH", "/kept", {"summary": "Bearer am_live_0123456789"}) == 200
    assert act("PATCH", "/kept", {"visibility": "everybody"}) == 422
    assert act("PUT", "/kept/traffic", {"target": "9.9.9"}) == 404
    assert act("POST", "/nothing/stop") == 404
    assert act("DELETE", "/kept") == 204
    told = rows(running)[before:]
    assert [(action, subject) for action, subject, _ in told] == [
        ("api.register", made), ("api.change", made), ("api.remove", made),
    ]  # fmt: skip
    owner = running.ask("GET", "/api/v1/auth/me").json["handle"]
    assert all(detail.startswith(f"{owner}/kept") for _, _, detail in told)
    assert "0123456789" not in told[1][2]
    assert "[redacted]" in told[1][2]
