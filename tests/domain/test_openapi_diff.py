"""Which changes of a contract break its callers, rule by rule, and the version numbers they ask for."""

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from local_server.domain.contract_changes import Bump, Change, Severity, bump_of, comes_after, next_version
from local_server.domain.openapi_diff import MAX_CHANGES, contract_changes

Json = dict[str, Any]

DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {"title": "items", "version": "1.0.0"},
    "paths": {
        "/items/{id}": {
            "get": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}},
                    {"name": "sort", "in": "query", "schema": {"enum": ["asc", "desc"]}},
                ],
                "responses": {
                    "200": {
                        "headers": {"X-Total": {"required": True}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}},
                    },
                    "404": {},
                },
            },
            "put": {
                "security": [{"key": []}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}},
                "responses": {"204": {}},
            },
            "delete": {"deprecated": True, "responses": {"204": {}}},
        },
        "/old": {"get": {"responses": {"200": {}}}},
    },
    "components": {
        "schemas": {
            "Item": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 20},
                    "price": {"type": ["number", "null"]},
                    "state": {"enum": ["new", "used"]},
                    "parent": {"$ref": "#/components/schemas/Item"},
                },
            }
        }
    },
}

GET, PUT, DELETE = (("paths", "/items/{id}", method) for method in ("get", "put", "delete"))
ITEM = ("components", "schemas", "Item")
REMOVE: Any = type("Removal", (), {"__repr__": lambda _: "REMOVE"})()


def edited(path: tuple[Any, ...], value: Any) -> Json:
    """DOCUMENT with `value` at `path`."""
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if value is REMOVE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def rules(old: Json, new: Json) -> dict[str, Severity]:
    return {change.rule: change.severity for change in contract_changes(old, new)}


ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
QUERY = {"name": "q", "in": "query", "schema": {"type": "string"}}

# (what is edited, to what, the rules of it, and those of the way back)
CASES: list[tuple[tuple[Any, ...], Any, dict[str, Severity], dict[str, Severity]]] = [
    (("paths", "/old"), REMOVE, {"api-path-removed-without-deprecation": ERROR}, {"endpoint-added": INFO}),
    (PUT, REMOVE, {"api-removed-without-deprecation": ERROR}, {"endpoint-added": INFO}),
    (DELETE, REMOVE, {"api-removed-with-deprecation": INFO}, {"endpoint-added": INFO}),
    ((*GET, "deprecated"), True, {"endpoint-deprecated": INFO}, {}),
    ((*GET, "parameters", 1), QUERY, {"new-optional-request-parameter": INFO, "request-parameter-removed": WARNING},
     {"new-optional-request-parameter": INFO, "request-parameter-removed": WARNING}),
    ((*GET, "parameters", 1, "required"), True, {"request-parameter-became-required": ERROR}, {}),
    ((*GET, "parameters", 1, "schema", "maximum"), 50, {"request-parameter-max-decreased": ERROR},
     {"request-parameter-max-increased": INFO}),
    ((*GET, "parameters", 1, "schema", "maximum"), REMOVE, {"request-parameter-max-unset": INFO},
     {"request-parameter-max-set": ERROR}),
    ((*GET, "parameters", 1, "schema", "type"), "number", {"request-parameter-type-changed": INFO},
     {"request-parameter-type-changed": ERROR}),
    ((*GET, "parameters", 2, "schema", "enum"), ["asc"], {"request-parameter-enum-value-removed": ERROR},
     {"request-parameter-enum-value-added": INFO}),
    ((*GET, "parameters", 2, "schema", "pattern"), "^a", {"request-parameter-pattern-added": WARNING},
     {"request-parameter-pattern-removed": INFO}),
    ((*GET, "security"), [{"key": []}], {"api-security-added": ERROR}, {}),
    ((*PUT, "security"), [{"key": ["write"]}], {"api-security-scope-added": ERROR}, {}),
    ((*PUT, "security"), [{"token": []}], {"api-security-removed": ERROR}, {"api-security-removed": ERROR}),
    ((*PUT, "security"), [{"key": []}, {"token": []}], {}, {"api-security-removed": ERROR}),
    ((*PUT, "requestBody"), REMOVE, {"request-body-removed": WARNING}, {"request-body-added-optional": INFO}),
    ((*PUT, "requestBody", "required"), True, {"request-body-became-required": ERROR}, {}),
    ((*PUT, "requestBody", "content"), {}, {"request-body-media-type-removed": ERROR},
     {"request-body-media-type-added": INFO}),
    ((*GET, "responses", "200"), REMOVE, {"response-success-status-removed": ERROR},
     {"response-success-status-added": INFO}),
    ((*GET, "responses", "404"), REMOVE, {"response-non-success-status-removed": INFO},
     {"response-non-success-status-added": INFO}),
    ((*GET, "responses", "200", "content"), {}, {"response-media-type-removed": ERROR},
     {"response-media-type-added": INFO}),
    ((*GET, "responses", "200", "headers"), {}, {"required-response-header-removed": ERROR}, {}),
    # The same schema in both directions.
    ((*ITEM, "required"), ["name", "state"],
     {"request-property-became-required": ERROR, "response-property-became-required": INFO},
     {"request-property-became-optional": INFO, "response-property-became-optional": ERROR}),
    ((*ITEM, "properties", "name"), REMOVE,
     {"request-property-removed": WARNING, "response-required-property-removed": ERROR},
     {"new-required-request-property": ERROR, "response-required-property-added": INFO}),
    ((*ITEM, "properties", "price"), REMOVE,
     {"request-property-removed": WARNING, "response-optional-property-removed": WARNING},
     {"new-optional-request-property": INFO, "response-optional-property-added": INFO}),
    ((*ITEM, "properties", "price", "type"), "number",
     {"request-property-became-not-nullable": ERROR, "response-property-became-not-nullable": INFO},
     {"request-property-became-nullable": INFO, "response-property-became-nullable": ERROR}),
    ((*ITEM, "properties", "name", "type"), "integer",
     {"request-property-type-changed": ERROR, "response-property-type-changed": ERROR},
     {"request-property-type-changed": ERROR, "response-property-type-changed": ERROR}),
    ((*ITEM, "properties", "state", "enum"), ["new", "used", "lost"],
     {"request-property-enum-value-added": INFO, "response-property-enum-value-added": WARNING},
     {"request-property-enum-value-removed": ERROR, "response-property-enum-value-removed": INFO}),
    ((*ITEM, "properties", "name", "maxLength"), 10,
     {"request-property-max-length-decreased": ERROR, "response-property-max-length-decreased": INFO},
     {"request-property-max-length-increased": INFO, "response-property-max-length-increased": ERROR}),
    ((*ITEM, "properties", "name", "readOnly"), True,
     {"request-property-removed": WARNING}, {"new-required-request-property": ERROR}),
]  # fmt: skip


class TestContractChanges:
    @pytest.mark.parametrize(("path", "value", "there", "back"), CASES, ids=lambda part: str(part)[:60])
    def test_each_rule(
        self, path: tuple[Any, ...], value: Any, there: dict[str, Severity], back: dict[str, Severity]
    ) -> None:
        changed = edited(path, value)
        assert rules(DOCUMENT, changed) == there
        assert rules(changed, DOCUMENT) == back

    def test_a_document_has_no_changes_to_itself(self) -> None:
        assert contract_changes(DOCUMENT, copy.deepcopy(DOCUMENT)) == ()

    def test_the_name_of_a_parameter_in_the_path_is_nobodys_business(self) -> None:
        renamed = copy.deepcopy(DOCUMENT)
        item = renamed["paths"].pop("/items/{id}")
        item["get"]["parameters"][0]["name"] = "item_id"
        renamed["paths"]["/items/{item_id}"] = item
        assert contract_changes(DOCUMENT, renamed) == ()

    def test_what_breaks_comes_first(self) -> None:
        changed = edited((*ITEM, "properties", "name"), REMOVE)
        severities = [change.severity for change in contract_changes(DOCUMENT, changed)]
        assert severities == sorted(severities, key=list(Severity).index)

    def test_an_alternative_more_in_an_answer_breaks_and_in_a_request_does_not(self) -> None:
        one, two = {"type": "string"}, {"type": "integer"}
        old = edited((*ITEM, "properties", "name"), {"anyOf": [one, two]})
        new = edited((*ITEM, "properties", "name"), {"anyOf": [one, two, {"type": "boolean"}]})
        assert rules(old, new) == {"request-property-any-of-added": INFO, "response-property-any-of-added": ERROR}
        assert rules(new, old) == {"request-property-any-of-removed": ERROR, "response-property-any-of-removed": INFO}

    def test_two_spellings_of_one_schema_are_the_same(self) -> None:
        old = edited((*ITEM, "properties", "price"), {"type": "number", "nullable": True})
        new = edited((*ITEM, "properties", "price"), {"anyOf": [{"type": "number"}, {"type": "null"}]})
        split = edited(
            ITEM, {"allOf": [DOCUMENT["components"]["schemas"]["Item"], {"type": "object", "properties": {}}]}
        )
        assert contract_changes(old, new) == ()
        assert contract_changes(DOCUMENT, split) == ()

    def test_thousands_of_changes_are_cut(self) -> None:
        many = {"paths": {f"/{number}": {"get": {}} for number in range(MAX_CHANGES * 2)}}
        assert len(contract_changes(many, {})) == MAX_CHANGES

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.sampled_from(["#/paths", "object", "/a", "2xx"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["paths", "/a", "get", "parameters", "schema", "$ref", "properties", "allOf", "anyOf", "type",
                         "required", "items", "enum", "security", "responses", "content", "requestBody", "headers"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=25,
        ),
    )  # fmt: skip
    def test_no_document_however_wrong_is_an_error(self, document: Any) -> None:
        wrong = {"paths": {"/a": {"get": document, "parameters": document}}, "security": document}
        assert isinstance(contract_changes(wrong, DOCUMENT), tuple)
        assert isinstance(contract_changes(DOCUMENT, wrong), tuple)
        assert contract_changes(wrong, wrong) == ()


class TestRealDocuments:
    @pytest.fixture
    def made(self) -> Callable[..., Json]:
        def document(model: type[BaseModel], path: str = "/items") -> Json:
            app = FastAPI()

            @app.post(path)
            def post(item: model) -> model:  # type: ignore[valid-type]
                return item

            return app.openapi()

        return document

    def test_an_optional_field_more_asks_for_a_minor_version(self, made: Callable[..., Json]) -> None:
        class Item(BaseModel):
            name: str

        old = made(Item)

        class Item(BaseModel):  # type: ignore[no-redef]
            name: str
            note: str | None = None

        changes = contract_changes(old, made(Item))
        assert bump_of(changes) is Bump.MINOR

    def test_a_required_field_more_asks_for_a_major_version(self, made: Callable[..., Json]) -> None:
        class Item(BaseModel):
            name: str

        old = made(Item)

        class Item(BaseModel):  # type: ignore[no-redef]
            name: str
            price: int

        changes = contract_changes(old, made(Item))
        assert [change.rule for change in changes if change.severity is ERROR] == ["new-required-request-property"]
        assert bump_of(changes) is Bump.MAJOR


class TestVersions:
    @pytest.mark.parametrize(
        ("current", "major", "minor", "patch"),
        [
            ("1.2.3", "2.0.0", "1.3.0", "1.2.4"),
            ("0.2.3", "0.3.0", "0.2.4", "0.2.4"),
            ("2.0.0-beta.1", "2.0.0", "2.0.0", "2.0.0"),
            ("1.3.0-rc.1", "2.0.0", "1.3.0", "1.3.0"),
            ("1.2.4-rc.1", "2.0.0", "1.3.0", "1.2.4"),
            ("1.2.3+build.7", "2.0.0", "1.3.0", "1.2.4"),
        ],
    )
    def test_the_next_number(self, current: str, major: str, minor: str, patch: str) -> None:
        found = [next_version(current, bump) for bump in (Bump.MAJOR, Bump.MINOR, Bump.PATCH)]
        assert found == [major, minor, patch]

    def test_they_are_ordered_as_the_specification_has_it(self) -> None:
        """The example of semver.org, 11."""
        texts = (
            "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.10"
        )
        ordered = texts.split()
        for first, second in itertools.combinations(ordered, 2):
            assert comes_after(second, first)
            assert not comes_after(first, second)
        assert not comes_after("1.0.0+a", "1.0.0+b")

    def test_what_is_no_version_has_no_next(self) -> None:
        with pytest.raises(ValueError, match="no version"):
            next_version("latest", Bump.PATCH)

    @pytest.mark.parametrize(
        ("severities", "bump"),
        [([], Bump.PATCH), ([INFO], Bump.MINOR), ([WARNING], Bump.MINOR), ([INFO, ERROR], Bump.MAJOR)],
    )
    def test_the_worst_change_decides(self, severities: list[Severity], bump: Bump) -> None:
        assert bump_of([Change("rule", severity, "GET /", "is") for severity in severities]) is bump
