"""What a caller is told of a request that is not as it should be."""

from typing import Any

import pytest

from tests.control.conftest import Running


def told(running: Running, path: str, body: Any) -> list[dict[str, str]]:
    answer = running.ask("POST", path, body)
    assert (answer.status, answer.json["code"]) == (422, "invalid_request")
    assert answer.json["detail"] == "; ".join(f"{each['where']}: {each['message']}" for each in answer.json["mistakes"])
    mistakes: list[dict[str, str]] = answer.json["mistakes"]
    return mistakes


@pytest.mark.parametrize(
    ("path", "body", "where", "message"),
    [
        ("keys/k/rotate", {"grace_s": 1e9}, "body.grace_s", "found 1000000000.0; allowed: a number up to 2592000"),
        ("keys/k/rotate", {"grace_s": "soon"}, "body.grace_s", 'found "soon"; allowed: a whole number'),
        ("keys/k/rotate", {"grace_s": "x" * 99}, "body.grace_s", f'found "{"x" * 58}…; allowed: a whole number'),
        ("apis/scaffold", {"name": "a", "colour": 1}, "body.colour", "nothing is known by that name"),
        ("apis/scaffold", {"name": "a", "start": "perhaps"}, "body.start", 'found "perhaps"; allowed: true or false'),
        ("apis/scaffold", {}, "body.name", "it is missing"),
        ("apis/scaffold", [1], "body", "found [1]; allowed: a JSON object"),
        ("apis/scaffold", b"", "body", "it is missing; allowed: a JSON object"),
        ("apis/scaffold", b'{"name": "a"', "body", "it is not JSON: Expecting ',' delimiter at character 12"),
        ("auth/login", {"login": "ana", "password": 7}, "body.password", 'found "[redacted]"; allowed: text'),
        ("auth/signup", {"password": "12345678", "role": "king"}, "body.role",
         "found \"king\"; allowed: 'developer' or 'consumer'"),
        ("apis/x/keys", {"expires_at": "soon"}, "body.expires_at",
         'found "soon"; allowed: a time, as 2030-01-31T12:00:00Z'),
        ("apis/x/keys", {"expires_at": "9999-12-31T23:00:00-14:00"}, "body.expires_at",
         'found "9999-12-31T23:00:00-14:00"; allowed: a time of the years 1 to 9999 in UTC'),
        ("tokens", {"scope": "publish:a/b", "expires_at": "9999-12-31T23:00:00-14:00"}, "body.expires_at",
         'found "9999-12-31T23:00:00-14:00"; allowed: a time of the years 1 to 9999 in UTC'),
    ],
)  # fmt: skip
def test_where_what_was_found_and_what_is_allowed(
    running: Running, path: str, body: Any, where: str, message: str
) -> None:
    assert told(running, f"/api/v1/{path}", body) == [{"where": where, "message": message}]


def test_a_secret_is_never_shown(running: Running) -> None:
    for body in ({"value": [7777]}, ["7777"]):
        answer = running.ask("PUT", "/api/v1/apis/hello/secrets/TOKEN", body)
        assert (answer.status, b"7777" in answer.body) == (422, False)


@pytest.mark.parametrize(
    ("media_type", "message"),
    [
        ("application/x-www-form-urlencoded", 'found "application/x-www-form-urlencoded"; allowed: application/json'),
        ("text/plain; " + "x" * 99, f'found "text/plain; {"x" * 47}…"; allowed: application/json'),
        ("", "it is missing; allowed: application/json"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/apis/scaffold", "/analytics/log"])
def test_json_that_is_sent_as_something_else(running: Running, path: str, media_type: str, message: str) -> None:
    """As curl sends it with -d alone."""
    answer = running.ask("POST", path, {"name": "secret"}, {"Content-Type": media_type})
    assert answer.json["mistakes"] == [{"where": "header.content-type", "message": message}]
    assert (answer.status, b"secret" in answer.body) == (422, False)


def test_one_that_may_have_several_shapes_is_told_by_its_members_alone(running: Running) -> None:
    entry = {"api": "hello", "method": "GET", "path": "/", "status": 99, "total_ms": 1}
    message = "found 99; allowed: a number from 100 on"
    assert told(running, "/analytics/log", entry) == [{"where": "body.status", "message": message}]
    batch = {"executions": [entry]}
    assert told(running, "/analytics/log", batch) == [{"where": "body.executions.0.status", "message": message}]


@pytest.mark.parametrize("name", ["history?since", "history?until", "logs?since"])
@pytest.mark.parametrize(
    ("time", "allowed"),
    [
        ("0001-01-01T00:00:00%2B14:00", "a time of the years 1 to 9999 in UTC"),
        ("9999-12-31T23:00:00-14:00", "a time of the years 1 to 9999 in UTC"),
        ("2026-01-31T12:00:00", "a time with its zone, as 2030-01-31T12:00:00Z"),
        ("2026-01-31", "a time with its zone, as 2030-01-31T12:00:00Z"),
    ],
)
def test_a_time_that_is_none(running: Running, name: str, time: str, allowed: str) -> None:
    answer = running.ask("GET", f"/api/v1/apis/hello/{name}={time}")
    assert answer.status == 422
    assert answer.json["mistakes"][0]["message"].endswith(f"allowed: {allowed}")


def test_of_the_query_too(running: Running) -> None:
    answer = running.ask("GET", "/analytics/stats/hello?window=2h")
    assert answer.json["detail"] == "query.window: found \"2h\"; allowed: '1h', '24h', '7d' or '30d'"
