"""docs/openapi.json is what the server serves, and tells everything that a client has to know."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from local_server.wire.problems import MEDIA_TYPE
from tests.control.conftest import Running, document, operations

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
EACH = [pytest.param(operation, id=f"{method} {path}") for method, path, operation in operations()]


class TestDocument:
    def test_the_committed_one_is_the_applications(self) -> None:
        committed, actual = json.loads(COMMITTED.read_text()), document()
        parts = [(each["paths"] | each["components"]["schemas"]) for each in (committed, actual)]
        changed = sorted(name for name in {*parts[0], *parts[1]} if parts[0].get(name) != parts[1].get(name))
        assert changed == [], "The control API changed. Renew its document with: scripts/openapi"
        assert committed == actual, "The control API changed. Renew its document with: scripts/openapi"

    def test_the_server_serves_it_without_a_token(self, running: Running) -> None:
        answer = running.ask("GET", "/openapi.json", token=None)
        assert answer.status == 200
        assert answer.json == document()

    def test_operation_ids_are_unique_and_short(self) -> None:
        names = [operation["operationId"] for _, _, operation in operations()]
        assert len(set(names)) == len(names)
        assert [name for name in names if len(name) > 30] == []

    def test_every_reference_leads_somewhere(self) -> None:
        whole = document()
        found = set(_references(whole))
        assert found
        assert {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]} == found

    def test_every_code_of_a_refusal_is_there(self) -> None:
        said = document()["components"]["schemas"]["Problem"]["properties"]["code"]["description"]
        by_status = dict(line.split(": ") for line in said.splitlines() if line.startswith("* "))
        assert {"key_refused", "token_required"} <= set(by_status["* 401"].split(", "))
        assert "circuit_open" in by_status["* 503"]

    def test_every_part_of_it_is_introduced_and_used(self) -> None:
        whole = document()
        used = {tag for _, _, operation in operations() for tag in operation["tags"]}
        assert used == {tag["name"] for tag in whole["tags"]}
        assert all(tag["description"].endswith(".") for tag in whole["tags"])
        assert "problem+json" in whole["info"]["description"]

    def test_members_say_what_the_wire_says_of_them(self) -> None:
        schemas = document()["components"]["schemas"]
        assert schemas["KeyView"]["properties"]["prefix"]["description"] == "How it begins."
        inherited = schemas["ExchangeView"]["properties"]["generation"]["description"]
        assert inherited == schemas["ExchangeSummary"]["properties"]["generation"]["description"]


class TestEachOperation:
    @pytest.mark.parametrize("operation", EACH)
    def test_says_of_each_parameter_what_it_means(self, operation: dict[str, Any]) -> None:
        parameters = operation.get("parameters", [])
        assert [each["name"] for each in parameters if not each.get("description", "").endswith((".", ")"))] == []

    @pytest.mark.parametrize("operation", EACH)
    def test_shows_a_body_that_it_takes(self, operation: dict[str, Any]) -> None:
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            schema = body["schema"] | {"components": document()["components"]}
            jsonschema_rs.validate(schema, body["example"])

    @pytest.mark.parametrize("operation", EACH)
    def test_says_what_it_does(self, operation: dict[str, Any]) -> None:
        assert operation["summary"]
        assert operation["description"].endswith((".", ")"))
        assert operation["description"].replace("\n", " ").startswith(operation["summary"])

    @pytest.mark.parametrize("operation", EACH)
    def test_tells_its_refusals_as_problems(self, operation: dict[str, Any]) -> None:
        refusals = {status: answer for status, answer in operation["responses"].items() if status[0] in "4d"}
        assert "default" in refusals
        assert ("401" in refusals) == ("security" in operation)
        for answer in refusals.values():
            assert answer["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

    @pytest.mark.parametrize(
        "operation", [pytest.param(each[2], id=f"{each[0]} {each[1]}") for each in operations() if "{" in each[1]]
    )
    def test_on_one_thing_says_that_there_may_be_none(self, operation: dict[str, Any]) -> None:
        assert "404" in operation["responses"]


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in _references(value)]
    if isinstance(part, list):
        return [found for value in part for found in _references(value)]
    return []
