"""Calls of the Try-it console, kept without their secrets."""

import json
from pathlib import Path

import pytest

from local_server.client.call_history import MOST, NAME, KeptCall, add, read


def a_call(**fields: object) -> KeptCall:
    values: dict[str, object] = {
        "at": "2026-01-31T12:00:00+00:00",
        "method": "GET",
        "url": "http://127.0.0.1:8080/ana/weather/now?q=oslo",
        "headers": [["X-Units", "metric"]],
        "body": "",
        "status": 200,
        "elapsed_ms": 38.2,
        "bytes": 154,
    }
    return values | fields  # type: ignore[return-value]


def test_the_newest_is_first_and_the_oldest_go(tmp_path: Path) -> None:
    for number in range(MOST + 3):
        add(tmp_path / "home", a_call(bytes=number))
    kept = read(tmp_path / "home")
    assert (len(kept), kept[0]["bytes"], kept[-1]["bytes"]) == (MOST, MOST + 2, 3)
    assert kept[0]["url"].endswith("?q=oslo")
    assert (tmp_path / "home" / NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == [NAME]


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": [["Authorization", "Bearer hidden"]]},
        {"headers": [["x-api-key", "hidden"]]},
        {"headers": [["Cookie", "sid=hidden"]]},
        {"url": "http://h/x?api_key=hidden"},
        {"url": "http://ana:hidden@h/x"},
        {"body": '{"password": "hidden"}', "headers": [["Content-Type", "application/json"]]},
        {"body": "token=hidden&q=1", "headers": [["Content-Type", "application/x-www-form-urlencoded"]]},
    ],
)
def test_no_secret_is_kept(tmp_path: Path, fields: dict[str, object]) -> None:
    add(tmp_path, a_call(**fields))
    assert "hidden" not in (tmp_path / NAME).read_text()
    assert "[redacted]" in json.dumps(read(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "{}", "[7]", '[{"at": 1}]', '[{"at": "x", "method": "GET", "url": "u"}]'])
def test_what_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    assert read(tmp_path) == []
    add(tmp_path, a_call())
    assert len(read(tmp_path)) == 1
