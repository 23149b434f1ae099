"""Operations of an OpenAPI document, filled with examples; documents that are none, odd or hostile."""

import json
from typing import Any

import pytest

from apimarket_tui.operations import MOST, NoOperations, base_of, operations_of


def a_document(paths: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"openapi": "3.1.0", "info": {}, "paths": paths} | more).encode()


WEATHER = a_document(
    {
        "/stations/{id}/{day}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "example": "a/b"}
            ],
            "get": {
                "summary": "One station",
                "parameters": [
                    {"$ref": "#/components/parameters/units"},
                    {"name": "q", "in": "query", "required": True, "schema": {"enum": ["oslo", "bergen"]}},
                    {"name": "X-Lang", "in": "header", "schema": {"default": "nb"}},
                    {"name": "day", "in": "path", "required": True, "schema": {"type": "string"}},
                ],
            },
            "post": {
                "operationId": "report",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Report"}}}},
            },
        }
    },
    components={
        "parameters": {"units": {"name": "units", "in": "query", "schema": {"type": "string", "default": "metric"}}},
        "schemas": {
            "Report": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "example": "oslo"},
                    "at": {"type": "string", "format": "date-time"},
                    "wind": {"type": "array", "items": {"type": "number", "minimum": 2}},
                    "rain": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                    "again": {"$ref": "#/components/schemas/Report"},
                },
            }
        },
    },
)


class TestReading:
    def test_parameters_are_filled_with_examples(self) -> None:
        get, post = operations_of(WEATHER)
        assert (get.method, get.path, get.title) == ("GET", "/stations/a%2Fb/{day}", "One station")
        assert get.query == "# units=metric\nq=oslo"
        assert get.headers == "# X-Lang: nb"
        assert (post.method, post.title, post.headers) == ("POST", "report", "Content-Type: application/json")

    def test_a_body_is_made_up_of_its_schema_and_ends(self) -> None:
        body = json.loads(operations_of(WEATHER)[1].body)
        assert {key: body[key] for key in ("city", "at", "wind", "rain")} == {
            "city": "oslo",
            "at": "2026-01-31T12:00:00Z",
            "wind": [2],
            "rain": True,
        }
        assert body["again"]["city"] == "oslo"

    def test_an_example_of_the_media_type_goes_before_the_schema(self) -> None:
        content = {"application/json": {"examples": {"one": {"value": {"a": 1}}}, "schema": {"type": "string"}}}
        (one,) = operations_of(a_document({"/": {"put": {"requestBody": {"content": content}}}}))
        assert json.loads(one.body) == {"a": 1}


class TestOddOnes:
    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (b"openapi: 3.0.0", "no JSON"),
            (b"[" * 100_000, "no JSON"),
            (b"[]", "no OpenAPI document"),
            (b'{"openapi": "3.0.0"}', "no OpenAPI document"),
            (b'{"swagger": "2.0", "paths": {"/": {"get": {}}}}', "OpenAPI 3 is read, and that says '2.0'"),
            (a_document({}), "no operations"),
        ],
    )
    def test_what_is_none_says_so(self, text: bytes, why: str) -> None:
        with pytest.raises(NoOperations, match=why):
            operations_of(text)

    def test_parts_of_the_wrong_kind_are_passed_over(self) -> None:
        odd = a_document(
            {
                "/a": [],
                "/b": {"get": {"parameters": [7, {"$ref": "elsewhere.json#/x"}, {"$ref": "#/gone"}], "requestBody": 3}},
                "/c": {"get": {"parameters": {}, "requestBody": {"content": {"text/plain": None}}}, "post": "x"},
            }
        )
        assert [one.path for one in operations_of(odd)] == ["/b", "/c"]

    def test_a_loop_of_references_ends(self) -> None:
        loops = {"a": {"$ref": "#/components/schemas/b"}, "b": {"$ref": "#/components/schemas/a"}}
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/a"}}}
        document = a_document({"/": {"post": {"requestBody": {"content": content}}}}, components={"schemas": loops})
        assert operations_of(document)[0].body == "null"

    def test_there_is_an_end_to_what_is_taken(self) -> None:
        assert len(operations_of(a_document({f"/{n}": {"get": {}} for n in range(MOST + 5)}))) == MOST

    def test_nothing_in_it_reaches_the_terminal_that_should_not(self) -> None:
        (one,) = operations_of(a_document({"/\x1b[2J\n": {"get": {"summary": "a\x07\nb"}}}))
        assert (one.path, one.title) == ("/", "a b")


@pytest.mark.parametrize(
    ("servers", "base"),
    [
        (None, "http://host/ana/weather"),
        ([{"url": "/v2/"}], "http://host/v2"),
        ([{"url": "https://api.example/v1"}], "https://api.example/v1"),
        ([{"url": "https://{region}.example"}], "http://host/ana/weather"),
        ([], "http://host/ana/weather"),
        ([7], "http://host/ana/weather"),
    ],
)
def test_where_operations_are(servers: Any, base: str) -> None:
    document = a_document({}, **({"servers": servers} if servers is not None else {}))
    assert base_of(document, "http://host/ana/weather/openapi.json") == base
