"""The panel below the table: what one would ask first about the selected API."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.words import METHOD_TONE, Spans, condition, millis, shortage, silence, status_tone

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, ExecutionView

LATEST = 50


class Peek(Vertical):
    class Wanted(Message):
        """Another API is looked at: its latest requests are wanted."""

        def __init__(self, api: "ApiView | None") -> None:
            super().__init__()
            self.api = api

    def __init__(self) -> None:
        super().__init__()
        self._api: ApiView | None = None
        self._requests: list[ExecutionView] = []

    def compose(self) -> ComposeResult:
        yield Rule()
        yield LineView(id="peeked")

    def on_mount(self) -> None:
        self.query_one(LineView).can_focus = False
        self._draw()

    @property
    def api(self) -> "ApiView | None":
        return self._api

    @property
    def requests(self) -> "Sequence[ExecutionView]":
        """Those shown, newest first."""
        return self._requests

    def show(self, api: "ApiView | None") -> None:
        before, self._api = self._api, api
        if (before and before.id) != (api and api.id):
            self._requests = []
            self.post_message(self.Wanted(api))
        if before is not api:
            self._draw()

    def show_requests(self, api_id: str, requests: "Sequence[ExecutionView]", *, replace: bool) -> None:
        """The latest, newest first; or further ones, newest last."""
        if self._api is None or self._api.id != api_id:
            return
        self._requests = list(requests) if replace else [*reversed(requests), *self._requests]
        del self._requests[LATEST:]
        self._draw()

    def _draw(self) -> None:
        api = self._api
        rule, view = self.query_one(Rule), self.query_one(LineView)
        if api is None:
            rule.show(Content(""))
            view.show(TextLines(), 1)
            return
        state = condition(api)
        tone = {"ok": "$success", "warn": "$warning", "bad": "$error"}.get(state.tone, "$dim")
        where = (
            Content.styled("no isolation", "$warning")
            if not api.isolated
            else Content.styled(one_line(api.engine), "$dim")
        )
        rule.show(Content.assemble((one_line(api.name), "bold $foreground"), (f"  {state.text}", tone)), where)
        lines = TextLines(self._lines(api))
        view.show(lines, 1)

    def _lines(self, api: "ApiView") -> list[Spans]:
        lines: list[Spans] = [[(" ", "text"), (api.url, "primary")]]
        if silence(api):
            lines.append([(" ✗ ", "bad"), (silence(api), "text")])
            lines.append(
                [("   l", "primary"), (" shows its log · ", "dim"), ("r", "primary"), (" starts it afresh", "dim")]
            )
        if api.error:
            lines.append([(" ✗ ", "bad"), (api.error, "text")])
            if api.serving is not None:
                lines.append([(f"   g{api.serving} is still serving", "dim")])
            if api.failure is not None and api.failure.hint:
                lines.append([("   ", "text"), (api.failure.hint, "dim")])
        elif shortage(api):
            lines.append([(" ◐ ", "warn"), (shortage(api), "text")])
            lines.append([("   l", "primary"), (" shows why in its log", "dim")])
        elif api.state == "stopped":
            lines.append([(" stopped · ", "dim"), ("s", "primary"), (" starts it", "dim")])
        elif api.progress:
            lines.append([(" ⟳ ", "warn"), (api.progress, "text")])
        elif not self._requests:
            lines.append([(" no requests yet · ", "dim"), ("t", "primary"), (" tries it", "dim")])
        lines += [request_line(request) for request in self._requests]
        return lines


def request_line(request: "ExecutionView") -> Spans:
    """` 12:01:07 GET /now 200 38ms`"""
    method = one_line(request.method)
    return [
        (f" {request.started_at:%H:%M:%S} ", "dim"),
        (f"{method:<6} ", METHOD_TONE.get(method, "text")),
        (f"{request.status or '–':>3} ", status_tone(request.status)),
        (f"{millis(request.total_ms):>6}  ", "dim"),
        (one_line(request.path), "text"),
    ]
