"""What is wrong with a request, in words: where, what was found there, and what is allowed."""

from collections.abc import Iterable, Mapping
from typing import Any

from local_server.domain.redaction import redact_value

MOST_SHOWN_CHARS = 60

_ALLOWED = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number from {ge} on",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "string_too_short": "text of {min_length} characters or more",
    "string_too_long": "text of up to {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "{min_length} or more of them",
    "too_long": "up to {max_length} of them",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "model_type": "a JSON object",
    "timezone_aware": "a time with its zone, as 2030-01-31T12:00:00Z",
    "beyond_the_calendar": "a time of the years 1 to 9999 in UTC",
    "uuid_type": "a UUID",
    "uuid_parsing": "a UUID",
}
_TIME = "a time, as 2030-01-31T12:00:00Z"


def mistakes(
    errors: Iterable[Mapping[str, Any]], body: Any, media_type: str, *, hidden: bool = False
) -> list[dict[str, str]]:
    """Pydantic's errors, each as `mistake` tells it. `body` is the request's: bytes where its `media_type` kept it from
    being read as JSON, which is then all that there is to say of it."""
    if not isinstance(body, bytes):
        return [mistake(found, body, hidden=hidden) for found in errors]
    sent = f'found "{_cut(media_type)}"' if media_type else "it is missing"
    others = [mistake(found, None, hidden=hidden) for found in errors if found["loc"][0] != "body"]
    return [{"where": "header.content-type", "message": f"{sent}; allowed: application/json"}, *others]


def mistake(found: Mapping[str, Any], body: Any, *, hidden: bool = False) -> dict[str, str]:
    """One of pydantic's errors as `where` (`body.name`) and `message`. `body` is the request's, to tell the name of a
    member from that of a shape which it might have had; where it is `hidden` nothing of it is shown."""
    where = _where(found["loc"], body)
    kind, allowed = found["type"], _allowed(found)
    if kind == "json_invalid":
        said = f"it is not JSON: {found['ctx']['error']} at character {found['loc'][-1]}"
        return {"where": found["loc"][0], "message": said}
    if kind == "missing":
        return {"where": where, "message": "it is missing" if "." in where else "it is missing; allowed: a JSON object"}
    if kind == "extra_forbidden":
        return {"where": where, "message": "nothing is known by that name"}
    if allowed is None:
        return {"where": where, "message": found["msg"]}
    shown = "" if hidden else f"found {_shown(where, found['input'])}; "
    return {"where": where, "message": f"{shown}allowed: {allowed}"}


def _allowed(found: Mapping[str, Any]) -> str | None:
    kind = found["type"]
    if kind.startswith(("datetime_", "date_")):
        return _TIME
    return _ALLOWED[kind].format_map(found.get("ctx", {})) if kind in _ALLOWED else None


def _where(place: tuple[str | int, ...], body: Any) -> str:
    """Without the names of shapes that pydantic tried, which stand in no request."""
    if place[0] != "body":
        return ".".join(map(str, place))
    parts, value = ["body"], body
    for index, part in enumerate(place[1:], 1):
        inside = isinstance(value, dict) and part in value
        within = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if inside or within:
            value = value[part]
        elif index < len(place) - 1:
            continue
        elif not isinstance(value, dict):
            break
        parts.append(str(part))
    return ".".join(parts)


def _shown(where: str, value: Any) -> str:
    """As JSON, cut, and without what may be a secret."""
    readable = value.decode(errors="replace") if isinstance(value, bytes) else value
    written = redact_value(where.rpartition(".")[2], readable).encode(errors="replace").decode()
    return _cut(written)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN_CHARS else text[: MOST_SHOWN_CHARS - 1] + "…"
