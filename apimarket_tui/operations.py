"""The operations of an OpenAPI document, each as a request that is filled with examples. Pure; bounded in all it takes.

https://spec.openapis.org/oas/v3.1.0
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

from apimarket_tui.clean import one_line

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
MOST = 2_000
DEEPEST = 6
"""Levels of an example that is made up from a schema."""
WIDEST = 40
"""Members of one."""


class NoOperations(ValueError):
    """Why there is nothing to choose from."""


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    """With examples in the place of its parameters, and `{name}` where there is none."""
    title: str
    query: str
    """One `name=value` a line; those that may be left out behind a `#`."""
    headers: str
    body: str


def operations_of(text: bytes) -> list[Operation]:
    """In the document's order. Raises NoOperations."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise NoOperations("That is no JSON; of OpenAPI, documents in JSON are read") from None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise NoOperations("That is no OpenAPI document: it has no paths")
    if str(document.get("openapi", "")).partition(".")[0] != "3":
        raise NoOperations(f"OpenAPI 3 is read, and that says {one_line(str(document.get('swagger', 'nothing')))!r}")
    found = list(_operations(document))[:MOST]
    if not found:
        raise NoOperations("That document has no operations")
    return found


def base_of(text: bytes, url: str) -> str:
    """Where the operations are: what the document says of its server, else the directory that it was found in."""
    try:
        servers = json.loads(text).get("servers")
        said = servers[0]["url"] if servers else "."
    except (ValueError, AttributeError, LookupError, TypeError):
        said = "."
    joined = urljoin(url, said if isinstance(said, str) and "{" not in said else ".")
    return one_line(joined).rstrip("/")


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        if not isinstance(item, dict):
            continue
        for method in METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                shared = item.get("parameters")
                yield _operation(document, str(path), method, operation, shared if isinstance(shared, list) else [])


def _operation(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], shared: list[Any]
) -> Operation:
    own = operation.get("parameters")
    parameters: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in (*shared, *(own if isinstance(own, list) else [])):
        found = _resolved(document, one)
        parameters[str(found.get("in")), str(found.get("name"))] = found
    query, headers = [], []
    for (place, name), found in parameters.items():
        example = _plain(_example(document, found))
        required = bool(found.get("required")) and example != ""
        if place == "path" and example:
            path = path.replace("{" + name + "}", quote(example, safe=""))
        elif place == "query":
            query.append(f"{'' if required else '# '}{one_line(name)}={example}")
        elif place == "header":
            headers.append(f"{'' if required else '# '}{one_line(name)}: {example}")
    body, media_type = _body(document, operation)
    if media_type:
        headers.append(f"Content-Type: {media_type}")
    title = operation.get("summary") or operation.get("operationId") or ""
    return Operation(method.upper(), one_line(path), one_line(str(title)), "\n".join(query), "\n".join(headers), body)


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[str, str]:
    """Text and media type; both empty where there is none."""
    content = _resolved(document, operation.get("requestBody")).get("content")
    if not isinstance(content, dict) or not content:
        return "", ""
    media_type = next((name for name in content if "json" in str(name)), next(iter(content)))
    example = _example(document, _resolved(document, content[media_type]))
    if "json" in str(media_type):
        return json.dumps(example, indent=2, ensure_ascii=False), one_line(str(media_type))
    return example if isinstance(example, str) else "", one_line(str(media_type))


def _example(document: Mapping[str, Any], holder: Mapping[str, Any]) -> Any:
    """Of a parameter or of a media type."""
    if "example" in holder:
        return holder["example"]
    examples = holder.get("examples")
    if isinstance(examples, dict) and examples:
        first = _resolved(document, next(iter(examples.values())))
        if "value" in first:
            return first["value"]
    return _sample(document, holder.get("schema"), DEEPEST)


def _sample(document: Mapping[str, Any], schema: object, depth: int) -> Any:
    """A value that the schema describes; None where nothing can be told of it."""
    found = _resolved(document, schema)
    for key in ("example", "default", "const"):
        if key in found:
            return found[key]
    for key in ("examples", "enum"):
        if isinstance(found.get(key), list) and found[key]:
            return found[key][0]
    if depth <= 0:
        return None
    for key in ("anyOf", "oneOf"):
        if isinstance(found.get(key), list) and found[key]:
            return _sample(document, found[key][0], depth - 1)
    if isinstance(found.get("allOf"), list):
        parts = [_sample(document, part, depth - 1) for part in found["allOf"][:WIDEST]]
        return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
    kind = found.get("type")
    kind = next((one for one in kind if one != "null"), None) if isinstance(kind, list) else kind
    if kind == "object" or "properties" in found:
        members = found.get("properties")
        pairs = list(members.items())[:WIDEST] if isinstance(members, dict) else []
        return {str(name): _sample(document, one, depth - 1) for name, one in pairs}
    if kind == "array":
        return [_sample(document, found.get("items"), depth - 1)]
    return _scalar(kind, found)


def _scalar(kind: object, found: Mapping[str, Any]) -> Any:
    if kind in ("integer", "number"):
        least = found.get("minimum", 0)
        return least if isinstance(least, int | float) else 0
    if kind == "boolean":
        return True
    if kind == "string":
        formats = {"date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "email": "ana@example.org"}
        return formats.get(str(found.get("format")), "")
    return None


def _resolved(document: Mapping[str, Any], found: object) -> Mapping[str, Any]:
    """`found`, or what its `$ref` leads to within the document; empty where that is nothing."""
    for _ in range(8):
        if not isinstance(found, dict):
            return {}
        reference = found.get("$ref")
        if not isinstance(reference, str):
            return found
        if not reference.startswith("#/"):
            return {}
        found = document
        for part in reference[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return {}


def _plain(value: object) -> str:
    if value is None:
        return ""
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
