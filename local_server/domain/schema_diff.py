"""Compares two JSON schemas of OpenAPI documents (3.0 and 3.1) from the caller's side.

The same edit means the opposite in the two directions: what a request may hold must not become less, what a response
may hold must not become more.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local_server.domain.contract_changes import Severity

Schema = Mapping[str, Any]
Direction = Literal["request", "response"]
Found = tuple[str, Severity, str]
"""Rule, severity, words."""

MAX_DEPTH = 24
_UPPER = {"maxLength": "max-length", "maximum": "max", "maxItems": "max-items", "maxProperties": "max-properties"}
_LOWER = {"minLength": "min-length", "minimum": "min", "minItems": "min-items", "minProperties": "min-properties"}


class Resolver:
    """Follows `$ref` within one document, and brings the ways of saying one thing to one."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def plain(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """Without references, `allOf` and the three spellings of `nullable`. What is no schema allows everything."""
        found = self.followed(schema)
        for part in _dicts(found.pop("allOf", [])) if depth < MAX_DEPTH else []:
            found = _both(found, self.plain(part, depth + 1))
        for union in ("anyOf", "oneOf"):
            branches = [self.followed(part) for part in _dicts(found.get(union))]
            kept = [part for part in branches if part.get("type") != "null"]
            if len(kept) < len(branches):
                found["nullable"] = True
                found[union] = kept
            if branches and len(kept) == 1 and depth < MAX_DEPTH:
                del found[union]
                found = _both(found, self.plain(kept[0], depth + 1))
        if isinstance(found.get("type"), list):
            types = [str(one) for one in found["type"]]
            found |= {"nullable": True} if "null" in types else {}
            found["type"] = sorted(one for one in types if one != "null")
        elif isinstance(found.get("type"), str):
            found["type"] = [found["type"]]
        if "const" in found:
            found["enum"] = [found.pop("const")]
        return found

    def followed(self, schema: Any) -> dict[str, Any]:
        """The object itself where `schema` is a reference within the document; a copy of its outermost level."""
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, Mapping):
                return {}
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return dict(schema)
            schema = self._at(reference)
        return {}

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return {}  # other documents are not fetched
        place: Any = self._document
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            place = place.get(name) if isinstance(place, Mapping) else None
        return place


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    old: Resolver
    new: Resolver
    direction: Direction

    def changes(self, before: Any, after: Any, noun: str, name: str, depth: int = 0) -> Iterator[Found]:
        """`noun` begins the rules (`request-parameter`), `name` says of what (`'limit'`)."""
        if depth > MAX_DEPTH:  # a schema that holds itself
            return
        old, new = self.old.plain(before), self.new.plain(after)
        yield from self._types(old, new, noun, name)
        yield from self._enums(old, new, noun, name)
        yield from self._limits(old, new, noun, name)
        yield from self._unions(old, new, noun, name, depth)
        yield from self._properties(old, new, name, depth)
        inner = f"{self.direction}-property"
        for key, part in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(old.get(key), Mapping) and isinstance(new.get(key), Mapping):
                yield from self.changes(old[key], new[key], inner, f"{name}{part}", depth + 1)

    def _worse(self, less: bool) -> Severity:
        """Of a change to less (or else to more) than was allowed."""
        return Severity.ERROR if less == (self.direction == "request") else Severity.INFO

    def _types(self, old: Schema, new: Schema, noun: str, name: str) -> Iterator[Found]:
        before, after = _kinds(old), _kinds(new)
        if before != after:
            less, more = not _within(before, after), not _within(after, before)
            broken = less if self.direction == "request" else more
            words = f"{name} was {_said(before)} and is {_said(after)}"
            yield f"{noun}-type-changed", Severity.ERROR if broken else Severity.INFO, words
        was, now = bool(old.get("nullable")), bool(new.get("nullable"))
        if was and not now:
            yield f"{noun}-became-not-nullable", self._worse(less=True), f"{name} may not be null any more"
        if now and not was:
            yield f"{noun}-became-nullable", self._worse(less=False), f"{name} may now be null"

    def _enums(self, old: Schema, new: Schema, noun: str, name: str) -> Iterator[Found]:
        before, after = old.get("enum"), new.get("enum")
        if isinstance(before, list) and isinstance(after, list):
            for value in (one for one in before if one not in after):
                yield f"{noun}-enum-value-removed", self._worse(less=True), f"{name} lost the value {_json(value)}"
            for value in (one for one in after if one not in before):
                severity = Severity.INFO if self.direction == "request" else Severity.WARNING
                yield f"{noun}-enum-value-added", severity, f"{name} has the new value {_json(value)}"
        elif isinstance(after, list):
            yield f"{noun}-became-enum", self._worse(less=True), f"{name} takes only certain values now"
        elif isinstance(before, list):
            yield f"{noun}-enum-removed", self._worse(less=False), f"{name} is not bound to certain values any more"

    def _limits(self, old: Schema, new: Schema, noun: str, name: str) -> Iterator[Found]:
        for limits, lower in ((_UPPER, False), (_LOWER, True)):
            for key, word in limits.items():
                before, after = _number(old.get(key)), _number(new.get(key))
                if before == after:
                    continue
                if before is None or after is None:
                    act, less = ("set", True) if before is None else ("unset", False)
                else:
                    act = "increased" if after > before else "decreased"
                    less = (after > before) == lower
                words = f"{key} of {name}: {_json(before)} became {_json(after)}"
                yield f"{noun}-{word}-{act}", self._worse(less), words
        if (before := old.get("pattern")) != (after := new.get("pattern")):
            act = "added" if before is None else "removed" if after is None else "changed"
            severity = Severity.INFO if act == "removed" or self.direction == "response" else Severity.WARNING
            yield f"{noun}-pattern-{act}", severity, f"the pattern of {name} was {act}"

    def _unions(self, old: Schema, new: Schema, noun: str, name: str, depth: int) -> Iterator[Found]:
        for key, word in (("oneOf", "one-of"), ("anyOf", "any-of")):
            before, after = _dicts(old.get(key)), _dicts(new.get(key))
            if not before or not after:
                continue
            lost, gained = _unmatched(before, after, self.old, self.new)
            if len(lost) == len(gained) == 1:
                yield from self.changes(lost[0], gained[0], noun, name, depth + 1)
                continue
            for _ in lost:
                yield f"{noun}-{word}-removed", self._worse(less=True), f"{name} lost one of its alternatives"
            for _ in gained:
                yield f"{noun}-{word}-added", self._worse(less=False), f"{name} has one more alternative"

    def _properties(self, old: Schema, new: Schema, name: str, depth: int) -> Iterator[Found]:
        hidden = "readOnly" if self.direction == "request" else "writeOnly"
        before, after = _visible(old, self.old, hidden), _visible(new, self.new, hidden)
        was, now = _names(old.get("required")), _names(new.get("required"))
        compare: Callable[[str, bool, bool], Iterator[Found]] = (
            self._request_property if self.direction == "request" else self._response_property
        )
        for key in dict.fromkeys([*before, *after]):
            inner = f"{name}.{key}" if name else repr(key)
            if key not in after:
                yield self._removed(inner, key in was)
            elif key not in before:
                yield self._added(inner, key in now)
            else:
                yield from compare(inner, key in was, key in now)
                yield from self.changes(before[key], after[key], f"{self.direction}-property", inner, depth + 1)

    def _removed(self, name: str, required: bool) -> Found:
        if self.direction == "request":
            return "request-property-removed", Severity.WARNING, f"{name} is not taken any more"
        kind, severity = ("required", Severity.ERROR) if required else ("optional", Severity.WARNING)
        return f"response-{kind}-property-removed", severity, f"{name} is not answered any more"

    def _added(self, name: str, required: bool) -> Found:
        kind = "required" if required else "optional"
        if self.direction == "request":
            severity = Severity.ERROR if required else Severity.INFO
            return f"new-{kind}-request-property", severity, f"{name} is new, and {kind}"
        return f"response-{kind}-property-added", Severity.INFO, f"{name} is answered too"

    def _request_property(self, name: str, was: bool, now: bool) -> Iterator[Found]:
        if now and not was:
            yield "request-property-became-required", Severity.ERROR, f"{name} must be given now"
        if was and not now:
            yield "request-property-became-optional", Severity.INFO, f"{name} may be left out now"

    def _response_property(self, name: str, was: bool, now: bool) -> Iterator[Found]:
        if was and not now:
            yield "response-property-became-optional", Severity.ERROR, f"{name} may be missing now"
        if now and not was:
            yield "response-property-became-required", Severity.INFO, f"{name} is always answered now"


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What satisfies both schemas, as far as it can be written as one."""
    merged = other | one
    if "properties" in one and "properties" in other:
        merged["properties"] = {**other["properties"], **one["properties"]}
    required = [*_names(one.get("required")), *_names(other.get("required"))]
    return merged | ({"required": required} if required else {})


def _dicts(value: Any) -> list[Schema]:
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _names(value: Any) -> frozenset[str]:
    return (
        frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list | frozenset) else frozenset()
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _visible(schema: Schema, resolver: Resolver, hidden: str) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {key: one for key, one in properties.items() if resolver.followed(one).get(hidden) is not True}


def _kinds(schema: Schema) -> frozenset[str]:
    """Types with their formats; empty: any."""
    types = schema.get("type")
    form = schema.get("format")
    return frozenset(f"{one}/{form}" if form else str(one) for one in types) if isinstance(types, list) else frozenset()


def _within(inner: frozenset[str], outer: frozenset[str]) -> bool:
    """Whether everything of the types `inner` is of the types `outer` too."""
    if not outer:
        return True
    wider = {*outer, *({"integer"} if "number" in outer else ())}
    return bool(inner) and all(one in wider or one.partition("/")[0] in wider for one in inner)


def _said(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds)) or "of any type"


def _json(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _unmatched(
    before: list[Schema], after: list[Schema], old: Resolver, new: Resolver
) -> tuple[list[Schema], list[Schema]]:
    """The alternatives of each side that the other has not; a reference counts by its name."""

    def named(parts: list[Schema], resolver: Resolver) -> dict[str, Schema]:
        return {str(part.get("$ref")) if "$ref" in part else _json(resolver.plain(part)): part for part in parts}

    was, now = named(before, old), named(after, new)
    return [was[key] for key in was if key not in now], [now[key] for key in now if key not in was]
