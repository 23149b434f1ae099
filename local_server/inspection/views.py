"""Exchanges and answers as outsiders see them: redacted."""

import base64
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from local_server.domain.curl import curl
from local_server.domain.differences import HeaderChange
from local_server.domain.exchanges import Answer, Body, Exchange, Headers, header, why_not_replayable
from local_server.domain.redaction import redact_headers, redact_query, redact_text, without_keys
from local_server.domain.texts import text_of, unpacked
from local_server.inspection.service import Comparison
from local_server.wire.exchanges import (
    BodyView,
    CompareView,
    ExchangeSummary,
    ExchangeView,
    HeaderChangeView,
    ReplayView,
)


def exchange_summary(exchange: Exchange) -> ExchangeSummary:
    row = exchange.execution
    return ExchangeSummary(
        id=row.id,
        generation=row.generation,
        version=row.version,
        method=row.method,
        path=redact_query(exchange.path),
        query=redact_query(exchange.query),
        status=row.status,
        outcome=row.outcome,
        started_at=row.started_at,
        total_ms=row.total_us / 1000,
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
    )


def exchange_view(exchange: Exchange) -> ExchangeView:
    why_not = why_not_replayable(exchange)
    return ExchangeView(
        **exchange_summary(exchange).model_dump(),
        request_headers=redact_headers(exchange.request_headers),
        request_body=body_view(exchange.request_body, exchange.request_headers),
        response_headers=redact_headers(exchange.response_headers),
        response_body=body_view(exchange.response_body, exchange.response_headers),
        websocket=exchange.websocket,
        messages_in=exchange.messages_in,
        messages_out=exchange.messages_out,
        replayable=not why_not,
        why_not=why_not,
        curl=curl(exchange),
    )


def body_view(body: Body, headers: Headers) -> BodyView:
    media_type = header(headers, "content-type")
    text = text_of(body, headers)
    view = BodyView(media_type=media_type, bytes=body.size, truncated=not body.whole)
    if text is not None:
        view.text = redact_text(text, media_type)
    else:
        content = unpacked(body, headers)
        view.base64 = base64.b64encode(without_keys(body.content if content is None else content)).decode()
    return view


def replay_view(answer: Answer) -> ReplayView:
    return ReplayView(
        generation=answer.generation,
        version=answer.version,
        status=answer.status,
        headers=redact_headers(answer.headers),
        body=body_view(answer.body, answer.headers),
        total_ms=answer.total_us / 1000,
        complete=answer.complete,
    )


def compare_view(comparison: Comparison) -> CompareView:
    difference = comparison.difference
    return CompareView(
        first=replay_view(comparison.first),
        second=replay_view(comparison.second),
        same=difference.same,
        status_changed=difference.status_changed,
        headers_changed=[_change(change) for change in difference.headers],
        body_diff=list(difference.body),
    )


def _change(change: HeaderChange) -> HeaderChangeView:
    return HeaderChangeView(name=change.name, first=change.first, second=change.second)


V = TypeVar("V", bound=BaseModel)


def concealed(view: V, conceal: Callable[[str], str]) -> V:
    """The same without what `conceal` takes out, wherever text stands in it."""
    return type(view).model_validate(_each_text(view.model_dump(), conceal))


def _each_text(value: Any, conceal: Callable[[str], str]) -> Any:
    match value:
        case str():
            return conceal(value)
        case dict():
            return {name: _each_text(inner, conceal) for name, inner in value.items()}
        case list() | tuple():
            return [_each_text(inner, conceal) for inner in value]
        case _:
            return value
