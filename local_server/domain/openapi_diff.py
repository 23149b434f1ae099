"""Compares two OpenAPI documents of one API from its callers' side: which changes break them.

Documents come from users' programs. Whatever in them is not as OpenAPI wants it counts as absent, and nothing here
raises for it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from local_server.domain.contract_changes import Change, Severity
from local_server.domain.schema_diff import Found, Resolver, SchemaDiff

MAX_CHANGES = 500
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
Document = Mapping[str, Any]
_PARAMETER = re.compile(r"\{[^{}]*\}")


def contract_changes(old: Document, new: Document) -> tuple[Change, ...]:
    """Breaking ones first, each in the order of the documents; at most MAX_CHANGES."""
    found: list[Change] = []
    for change in _Comparison(old, new).changes():
        found.append(change)
        if len(found) == MAX_CHANGES:
            break
    order = list(Severity)
    return tuple(sorted(dict.fromkeys(found), key=lambda change: order.index(change.severity)))


class _Operation:
    """One method of one path, its document's defaults applied."""

    def __init__(self, document: Document, path: str, method: str, item: Document) -> None:
        self.document = document
        self.resolver = Resolver(document)
        self.content = _dict(item.get(method))
        self.name = f"{method.upper()} {path}"
        self._path = path
        self._shared = item.get("parameters")

    @property
    def deprecated(self) -> bool:
        return self.content.get("deprecated") is True

    def parameters(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By place and name; those of the path by their position in it, since callers never write their names."""
        positions = [part[1:-1] for part in _PARAMETER.findall(self._path)]
        found = {}
        for given in (self._shared, self.content.get("parameters")):
            for part in given if isinstance(given, list) else []:
                parameter = self.resolver.followed(part)
                place, name = str(parameter.get("in")), str(parameter.get("name"))
                key = name.lower() if place == "header" else name
                if place == "path" and name in positions:
                    key = str(positions.index(name))
                found[place, key] = parameter
        return found

    def security(self) -> list[dict[str, frozenset[str]]]:
        """The alternatives, each scheme with its scopes; one empty alternative: open to all."""
        given = self.content.get("security", self.document.get("security"))
        alternatives = [part for part in given if isinstance(part, Mapping)] if isinstance(given, list) else []
        return [
            {str(scheme): frozenset(map(str, scopes)) if isinstance(scopes, list) else frozenset()
             for scheme, scopes in part.items()}
            for part in alternatives
        ] or [{}]  # fmt: skip


class _Comparison:
    def __init__(self, old: Document, new: Document) -> None:
        self._before, self._after = _operations(old), _operations(new)
        resolvers = Resolver(old), Resolver(new)
        self._requests = SchemaDiff(*resolvers, "request")
        self._responses = SchemaDiff(*resolvers, "response")

    def changes(self) -> Iterator[Change]:
        paths = {path for path, _ in self._after}
        for key, was in self._before.items():
            now = self._after.get(key)
            if now is None:
                whole = "api" if key[0] in paths else "api-path"
                yield _removed(was, whole)
            else:
                for rule, severity, text in self._changed(was, now):
                    yield Change(rule, severity, now.name, text)
        for key, now in self._after.items():
            if key not in self._before:
                yield Change("endpoint-added", Severity.INFO, now.name, "is new")

    def _changed(self, was: _Operation, now: _Operation) -> Iterator[Found]:
        if now.deprecated and not was.deprecated:
            yield "endpoint-deprecated", Severity.INFO, "is deprecated now"
        yield from _security(was, now)
        yield from self._parameters(was, now)
        yield from self._request_body(was, now)
        yield from self._response_statuses(was, now)

    def _parameters(self, was: _Operation, now: _Operation) -> Iterator[Found]:
        before, after = was.parameters(), now.parameters()
        for key, parameter in after.items():
            name = f"{key[0]} parameter {parameter.get('name')!r}"
            required = parameter.get("required") is True
            if key not in before:
                kind, severity = ("required", Severity.ERROR) if required else ("optional", Severity.INFO)
                yield f"new-{kind}-request-parameter", severity, f"{name} is new, and {kind}"
                continue
            if required and before[key].get("required") is not True:
                yield "request-parameter-became-required", Severity.ERROR, f"{name} must be given now"
            yield from self._requests.changes(
                before[key].get("schema"), parameter.get("schema"), "request-parameter", name
            )
        for key in before:
            if key not in after:
                words = f"{key[0]} parameter {before[key].get('name')!r} is not taken any more"
                yield "request-parameter-removed", Severity.WARNING, words

    def _request_body(self, was: _Operation, now: _Operation) -> Iterator[Found]:
        before, after = (one.resolver.followed(one.content.get("requestBody")) for one in (was, now))
        required = after.get("required") is True
        if after and not before:
            kind, severity = ("required", Severity.ERROR) if required else ("optional", Severity.INFO)
            yield f"request-body-added-{kind}", severity, f"a body is taken now, and {kind}"
            return
        if before and not after:
            yield "request-body-removed", Severity.WARNING, "no body is taken any more"
            return
        if required and before.get("required") is not True:
            yield "request-body-became-required", Severity.ERROR, "a body must be given now"
        yield from _media_types(before, after, "request-body", self._requests, "the body")

    def _response_statuses(self, was: _Operation, now: _Operation) -> Iterator[Found]:
        before, after = (_dict(one.content.get("responses")) for one in (was, now))
        for status in dict.fromkeys([*before, *after]):
            kind = "success" if str(status).startswith("2") else "non-success"
            if status not in after:
                severity = Severity.ERROR if kind == "success" else Severity.INFO
                yield f"response-{kind}-status-removed", severity, f"{status} is not answered any more"
            elif status not in before:
                yield f"response-{kind}-status-added", Severity.INFO, f"{status} may be answered now"
            else:
                old, new = was.resolver.followed(before[status]), now.resolver.followed(after[status])
                name = f"the answer {status}"
                yield from _media_types(old, new, "response-body", self._responses, name)
                yield from _headers(old, new, name)


def _media_types(before: Document, after: Document, noun: str, schemas: SchemaDiff, name: str) -> Iterator[Found]:
    old, new = _dict(before.get("content")), _dict(after.get("content"))
    rule = "request-body-media-type" if schemas.direction == "request" else "response-media-type"
    for kind in dict.fromkeys([*old, *new]):
        if kind not in new:
            yield f"{rule}-removed", Severity.ERROR, f"{name} is not {kind} any more"
        elif kind not in old:
            yield f"{rule}-added", Severity.INFO, f"{name} may be {kind} now"
        else:
            yield from schemas.changes(_dict(old[kind]).get("schema"), _dict(new[kind]).get("schema"), noun, name)


def _headers(before: Document, after: Document, name: str) -> Iterator[Found]:
    old, new = (
        {str(key).lower(): value for key, value in _dict(one.get("headers")).items()} for one in (before, after)
    )
    for key in old:
        if key not in new:
            required = _dict(old[key]).get("required") is True
            kind, severity = ("required", Severity.ERROR) if required else ("optional", Severity.WARNING)
            yield f"{kind}-response-header-removed", severity, f"{name} lost its header {key}"


def _security(was: _Operation, now: _Operation) -> Iterator[Found]:
    """Whoever could call before, by any of the alternatives, must be able to call now."""
    alternatives = now.security()
    for before in was.security():
        if any(_satisfied(needed, before) for needed in alternatives):
            continue
        if not before:
            yield "api-security-added", Severity.ERROR, "needs " + " or ".join(_schemes(one) for one in alternatives)
        elif any(one.keys() <= before.keys() for one in alternatives):
            yield "api-security-scope-added", Severity.ERROR, f"{_schemes(before)} needs further scopes"
        else:
            yield "api-security-removed", Severity.ERROR, f"does not take {_schemes(before)} any more"


def _satisfied(needed: Mapping[str, frozenset[str]], given: Mapping[str, frozenset[str]]) -> bool:
    return all(scheme in given and scopes <= given[scheme] for scheme, scopes in needed.items())


def _schemes(alternative: Mapping[str, frozenset[str]]) -> str:
    return " and ".join(sorted(alternative)) or "nothing"


def _removed(was: _Operation, whole: str) -> Change:
    if was.deprecated:
        return Change(f"{whole}-removed-with-deprecation", Severity.INFO, was.name, "is gone; it was deprecated")
    return Change(f"{whole}-removed-without-deprecation", Severity.ERROR, was.name, "is gone")


def _operations(document: Document) -> dict[tuple[str, str], _Operation]:
    """By path, its parameters nameless, and method."""
    resolver = Resolver(document)
    found = {}
    for path, given in _dict(document.get("paths")).items():
        item = resolver.followed(given)
        for method in METHODS:
            if isinstance(item.get(method), Mapping):
                found[_PARAMETER.sub("{}", str(path)), method] = _Operation(document, str(path), method, item)
    return found


def _dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
