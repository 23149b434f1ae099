"""The OpenAPI document: what FastAPI derives from the routes, and beside it the errors, which have one shape here."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from local_server.wire.problems import MEDIA_TYPE, Problem

_REASONS = {
    "401": "The token is missing or wrong",
    "404": "There is no such thing",
    "422": "The request is not as it should be",
    "default": "Any other refusal",
}


def operation_id(route: APIRoute) -> str:
    """The name of a route's function: short, and stable for clients that are generated from the document."""
    return route.name


def document_problems(app: FastAPI) -> None:
    """From now on `app.openapi()` tells of each operation which problems it answers with."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_problems(derive())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_problems(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for derived in ("HTTPValidationError", "ValidationError"):
        schemas.pop(derived, None)
    schemas["Problem"] = Problem.model_json_schema()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            statuses = ["401"] if operation.get("security") else []
            statuses += ["404"] if "{" in path else []
            statuses += ["422"] if "422" in responses else []
            responses.update({status: _problem(status) for status in [*statuses, "default"]})


def _problem(status: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    answer: dict[str, Any] = {"description": _REASONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
    if status == "401":
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return answer
