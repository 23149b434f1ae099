"""Without the token nothing of the control API answers."""

import pytest

from tests.control.conftest import Running, operations

OPEN = {("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics")}
"""From this machine."""
PUBLIC = {(method, path) for method, path, operation in operations() if method == "GET" and "/marketplace/" in path}
"""From everywhere: what the catalogue shows is public."""
ENTRANCES = {("POST", "/api/v1/auth/signup"), ("POST", "/api/v1/auth/login")}
GUARDED = [
    (method, path.replace("{id}", "any"))
    for method, path, _ in operations()
    if (method, path) not in OPEN | PUBLIC | ENTRANCES
]
REFUSED = {
    "none": {},
    "empty": {"Authorization": "Bearer "},
    "wrong": {"Authorization": "Bearer " + "x" * 43},
    "not ASCII": {"Authorization": "Bearer \xe9"},
    "another scheme": {"Authorization": "Basic YW5hOmFuYQ=="},
}


class TestToken:
    def test_the_guarded_routes_are_all_below_three_roots(self) -> None:
        assert len(GUARDED) > 20
        assert {path.split("/")[1] for _, path in GUARDED} == {"analytics", "api", "executor"}

    @pytest.mark.parametrize(("method", "path"), GUARDED)
    def test_every_route_is_refused_without_the_right_one(self, running: Running, method: str, path: str) -> None:
        for what, headers in REFUSED.items():
            answer = running.ask(method, path, headers=headers, token=None)
            assert answer.status == 401, what
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
            if method != "HEAD":
                assert answer.json["code"] == "token_required"
                assert answer.json["hint"]

    def test_the_token_is_refused_with_a_character_more_or_less(self, running: Running) -> None:
        for token in (running.token[:-1], running.token + "x", running.token.swapcase()):
            assert running.ask("GET", "/api/v1/server", token=token).status == 401

    def test_a_stopping_without_a_token_stops_nothing(self, running: Running) -> None:
        assert running.ask("POST", "/api/v1/server/stop", token=None).status == 401
        assert running.ask("GET", "/health").status == 200

    @pytest.mark.parametrize(("method", "path"), sorted(OPEN))
    def test_health_needs_none(self, running: Running, method: str, path: str) -> None:
        assert running.ask(method, path, token=None).status == 200

    def test_the_file_and_its_directory_are_the_owners_alone(self, running: Running) -> None:
        assert (running.home / "token").stat().st_mode & 0o777 == 0o600
        assert running.home.stat().st_mode & 0o777 == 0o700
