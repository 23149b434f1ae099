"""The whole OpenAPI document against a real server: what it allows is taken, what it does not is refused, and nothing
is answered that it does not tell of.

Bounded and repeatable: so many examples an operation, the same ones each time. Data that the document allows meets real
APIs, keys and requests by their ids; data that it does not is sent as it comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from local_server.accounts import passwords
from local_server.app import create_control
from local_server.domain import packs
from tests.control.conftest import Running, operations, serving, wait_for

pytestmark = pytest.mark.slow

EXAMPLES = 30
"""Of each operation, allowed and not allowed each."""
LEFT_OUT = {
    "stop_server": "it would end the server that is tested",
    "events": "its answer has no end; tests/control/test_events.py reads it",
}
DESTRUCTIVE = {"remove_api", "upload_api"}
"""What they name is never the API that the others are tried on."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schemathesis.serializer.alias(packs.MEDIA_TYPE, "application/octet-stream")
SCHEMA = schemathesis.openapi.from_dict(create_control().openapi())
EACH = [
    pytest.param(method, path, id=f"{method} {path}")
    for method, path, operation in operations()
    if operation["operationId"] not in LEFT_OUT
]


LIMITED = [
    pytest.param(method, path, id=f"{method} {path}")
    for method, path, operation in operations()
    if operation["operationId"] not in LEFT_OUT and ("parameters" in operation or "requestBody" in operation)
]
"""Those that can be asked for something that the document does not allow."""
NOTHING_TO_DO = {
    "undo": "there is one generation",
    "read_conflict": "nothing was published apart",
    "search_copy": "no marketplace is known",
    "forget_copy": "nothing was copied",
    "read_file": "no file has the name that was thought of",
}
"""Refused although all that they name exists."""


@dataclass
class Subject:
    """A server, and the ids of what there is on it."""

    server: Running
    ids: dict[str, str]

    def call(self, case: Case) -> int:
        """Send it as the machine's owner, and look at the answer; returns its status."""
        _keep_home(case, self.server.home.parent / "projects")
        headers = {"Authorization": f"Bearer {self.server.token}"}
        answer = case.call_and_validate(
            base_url=f"http://127.0.0.1:{self.server.port}", headers=headers, checks=CHECKS, timeout=20
        )
        return int(answer.status_code)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    home = tmp_path_factory.mktemp("schemathesis") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        with serving(home) as server:
            directory = home.parent / "projects" / "hello"
            directory.mkdir(parents=True)
            (directory / "main.py").write_text("def handler(request):\n    return {}\n")
            (directory / "answer.txt").write_text("hello")
            api = server.ask("POST", "/api/v1/apis", {"directory": str(directory)}).json
            wait_for(lambda: server.ask("GET", "/api/v1/apis/hello").json["serving"])
            key = server.ask("POST", "/api/v1/apis/hello/keys", {"name": "one"}).json["info"]["id"]
            made = {"version": "1.0.0", "weight": 0, "channel": "beta"}
            assert server.ask("POST", "/api/v1/apis/hello/deploy", made).status == 202
            wait_for(lambda: server.ask("GET", "/api/v1/apis/hello/channels").json["channels"].get("beta"))
            yield Subject(server, {"id": api["id"], "key_id": key, "version": "1.0.0", "name": "beta"})


@pytest.fixture(autouse=True)
def _kept_request(subject: Subject) -> None:
    """A fresh one each time: one of the operations forgets them all."""
    subject.ids["request_id"] = subject.server.ask("GET", "/ana/hello/", token=None).headers.get("x-request-id", "")


def _keep_home(case: Case, projects: Path) -> None:
    """Whatever directory was thought of, it is one of the test's; and nobody waits for what will not happen."""
    if case.operation.path.endswith("/sync/changes"):
        case.query = {**(case.query or {}), "wait": "0"}
    if isinstance(case.body, dict) and isinstance(case.body.get("directory"), str):
        inside = case.body["directory"].replace("..", "__").lstrip("/~")
        case.body = {**case.body, "directory": f"{projects}/{inside}"}


def explore(subject: Subject, cases: st.SearchStrategy[Case]) -> list[int]:
    """The statuses that were answered."""
    statuses: list[int] = []

    @seed(3)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def run(case: Case) -> None:
        statuses.append(subject.call(case))

    run()
    return statuses


class TestEachOperation:
    @pytest.mark.parametrize(("method", "path"), EACH)
    def test_what_the_document_allows(self, subject: Subject, method: str, path: str) -> None:
        operation = SCHEMA[path][method]
        known: dict[str, Any] = {}
        name = operation.definition.raw["operationId"]
        if name not in DESTRUCTIVE:
            known = {part: value for part, value in subject.ids.items() if f"{{{part}}}" in path}
        statuses = explore(subject, operation.as_strategy(path_parameters=known or None))
        # What a body has to hold is more than a document can tell.
        if "requestBody" not in operation.definition.raw and path.count("{") == len(known):
            assert any(status < 400 for status in statuses) is not (name in NOTHING_TO_DO), statuses

    @pytest.mark.parametrize(("method", "path"), LIMITED)
    def test_what_it_does_not(self, subject: Subject, method: str, path: str) -> None:
        operation = SCHEMA[path][method]
        try:
            statuses = explore(subject, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        except Unsatisfiable:
            # Any text is allowed as a part of a path: there is nothing that is not.
            given = operation.definition.raw
            assert {parameter["in"] for parameter in given["parameters"]} == {"path"}
            assert "requestBody" not in given
            return
        assert any(400 <= status < 500 for status in statuses), statuses


class TestLeftOut:
    def test_what_is_left_out_exists(self) -> None:
        names = {operation["operationId"] for _, _, operation in operations()}
        assert set(LEFT_OUT) | set(NOTHING_TO_DO) | DESTRUCTIVE <= names
