"""A kept exchange, its replay, and how two answers differ, as lines to read. Pure."""

from typing import TYPE_CHECKING

from apimarket_tui.answers import pretty, text_spans
from apimarket_tui.clean import one_line
from apimarket_tui.words import Spans, Tone, millis, size, status_tone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_server.wire.exchanges import BodyView, CompareView, ExchangeView, ReplayView

_DIFFERENCE: dict[str, Tone] = {"-": "bad", "+": "ok", "@": "accent"}


def exchange_lines(exchange: "ExchangeView") -> list[Spans]:
    query = f"?{one_line(exchange.query)}" if exchange.query else ""
    lines: list[Spans] = [
        [(one_line(exchange.method), "strong"), (f" {one_line(exchange.path)}", "text"), (query, "dim")],
        *header_lines(exchange.request_headers),
        [],
        *body_lines(exchange.request_body),
        [],
        _answered(exchange),
        *header_lines(exchange.response_headers),
        [],
    ]
    if exchange.websocket:
        return [*lines, [(f"WebSocket: {exchange.messages_in} messages in, {exchange.messages_out} out", "dim")]]
    return [*lines, *body_lines(exchange.response_body)]


def replay_lines(replay: "ReplayView") -> list[Spans]:
    lines = [_answered(replay)]
    if not replay.complete:
        lines.append([("! the answer broke off, or went on for too long: this is its beginning", "warn")])
    return [*lines, *header_lines(replay.headers), [], *body_lines(replay.body)]


def compare_lines(compared: "CompareView") -> list[Spans]:
    """What the two answers do not have in common."""
    first, second = compared.first, compared.second
    lines: list[Spans] = [
        [("- ", "bad"), *_answered(first)],
        [("+ ", "ok"), *_answered(second), ("  serves now", "dim")],
        [],
    ]
    if compared.same:
        return [*lines, [("✓ Status, headers that matter and body mean the same", "ok")]]
    for change in compared.headers_changed:
        for mark, value in (("-", change.first), ("+", change.second)):
            if value is not None:
                lines.append([(f"{mark} {one_line(change.name)}: {one_line(value)}", _DIFFERENCE[mark])])
    if compared.headers_changed:
        lines.append([])
    lines += [[(line, _DIFFERENCE.get(line[:1], "dim"))] for line in compared.body_diff]
    if not compared.body_diff:
        lines.append([("the bodies mean the same", "dim")])
    return lines


def header_lines(headers: "Sequence[tuple[str, str]]") -> list[Spans]:
    return [[(one_line(name), "primary"), (": ", "dim"), (one_line(value), "text")] for name, value in headers]


def body_lines(body: "BodyView") -> list[Spans]:
    if not body.bytes:
        return [[("no body", "dim")]]
    if body.text is None:
        return [[(f"{size(body.bytes)} of {one_line(body.media_type) or 'binary data'}: not text", "dim")]]
    shown = pretty(body.text.encode("utf-8", "replace")) if "json" in body.media_type and not body.truncated else None
    lines = text_spans(shown or body.text, is_json=shown is not None)
    if body.truncated:
        lines.append([(f"… the beginning of {size(body.bytes)}; no more is kept", "warn")])
    return lines


def _answered(one: "ExchangeView | ReplayView") -> Spans:
    who = one.version or (f"g{one.generation}" if one.generation else "the gateway")
    return [(str(one.status or "–"), status_tone(one.status)), (f"  {millis(one.total_ms)}  {who}", "text")]
