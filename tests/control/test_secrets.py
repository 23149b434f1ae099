"""Secrets over HTTP: whose they are, and that no answer holds a value."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.conftest import Running, wait_for

NAME = "keeper"
ROOT = f"/api/v1/apis/{NAME}/secrets"
VALUE = "planted-value-1"


@pytest.fixture(scope="module")
def api(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("projects") / NAME
    directory.mkdir()
    run = 'entry = "main:app"\nsecrets = ["TOKEN"]\nenv = { UNITS = "metric", B = "" }\n'
    manifest = f'[api]\nname = "{NAME}"\nruntime = "python"\n[run]\n{run}'
    (directory / "apimarket.toml").write_text(manifest)
    (directory / "main.py").write_text("app = None\n")
    (directory / "answer.txt").write_text("says $TOKEN")
    assert running.ask("POST", "/api/v1/apis", {"directory": str(directory)}).status == 201
    yield directory
    running.ask("DELETE", f"/api/v1/apis/{NAME}")


def test_variables_are_told_with_their_values_and_secrets_are_not_among_them(running: Running, api: Path) -> None:
    found = running.ask("GET", f"/api/v1/apis/{NAME}/env").json
    assert found == [{"name": "B", "value": ""}, {"name": "UNITS", "value": "metric"}]


def test_the_life_of_one(running: Running, api: Path) -> None:
    assert running.ask("GET", ROOT).json == [{"name": "TOKEN", "updated_at": None, "used": True}]
    wait_for(lambda: running.ask("GET", f"/api/v1/apis/{NAME}").json["state"] == "failed")
    assert running.ask("PUT", f"{ROOT}/TOKEN", {"value": VALUE}).json == {"name": "TOKEN", "restarts": True}
    wait_for(lambda: running.ask("GET", f"/ana/{NAME}/").body == f"says {VALUE}".encode())
    (listed,) = running.ask("GET", ROOT).json
    assert listed["updated_at"] is not None

    kept = running.ask("GET", f"/api/v1/apis/{NAME}/exchanges").json[0]
    shown = running.ask("GET", f"/api/v1/apis/{NAME}/exchanges/{kept['id']}").json
    assert shown["response_body"]["text"] == "says [redacted]"
    replayed = running.ask("POST", f"/api/v1/apis/{NAME}/exchanges/{kept['id']}/replay")
    assert replayed.json["body"]["text"] == "says [redacted]"

    assert running.ask("DELETE", f"{ROOT}/TOKEN").json == {"name": "TOKEN", "restarts": True}
    assert running.ask("DELETE", f"{ROOT}/TOKEN").json["code"] == "secret_not_found"


@pytest.mark.parametrize(
    "body", [{"value": 7}, {"value": VALUE, "more": 1}, {"values": VALUE}, {"value": f"{VALUE}\0"}, {"value": ""}]
)
def test_a_refusal_does_not_say_the_value(running: Running, api: Path, body: object) -> None:
    answer = running.ask("PUT", f"{ROOT}/OTHER", body)
    assert answer.status == 422
    assert VALUE.encode() not in answer.body


def test_a_name_that_cannot_be_one_is_refused(running: Running, api: Path) -> None:
    answer = running.ask("PUT", f"{ROOT}/A-B", {"value": VALUE})
    assert (answer.status, answer.json["code"]) == (422, "invalid_secret_name")


def test_the_key_is_the_owners_alone_and_not_in_the_database(running: Running, api: Path) -> None:
    running.ask("PUT", f"{ROOT}/STORED", {"value": VALUE})
    key = running.home / "secrets.key"
    assert key.stat().st_mode & 0o077 == 0
    stored = b"".join(path.read_bytes() for path in running.home.glob("registry.db*"))
    assert b"STORED" in stored
    for hidden in (VALUE.encode(), key.read_bytes().strip(), bytes.fromhex(key.read_text())):
        assert hidden not in stored
