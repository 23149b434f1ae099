"""The OpenAPI document: what FastAPI derives from the routes, and beside it what each part of the API is about, what
each member means, how a body looks, and the errors, which have one shape here."""

import asyncio
import pkgutil
import re
import threading
from collections import defaultdict
from importlib import import_module
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from local_server import domain
from local_server.control.descriptions import describe
from local_server.control.examples import EXAMPLES
from local_server.domain.errors import ApimarketError
from local_server.wire.problems import MEDIA_TYPE, Problem

MOST_SUMMARY_CHARS = 80
INTRODUCTION = """\
Everything that the terminal UI and the command line do, for programs.

**Who may call.** `Authorization: Bearer TOKEN`: the token in `$APIMARKET_HOME/token` is the machine owner's and opens
everything; a session's (`POST /api/v1/auth/login`) opens what is its account's own. What is another's does not exist.

**Refusals** are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems, `application/problem+json`: `code` is
stable, `detail` says what was found and what is allowed, `hint` what to do next. All codes stand at `Problem`.

**Times** are ISO 8601 in UTC. **Pages** have a `next`: give it back as the parameter that says so; null ends them.
Members may be added to answers at any time; none is taken away."""

TAGS = {
    "apis": "APIs that are registered here: where they come from, and what they say of themselves.",
    "executor": "Start, stop, undo; how an API is doing, what it printed.",
    "versions": "Immutable versions beside the directory, and which of them the traffic leads to.",
    "accounts": "Who somebody is, and sessions.",
    "keys": "Keys with which an API is called.",
    "files": "What an API is made of, what is left out of it, and what its manifest comes to.",
    "secrets": "Values that a program gets in its environment, and that nothing shows again.",
    "analytics": "Requests counted, and one by one.",
    "inspector": "The last requests whole: to read, to send again, to compare.",
    "marketplace": "Find public APIs, subscribe to them, review them.",
    "publishing": "What this machine publishes, and what it pulls.",
    "sync": "The protocol between a machine and the marketplace that it publishes to.",
    "server": "The server itself, and its events.",
    "executor service": "The executor by the paths of a service of its own.",
    "analytics service": "Analytics by the paths of a service of its own.",
    "health": "Whether the server lives, and its figures for Prometheus.",
}
"""In the order in which they are shown."""

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
    """From now on `app.openapi()` tells all that this module knows. Can be called from any thread."""
    derive = app.openapi
    one_at_a_time = threading.Lock()

    def openapi() -> dict[str, Any]:
        with one_at_a_time:
            if app.openapi_schema is None:
                _complete(derive())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    _serve_from_a_thread(app)


def _serve_from_a_thread(app: FastAPI) -> None:
    """The first time it takes most of a second to derive, in which the event loop must go on carrying traffic."""
    path = app.openapi_url
    assert path is not None
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) != path]

    async def document(request: Request) -> JSONResponse:
        return JSONResponse(await asyncio.to_thread(app.openapi))

    app.add_route(path, document, include_in_schema=False)


def _complete(document: dict[str, Any]) -> None:
    document["info"]["description"] = INTRODUCTION
    document["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
    _add_problems(document)
    describe(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["summary"] = _summary(operation["description"])
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None and operation["operationId"] in EXAMPLES:
                body["example"] = EXAMPLES[operation["operationId"]]


def _summary(description: str) -> str:
    """The first sentence; where that is long, without what it adds behind a colon or semicolon."""
    sentence = re.split(r"\.(?:\s|$)", description)[0].replace("\n", " ")
    return sentence if len(sentence) <= MOST_SUMMARY_CHARS else re.split("[:;] ", sentence)[0]


def _add_problems(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for derived in ("HTTPValidationError", "ValidationError"):
        schemas.pop(derived, None)
    schemas["Problem"] = Problem.model_json_schema()
    schemas["Problem"]["properties"]["code"]["description"] = "Stable, for programs.\n\n" + _codes()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            statuses = ["401"] if operation.get("security") else []
            statuses += ["404"] if "{" in path else []
            statuses += ["422"] if "422" in responses else []
            responses.update({status: _problem(status) for status in [*statuses, "default"]})


def _codes() -> str:
    """Every code there is, by its status."""
    for module in pkgutil.iter_modules(domain.__path__):
        import_module(f"{domain.__name__}.{module.name}")
    codes = defaultdict(set)
    errors = [ApimarketError]
    for error in errors:
        errors += error.__subclasses__()
        if error.__module__.startswith(domain.__name__):
            codes[error.status].add(error.code)
    return "\n".join(f"* {status}: {', '.join(sorted(found))}" for status, found in sorted(codes.items()))


def _problem(status: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    answer: dict[str, Any] = {"description": _REASONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
    if status == "401":
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return answer
