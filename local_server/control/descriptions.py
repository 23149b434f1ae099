"""What the members and parameters of the control API mean, for its OpenAPI document.

The members of the wire's models are described where they stand, by the string below each; parameters, of which most
routes share a few, in one table here.
"""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from local_server import wire

PARAMETERS = {
    "after": "The `next` of the page before.",
    "apis": "Stop the APIs too; else, under Docker, they run on.",
    "base": "A tree that the caller has: only what differs from it is told.",
    "before": "The `next` of the page before.",
    "category": "Only of this category.",
    "generation": "Only what this generation answered; 0: none did.",
    "id": "An API: its id, `owner/name`, or of one's own the `name`.",
    "idempotency-key": "Of the caller's making: sent again within 24 hours, the call counts as the same.",
    "if-none-match": "The ETag of what the caller has: 304 where it is still so.",
    "key_id": "The id of a key, from the list of them.",
    "limit": "At most so many.",
    "method": "Only this method.",
    "min_rating": "Only what is rated so at least.",
    "name": "The name of the channel, or of the secret.",
    "op": "The id of what is to be published, as its sender chose it.",
    "outcome": "Only what ended so.",
    "owner": "The handle of an API's owner.",
    "q": "Only those whose name, summary or tags hold these words.",
    "remote": "The address of a marketplace; may be left out where there is one.",
    "replace": "Forget files of the API that the upload does not hold.",
    "request_id": "The id of a request, as in X-Request-Id.",
    "reviewer": "The handle of who wrote the review.",
    "runtime": "Only in this language: python, node or go.",
    "semver": "A version, as 1.2.0.",
    "sha256": "The SHA-256 of a file's content, in hexadecimal.",
    "signer": "The id of a signing key.",
    "since": "Only what came later.",
    "slug": "The name of an API, without its owner's.",
    "sort": "By what they are ordered.",
    "status": "Only this class of status.",
    "subscription": "The id of a subscription.",
    "token_id": "The id of an access token.",
    "topics": "Only events of these topics, separated by commas.",
    "tree": "The digest of a tree of files.",
    "upload": "The id of an upload that was begun.",
    "upload-offset": "How many bytes of the file are there already.",
    "version": "A version, as 1.2.0.",
    "window": "How far back.",
}


def describe(document: dict[str, Any]) -> None:
    """Adds what is missing; what a route or model says of its own accord stays."""
    for name, members in _models():
        for member, said in document["components"]["schemas"].get(name, {}).get("properties", {}).items():
            if member in members:
                said.setdefault("description", members[member])
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in PARAMETERS:
                    parameter.setdefault("description", PARAMETERS[parameter["name"]])


def _models() -> Iterator[tuple[str, dict[str, str]]]:
    """The wire's models by name, and what they say of their members, inherited ones included."""
    models = list(BaseModel.__subclasses__())
    for model in models:
        models += model.__subclasses__()
        if model.__module__.startswith(wire.__name__ + "."):
            members: dict[str, str] = {}
            for part in reversed(model.__mro__):
                module = inspect.getmodule(part)
                if module is not None and module.__name__.startswith(wire.__name__ + "."):
                    members |= _said_in(module).get(part.__name__, {})
            yield model.__name__, members


@cache
def _said_in(module: ModuleType) -> dict[str, dict[str, str]]:
    """Class -> attribute -> the string below it. Pydantic can read them itself, but does so at every import."""
    classes = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]
    return {node.name: dict(_attributes(node)) for node in classes}


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for before, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield before.target.id, inspect.cleandoc(text)
