"""The request inspector over real HTTP: what is shown, what is sent again, and to whom."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control.conftest import Running, wait_for

NAME = "inspected"
ROOT = f"/api/v1/apis/{NAME}/exchanges"
SECRETS = {
    "authorization": "Bearer planted-bearer",
    "cookie": "sid=planted-cookie",
    "x-session-id": "planted-session",
    "content-type": "application/json",
}


@pytest.fixture(scope="module")
def api(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An API with three generations: `one` and `two`, whose processes have ended, and `three`, which serves."""
    directory = tmp_path_factory.mktemp("projects") / NAME
    directory.mkdir()
    (directory / "main.py").write_text("def handler(request):\n    return {}\n")
    (directory / "answer.txt").write_text('{"total": 1, "token": "planted-answer"}')
    assert running.ask("POST", "/api/v1/apis", {"directory": str(directory)}).status == 201
    for number, answer in enumerate(('{"total": 2, "token": "planted-other"}', '{"total": 3}'), 2):
        until_serving(running, number - 1)
        (directory / "answer.txt").write_text(answer)
    until_serving(running, 3)
    yield directory
    running.ask("DELETE", f"/api/v1/apis/{NAME}")


def until_serving(running: Running, number: int) -> None:
    wait_for(lambda: running.ask("GET", f"/api/v1/apis/{NAME}").json["serving"] == number)


@pytest.fixture
def request_id(running: Running, api: Path) -> str:
    """Of a request full of secrets."""
    body = {"user": "ana", "password": "planted-password"}
    answer = running.ask("POST", f"/ana/{NAME}/login?next=/&token=planted-query", body, SECRETS, token=None)
    assert answer.status == 200
    return answer.headers["x-request-id"]


class TestLooking:
    def test_the_newest_is_listed_first(self, running: Running, request_id: str) -> None:
        first = running.ask("GET", ROOT).json[0]
        assert first["id"] == request_id
        assert (first["method"], first["path"], first["query"]) == ("POST", "/login", "next=/&token=[redacted]")

    def test_filters(self, running: Running, request_id: str) -> None:
        assert running.ask("GET", f"{ROOT}?path=/nowhere").json == []
        assert running.ask("GET", f"{ROOT}?errors=true").json == []
        assert len(running.ask("GET", f"{ROOT}?limit=1&path=/log").json) == 1

    def test_one_is_shown_whole_and_redacted(self, running: Running, request_id: str) -> None:
        shown = running.ask("GET", f"{ROOT}/{request_id}").json
        assert ["authorization", "Bearer [redacted]"] in shown["request_headers"]
        assert json.loads(shown["request_body"]["text"]) == {"user": "ana", "password": "[redacted]"}
        assert json.loads(shown["response_body"]["text"]) == {"total": 3}
        assert shown["replayable"] is True
        assert '"$AUTHORIZATION"' in shown["curl"]

    def test_an_unknown_one_is_told_so(self, running: Running, api: Path) -> None:
        answer = running.ask("GET", f"{ROOT}/no-such")
        assert (answer.status, answer.json["code"]) == (404, "exchange_not_found")

    def test_forgetting(self, running: Running, request_id: str) -> None:
        assert running.ask("DELETE", ROOT).json["forgotten"] >= 1
        assert running.ask("GET", ROOT).json == []
        assert running.ask("GET", f"{ROOT}/{request_id}").status == 404


class TestReplaying:
    def test_what_serves_answers(self, running: Running, request_id: str) -> None:
        answer = running.ask("POST", f"{ROOT}/{request_id}/replay").json
        assert (answer["generation"], answer["status"], answer["body"]["text"]) == (3, 200, '{"total": 3}')

    def test_one_that_has_ended_is_started_for_it_and_serves_nobody_else(
        self, running: Running, request_id: str
    ) -> None:
        answer = running.ask("POST", f"{ROOT}/{request_id}/replay", {"generation": 1}).json
        assert (answer["generation"], json.loads(answer["body"]["text"])["total"]) == (1, 1)
        assert running.ask("GET", f"/ana/{NAME}/", token=None).body == b'{"total": 3}'
        assert running.ask("GET", f"/api/v1/apis/{NAME}").json["serving"] == 3

    def test_two_generations_are_compared(self, running: Running, request_id: str) -> None:
        found = running.ask("POST", f"{ROOT}/{request_id}/compare", {"generation": 2}).json
        assert (found["first"]["generation"], found["second"]["generation"]) == (2, 3)
        assert found["body_diff"] == ["- total: 2", "+ total: 3", '- token: "[redacted]"']
        assert (found["same"], found["status_changed"]) == (False, False)

    def test_with_itself_there_is_no_difference(self, running: Running, request_id: str) -> None:
        found = running.ask("POST", f"{ROOT}/{request_id}/compare", {"generation": 3}).json
        assert (found["same"], found["body_diff"], found["headers_changed"]) == (True, [], [])

    def test_the_log_of_the_api_says_that_it_was_one(self, running: Running, request_id: str) -> None:
        running.ask("POST", f"{ROOT}/{request_id}/replay")
        lines = [line["text"] for line in running.ask("GET", f"/api/v1/apis/{NAME}/logs").json]
        assert any(line.startswith("replayed POST /login?next=/&token=[redacted]: 200 in ") for line in lines)

    @pytest.mark.parametrize("generation", [4, 2**31 - 1])
    def test_an_unknown_generation(self, running: Running, request_id: str, generation: int) -> None:
        answer = running.ask("POST", f"{ROOT}/{request_id}/compare", {"generation": generation})
        assert (answer.status, answer.json["code"]) == (404, "generation_not_found")

    @pytest.mark.parametrize("generation", [0, -1, 1.5, 2**31, "1; drop", None])
    def test_no_generation_at_all(self, running: Running, request_id: str, generation: Any) -> None:
        assert running.ask("POST", f"{ROOT}/{request_id}/compare", {"generation": generation}).status == 422

    def test_a_body_that_was_cut_is_told(self, running: Running, api: Path) -> None:
        answer = running.ask("POST", f"/ana/{NAME}/big", b"x" * 65537, token=None)
        refused = running.ask("POST", f"{ROOT}/{answer.headers['x-request-id']}/replay")
        assert (refused.status, refused.json["code"]) == (409, "not_replayable")
        assert "65537 bytes, of which the first 65536 were kept" in refused.json["detail"]


class TestStrangers:
    def test_another_account_is_told_that_there_is_no_such_api(self, running: Running, request_id: str) -> None:
        body = {"handle": "bob", "password": "correct horse"}
        session = running.ask("POST", "/api/v1/auth/signup", body, token=None).json["token"]
        for method, path in (
            ("GET", ROOT),
            ("DELETE", ROOT),
            ("GET", f"{ROOT}/{request_id}"),
            ("POST", f"{ROOT}/{request_id}/replay"),
            ("POST", f"{ROOT}/{request_id}/compare"),
        ):
            answer = running.ask(method, path, {"generation": 1} if method == "POST" else None, token=session)
            assert (answer.status, answer.json["code"]) == (404, "api_not_found"), path


class TestSecrets:
    def test_no_answer_no_log_and_no_table_holds_a_planted_one(self, running: Running, request_id: str) -> None:
        said = [
            running.ask("GET", ROOT),
            running.ask("GET", f"{ROOT}/{request_id}"),
            running.ask("POST", f"{ROOT}/{request_id}/replay", {"generation": 1}),
            running.ask("POST", f"{ROOT}/{request_id}/compare", {"generation": 1}),
            running.ask("POST", f"{ROOT}/{request_id}/compare", {"generation": 2}),
            running.ask("GET", f"/api/v1/apis/{NAME}/logs"),
            running.ask("GET", f"/api/v1/apis/{NAME}/history"),
        ]
        assert [answer.status for answer in said] == [200] * len(said)
        assert [answer.body for answer in said if b"planted" in answer.body] == []
        blobs = {path for path in running.home.rglob("*") if "blobs" in path.parts or "trees" in path.parts}
        files = [path for path in running.home.rglob("*") if path.is_file() and path not in blobs]
        assert running.home / "registry.db" in files
        assert [path for path in files if b"planted" in path.read_bytes()] == []
