"""The control API over real HTTP: what it answers, and how it refuses."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import FastAPI

from local_server import __version__
from tests.control.conftest import Running, serving, wait_for

PROBLEM = "application/problem+json"


class TestServer:
    def test_health_says_what_it_is_made_of(self, running: Running) -> None:
        found = running.ask("GET", "/health", token=None).json
        assert found == {
            "status": "ok", "version": __version__, "profile": "local", "engine": "fake", "storage": found["storage"]
        }  # fmt: skip
        assert found["storage"].startswith("sqlite 3.")

    def test_ready_while_the_engine_answers(self, running: Running) -> None:
        assert running.ask("GET", "/ready", token=None).json == {"ready": True, "engine": "in memory"}

    def test_the_server_names_its_address_and_owner(self, running: Running) -> None:
        found = running.ask("GET", "/api/v1/server").json
        assert found["url"] == f"http://127.0.0.1:{running.port}"
        assert (found["owner"], found["engine"], found["isolated"]) == ("ana", "fake", False)

    def test_every_check_of_the_doctor_that_does_not_pass_says_what_mends_it(self, running: Running) -> None:
        checks = running.ask("GET", "/api/v1/doctor").json
        assert checks
        assert [check["name"] for check in checks if check["status"] != "ok" and not check["fix"]] == []

    def test_stop_ends_it(self, tmp_path: Path) -> None:
        with serving(tmp_path / "home") as running:
            assert running.ask("POST", "/api/v1/server/stop").status == 202
            running.thread.join(10)
            assert not running.thread.is_alive()
        assert not (tmp_path / "home" / "server.json").exists()


class TestApis:
    def test_the_life_of_one(self, running: Running, project: Path) -> None:
        made = running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": "life", "start": False})
        assert made.status == 201
        assert (made.json["name"], made.json["owner"], made.json["state"]) == ("life", "ana", "stopped")
        for reference in ("life", "ana/life", quote("ana/life", safe=""), made.json["id"]):
            assert running.ask("GET", f"/api/v1/apis/{reference}").json["id"] == made.json["id"]
            assert running.ask("GET", f"/executor/status/{reference}").json["id"] == made.json["id"]
        assert "life" in {api["name"] for api in running.ask("GET", "/api/v1/apis").json}
        patched = running.ask("PATCH", "/api/v1/apis/life", {"summary": "Lives", "tags": ["a"]})
        assert (patched.json["summary"], patched.json["tags"]) == ("Lives", ["a"])
        gone = running.ask("DELETE", "/api/v1/apis/life")
        assert (gone.status, gone.body) == (204, b"")
        assert running.ask("GET", "/api/v1/apis/life").status == 404
        assert (project / "main.py").exists()

    def test_both_ways_to_deploy_serve_it(self, running: Running, project: Path) -> None:
        running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": "twice", "start": False})
        for path, body in (("/api/v1/apis/twice/deploy", None), ("/executor/deploy", {"id": "twice"})):
            assert running.ask("POST", path, body).status == 202
            answer = running.ask("GET", "/ana/twice/", token=None)
            assert (answer.status, answer.body) == (200, b"hello")
            assert running.ask("POST", "/executor/stop/twice").status == 202
        assert len(running.ask("GET", "/api/v1/apis/twice/generations").json) >= 2
        assert running.ask("GET", "/api/v1/apis/twice/logs").status == 200
        running.ask("DELETE", "/api/v1/apis/twice")

    def test_a_request_stands_in_its_history(self, running: Running, project: Path) -> None:
        running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": "seen"})
        assert running.ask("GET", "/ana/seen/path?q=1", token=None).status == 200
        rows = wait_for(lambda: running.ask("GET", "/api/v1/apis/seen/requests").json)
        assert [(row["method"], row["status"]) for row in rows] == [("GET", 200)]
        running.ask("DELETE", "/api/v1/apis/seen")

    def test_the_templates_are_there(self, running: Running) -> None:
        names = {one["name"] for one in running.ask("GET", "/api/v1/templates").json}
        assert {"python", "python-function", "node", "node-express", "go"} <= names


class TestRefusals:
    @pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v2/apis", "/executor/nothing", "/docs/nothing"])
    def test_an_unknown_path_is_a_problem(self, running: Running, path: str) -> None:
        answer = running.ask("GET", path)
        assert (answer.status, answer.headers["content-type"]) == (404, PROBLEM)
        assert answer.json["code"] == "not_found"
        assert answer.json["instance"] == path
        assert "/docs" in answer.json["hint"]

    def test_a_wrong_method_names_the_right_ones(self, running: Running) -> None:
        answer = running.ask("PUT", "/api/v1/server")
        assert (answer.status, answer.headers["content-type"]) == (405, PROBLEM)
        assert answer.headers["allow"] == "GET"

    def test_an_unknown_api_says_what_could_be_meant(self, running: Running, project: Path) -> None:
        running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": "weather", "start": False})
        answer = running.ask("GET", "/api/v1/apis/wether")
        assert (answer.status, answer.headers["content-type"]) == (404, PROBLEM)
        assert answer.json["code"] == "api_not_found"
        assert "weather" in answer.json["hint"]
        running.ask("DELETE", "/api/v1/apis/weather")

    def test_every_mistake_of_a_body_is_told_at_once(self, running: Running) -> None:
        answer = running.ask("POST", "/api/v1/apis", {"name": 7, "start": "perhaps", "colour": "red"})
        assert (answer.status, answer.headers["content-type"]) == (422, PROBLEM)
        where = {mistake["where"] for mistake in answer.json["mistakes"]}
        assert where == {"body.directory", "body.name", "body.start", "body.colour"}
        assert all(mistake["message"] for mistake in answer.json["mistakes"])
        for place in where:
            assert place in answer.json["detail"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many"])
    def test_a_query_beyond_its_bounds_is_told(self, running: Running, query: str) -> None:
        answer = running.ask("GET", f"/api/v1/apis/any/requests?{query}")
        assert answer.status == 422
        assert answer.json["mistakes"][0]["where"] == "query.limit"

    @pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b"null", b""])
    def test_a_body_that_is_no_json_object_is_told(self, running: Running, body: bytes) -> None:
        answer = running.ask("POST", "/api/v1/apis/scaffold", body)
        assert (answer.status, answer.headers["content-type"]) == (422, PROBLEM)
        assert answer.json["code"] == "invalid_request"

    def test_a_form_as_a_page_could_send_it_is_refused(self, running: Running) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = running.ask("POST", "/api/v1/apis", b'{"directory": "/"}', headers=form)
        assert answer.status == 422

    def test_what_nobody_expected_says_no_traceback(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        async def fail() -> None:
            raise RuntimeError("the secret is 4711")

        def add(app: FastAPI) -> None:
            app.add_api_route("/api/v1/failing", fail)

        with serving(tmp_path / "home", add) as running:
            answer = running.ask("GET", "/api/v1/failing")
            assert running.ask("GET", "/health").status == 200
        assert (answer.status, answer.headers["content-type"]) == (500, PROBLEM)
        assert answer.json["code"] == "internal"
        assert b"4711" not in answer.body
        assert b"Traceback" not in answer.body
        assert "the secret is 4711" in caplog.text


class TestConsole:
    def test_the_root_leads_to_it(self, running: Running) -> None:
        answer = running.ask("GET", "/", token=None)
        assert (answer.status, answer.headers["location"]) == (307, "/docs")

    def test_it_needs_no_network(self, running: Running) -> None:
        page = running.ask("GET", "/docs", token=None).body.decode()
        assert re.findall(r"https?://[^\s\"'<]+", page) == []
        wanted = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
        assert wanted
        for path in wanted:
            answer = running.ask("GET", path, token=None)
            assert (path, answer.status, bool(answer.body)) == (path, 200, True)
