"""How two answers to one request differ: by what they mean, not by their bytes.

JSON is compared by structure, so that the order of members and white space do not count; other text line by line;
everything else by size and digest. What is compared are the answers as they were; what is told of them is redacted.
"""

import difflib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from local_server.domain.exchanges import Answer, Headers, header
from local_server.domain.redaction import redact_header, redact_text, redact_value, smells
from local_server.domain.texts import text_of

MOST_LINES = 2000
CONTEXT_LINES = 3
_DEPTH = 64
"""Deeper parts of a document are compared whole."""
_LONGEST_ALIGNED = 500
"""Longer lists are compared place by place: finding out what moved takes the square of the time."""
_LONGEST_TEXT = 5000
"""Lines."""

# They say when, by whom and how an answer was carried; they differ each time, or follow from the body.
PASSING = frozenset(
    {
        "age", "connection", "content-length", "date", "keep-alive", "server-timing", "traceparent", "tracestate",
        "transfer-encoding", "x-apimarket-generation", "x-apimarket-pending-error", "x-apimarket-version",
        "x-process-time", "x-request-id", "x-response-time", "x-runtime",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeaderChange:
    name: str
    first: str | None
    """None where only the second has it. Redacted."""
    second: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    status_changed: bool
    headers: tuple[HeaderChange, ...]
    body: tuple[str, ...]
    """Lines that begin with `-` for the first answer, `+` for the second, or a blank or `@` for what is around; empty
    where the bodies mean the same."""

    @property
    def same(self) -> bool:
        return not (self.status_changed or self.headers or self.body)


def difference(first: Answer, second: Answer) -> Difference:
    return Difference(
        first.status != second.status,
        tuple(_headers(first.headers, second.headers)),
        tuple(_limited(_body(first, second))),
    )


def _headers(first: Headers, second: Headers) -> Iterator[HeaderChange]:
    for name in sorted({name for name, _ in (*first, *second)} - PASSING):
        before = [value for known, value in first if known == name]
        after = [value for known, value in second if known == name]
        if before != after:
            yield HeaderChange(name, _shown(name, before), _shown(name, after))


def _shown(name: str, values: list[str]) -> str | None:
    return ", ".join(redact_header(name, value) for value in values) if values else None


def _body(first: Answer, second: Answer) -> Iterator[str]:
    if first.digest == second.digest and first.complete == second.complete:
        return
    before, after = (text_of(answer.body, answer.headers) for answer in (first, second))
    if before is None or after is None:
        yield from (f"{sign} {_binary(answer)}" for sign, answer in zip("-+", (first, second), strict=True))
        return
    documents = _document(before, first), _document(after, second)
    if documents[0] is not None and documents[1] is not None:
        yield from _json("", "", documents[0][0], documents[1][0])
        return
    lines = list(_text(_lines(before, first), _lines(after, second)))
    yield from lines or ["@ they differ where secrets were redacted, or in how lines end"]
    for sign, answer in zip("-+", (first, second), strict=True):
        if not answer.body.whole:
            yield f"@ {sign} only its first {len(answer.body.content)} of {answer.body.size} bytes were compared"
        elif not answer.complete:
            yield f"@ {sign} it had not ended when the replay did"


def _binary(answer: Answer) -> str:
    ending = "" if answer.complete else ", not at its end"
    return f"{answer.body.size} bytes, sha256 {answer.digest[:16]}{ending}"


def _lines(text: str, answer: Answer) -> list[str]:
    return redact_text(text, header(answer.headers, "content-type")).splitlines()[:_LONGEST_TEXT]


def _text(first: Sequence[str], second: Sequence[str]) -> Iterator[str]:
    for line in itertools.islice(difflib.unified_diff(first, second, n=CONTEXT_LINES, lineterm=""), 2, None):
        yield line if line.startswith("@") else f"{line[0]} {line[1:]}"


def _limited(lines: Iterator[str]) -> Iterator[str]:
    yield from itertools.islice(lines, MOST_LINES)
    if next(lines, None) is not None:
        yield f"@ more differences follow; {MOST_LINES} lines are shown"


# -- JSON ------------------------------------------------------------------------------------------------------------


class _Nothing:
    """Beside a member that the other document lacks."""


_NOTHING = _Nothing()


def _document(text: str, answer: Answer) -> tuple[Any] | None:
    """In a tuple, since None is a document too. None where it is not JSON or not all of it is here."""
    if not answer.body.whole or not answer.complete:
        return None
    try:
        document = json.loads(text, strict=False)
        json.dumps(document)
    except (ValueError, RecursionError):
        return None
    return (document,)


def _json(path: str, secret: str, first: Any, second: Any, depth: int = 0) -> Iterator[str]:
    """`secret` is a name on the way here that smells of one, or empty."""
    if depth < _DEPTH and isinstance(first, dict) and isinstance(second, dict):
        for name in dict.fromkeys((*first, *second)):
            inner = name if smells(name) else secret
            pair = first.get(name, _NOTHING), second.get(name, _NOTHING)
            yield from _json(_member(path, name), inner, *pair, depth + 1)
    elif depth < _DEPTH and isinstance(first, list) and isinstance(second, list):
        for index, before, after in _aligned(first, second):
            yield from _json(f"{path}[{index}]", secret, before, after, depth + 1)
    elif not _equal(first, second):
        for sign, value in (("-", first), ("+", second)):
            if value is not _NOTHING:
                yield f"{sign} {path or '$'}: {redact_value(secret, value)}"


def _aligned(first: list[Any], second: list[Any]) -> Iterator[tuple[int, Any, Any]]:
    """The elements that differ, by their place; those that only moved because of one more or one less before them do
    not."""
    if max(len(first), len(second)) > _LONGEST_ALIGNED:
        pairs = itertools.zip_longest(first, second, fillvalue=_NOTHING)
        yield from ((index, *pair) for index, pair in enumerate(pairs))
        return
    keys = [[json.dumps(item, sort_keys=True) for item in items] for items in (first, second)]
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for tag, from_first, to_first, from_second, to_second in matcher.get_opcodes():
        if tag == "equal":
            continue
        pairs = itertools.zip_longest(first[from_first:to_first], second[from_second:to_second], fillvalue=_NOTHING)
        for offset, (before, after) in enumerate(pairs):
            yield (from_second if before is _NOTHING else from_first) + offset, before, after


def _equal(first: Any, second: Any) -> bool:
    """1, 1.0 and true are three things, at whatever depth."""
    if type(first) is not type(second):
        return False
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def _member(path: str, name: str) -> str:
    if name.isidentifier():
        return f"{path}.{name}" if path else name
    return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
