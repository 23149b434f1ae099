"""An HTTP answer as lines to read: pretty JSON in tones, text as it is, anything else by its size. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from apimarket_tui.clean import log_line, one_line
from apimarket_tui.words import Spans, Tone, size

if TYPE_CHECKING:
    from apimarket_tui.backend import CallResult

PRETTY_LIMIT = 2_000_000
"""Bytes; a larger JSON answer is shown as it came."""
SHOWN_LIMIT = 5_000_000
"""Bytes of an answer that are shown."""
LONGEST_LINE = 4_000

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>\b(?:true|false|null)\b)'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
)
_TONES: dict[str, Tone] = {"key": "primary", "string": "ok", "word": "warn", "number": "accent"}


def header_pairs(headers: "Mapping[str, str] | Sequence[tuple[str, str]]") -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def header(headers: Iterable[tuple[str, str]], name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")


def body_lines(answer: "CallResult") -> list[Spans]:
    """The body as lines in tones."""
    if not answer.body:
        return [[("empty body", "dim")]]
    kind = header(header_pairs(answer.headers), "content-type").lower()
    if b"\0" in answer.body[:4096]:
        return [[(f"{size(len(answer.body))} of {one_line(kind) or 'binary data'}: not text", "dim")]]
    text = answer.body[:SHOWN_LIMIT].decode("utf-8", "replace")
    printed = pretty(answer.body) if "json" in kind or text.lstrip()[:1] in ("{", "[") else None
    shown = text_spans(printed or text, is_json=printed is not None)
    if len(answer.body) > SHOWN_LIMIT:
        shown.append([(f"… the first {size(SHOWN_LIMIT)} of {size(len(answer.body))}", "dim")])
    return shown


def header_lines(answer: "CallResult") -> list[Spans]:
    return [
        [(one_line(name), "primary"), (": ", "dim"), (one_line(value), "text")]
        for name, value in header_pairs(answer.headers)
    ]


def text_spans(text: str, *, is_json: bool) -> list[Spans]:
    return [json_spans(log_line(line)) if is_json else _plain(line) for line in text.splitlines()]


def _plain(line: str) -> Spans:
    return [(log_line(line[:LONGEST_LINE]), "text")]


def pretty(body: bytes) -> str | None:
    """JSON printed for people; None where it is none, or too long."""
    if len(body) > PRETTY_LIMIT:
        return None
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def json_spans(line: str) -> Spans:
    """One line of printed JSON, each token in its tone."""
    line = line[:LONGEST_LINE]
    spans: Spans = []
    end = 0
    for match in _TOKEN.finditer(line):
        if match.start() > end:
            spans.append((line[end : match.start()], "dim"))
        spans.append((match.group(), _TONES[match.lastgroup or "string"]))
        end = match.end()
    if end < len(line):
        spans.append((line[end:], "dim"))
    return spans


def parse_headers(text: str) -> list[tuple[str, str]]:
    """`Name: value` lines; empty lines and lines with `#` first are skipped. Raises ValueError naming the bad line."""
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name.strip()):
            raise ValueError(f"Header line {number} is {one_line(line)!r}; write it as Name: value")
        pairs.append((name.strip(), value.strip()))
    return pairs
