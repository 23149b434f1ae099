"""Mode 3: call an API and read its answer."""

import asyncio
import textwrap
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input, Static, TextArea
from textual.worker import Worker

from apimarket_tui.answers import body_lines, header, header_lines, header_pairs, parse_headers
from apimarket_tui.backend import CallResult, Trouble, attempt
from apimarket_tui.clean import clean, one_line
from apimarket_tui.curl_commands import is_curl, request_of
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.method import MethodPicker
from apimarket_tui.widgets.requests import curl
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import METHOD_TONE, Spans, millis, size, status_tone

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView

TIMEOUT_S = 60.0
HISTORY_KEPT = 100
HISTORY_COLUMNS = (
    Column("at", "TIME", 8, 8, rank=2),
    Column("method", "METHOD", 6, 7),
    Column("status", "STATUS", 6, 6, right=True),
    Column("took", "TOOK", 6, 6, right=True),
    Column("url", "URL", 12, 200),
)


class UrlInput(Input):
    """Tells of a curl command that is pasted, of which a field would keep the first line as an address."""

    class CurlPasted(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def _on_paste(self, event: events.Paste) -> None:
        if is_curl(event.text):
            event.stop()
            event.prevent_default()
            self.post_message(self.CurlPasted(event.text))


@dataclass(frozen=True, slots=True)
class Sent:
    """One request of the history, with what came back."""

    number: int
    at: datetime
    method: str
    url: str
    headers: str
    body: str
    answer: CallResult | Trouble


class ConsoleScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("console", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("try it",)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self) -> None:
        super().__init__()
        self._history: list[Sent] = []
        self._shown: Sent | None = None
        self._show_headers = False
        self._sending: Worker[None] | None = None
        self._ready = asyncio.Event()

    def body(self) -> ComposeResult:
        with Horizontal(id="request"):
            yield MethodPicker()
            yield UrlInput(placeholder="URL, or an API and path as: weather/now?q=oslo", compact=True, id="url")
            yield Button("Send", id="send", variant="primary", compact=True)
        with Horizontal(id="columns"):
            with Vertical(id="ask"):
                yield Static("Headers", classes="label")
                yield TextArea(id="headers", compact=True, show_line_numbers=False, placeholder="Name: value")
                yield Static("Body", classes="label")
                yield TextArea(id="body", compact=True, show_line_numbers=False, placeholder="sent as it is")
            with Vertical(id="answer"):
                yield Rule(id="status")
                yield LineView(id="content")
        yield LineTable["Sent"](HISTORY_COLUMNS, lambda row: str(row.number), _history_cell, id="history")

    def on_mount(self) -> None:
        super().on_mount()
        for area in self.query(TextArea):
            area.tab_behavior = "focus"
        self._show_status(Content.styled("ctrl+s sends · esc cancels", "$dim"))
        self.query_one("#url", Input).focus()
        self.call_after_refresh(self._ready.set)

    async def prepared(self) -> None:
        """Returns once the fields are there to be filled in."""
        await self._ready.wait()

    def fill(self, method: str, url: str, headers: str = "", body: str = "") -> None:
        self.query_one(MethodPicker).choose(method)
        self.query_one("#url", Input).value = one_line(url)
        self.query_one("#headers", TextArea).text = clean(headers)
        self.query_one("#body", TextArea).text = clean(body)
        self.query_one("#url", Input).focus()

    @on(UrlInput.CurlPasted)
    def _curl_pasted(self, event: UrlInput.CurlPasted) -> None:
        try:
            pasted = request_of(event.text)
        except ValueError as error:
            self._show_status(Content.styled(f"✗ {one_line(str(error))}", "$error"))
        else:
            self.fill(pasted.method, pasted.url, pasted.headers, pasted.body)

    def focus_main(self) -> None:
        self.query_one("#content").focus()

    # -- Sending

    def _url(self) -> str:
        """What was typed as an address: `weather/now` and `/now` mean an API of ours. Raises ValueError."""
        typed = self.query_one("#url", Input).value.strip()
        if typed.startswith(("http://", "https://")):
            return typed
        if not typed:
            raise ValueError("Type a URL, or an API and path as: weather/now")
        name, _, path = typed.lstrip("/").partition("/")
        name, question, query = name.partition("?")
        api = self.market.live.fleet.named(name)
        if api is None:
            raise ValueError(f"{one_line(typed)!r} is no http:// address, and no API is named {one_line(name)!r}")
        return api.url.rstrip("/") + "/" + path + question + query

    @on(Button.Pressed, "#send")
    @on(Input.Submitted, "#url")
    def do_send(self) -> None:
        if self._sending is not None:
            self.market.tell("One request is running; esc cancels it")
            return
        try:
            url = self._url()
            parse_headers(self.query_one("#headers", TextArea).text)
        except ValueError as error:
            self._show_status(Content.styled(f"✗ {one_line(str(error))}", "$error"))
            return
        self._sending = self.run_worker(self._send(url), name="send")
        self.query_one("#send", Button).disabled = True

    async def _send(self, url: str) -> None:
        method = self.query_one(MethodPicker).method
        headers, body = self.query_one("#headers", TextArea).text, self.query_one("#body", TextArea).text
        pairs = dict(parse_headers(headers))
        self._show_status(Content.styled(f"⟳ esc cancels · {method} {one_line(url)}", "$warning"))
        at = self.market.clock()
        try:
            answer = await attempt(self.market.backend.call(method, url, pairs, body.encode(), TIMEOUT_S))
        except asyncio.CancelledError:
            if stands(self):
                self._show_status(Content.styled("○ cancelled", "$dim"))
            raise
        finally:
            self._sending = None
            if stands(self):
                self.query_one("#send", Button).disabled = False
        if not stands(self):
            return
        sent = Sent(len(self._history) + 1, at, method, url, headers, body, answer)
        self._history.insert(0, sent)
        del self._history[HISTORY_KEPT:]
        self.query_one("#history", LineTable).show_rows(list(self._history))
        self.query_one("#history", LineTable).select(str(sent.number))
        self._show(sent)
        self.focus_main()

    def do_cancel(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        else:
            self.do_back()

    def do_fields(self) -> None:
        self.focus_next()

    # -- Showing

    def _show_status(self, left: Content, right: Content | None = None) -> None:
        self.query_one("#status", Rule).show(left, right)

    def _show(self, sent: Sent) -> None:
        self._shown = sent
        view = self.query_one("#content", LineView)
        answer = sent.answer
        if isinstance(answer, Trouble):
            self._show_status(Content.styled("✗ no answer", "$error"))
            width = max(view.scrollable_content_region.width, 20)
            told = [part for line in clean(answer.text).splitlines() for part in textwrap.wrap(line, width)]
            text = TextLines([[(line, "text")] for line in told])
        else:
            self._show_status(*_status(answer))
            text = TextLines(header_lines(answer) if self._show_headers else body_lines(answer))
        view.show(text, text.widest)

    def do_show_headers(self) -> None:
        self._show_headers = not self._show_headers
        if self._shown is not None:
            self._show(self._shown)

    @on(LineTable.Moved)
    @on(LineTable.Chosen)
    def _history_moved(self, event: LineTable.Moved | LineTable.Chosen) -> None:
        sent = event.table.selected
        if isinstance(sent, Sent) and event.table.has_focus:
            self.fill(sent.method, sent.url, sent.headers, sent.body)
            self._show(sent)
            event.table.focus()

    def do_copy_call(self) -> None:
        try:
            url, headers = self._url(), parse_headers(self.query_one("#headers", TextArea).text)
        except ValueError as error:
            self.market.tell(str(error), bad=True)
            return
        body = self.query_one("#body", TextArea).text
        self.app.copy_to_clipboard(curl(self.query_one(MethodPicker).method, url, headers, body))
        self.market.tell("copied as curl")

    def current_api(self) -> "ApiView | None":
        return None


def _status(answer: CallResult) -> tuple[Content, Content]:
    tone = {"ok": "$success", "warn": "$warning"}.get(status_tone(answer.status), "$error")
    pairs = header_pairs(answer.headers)
    left = Content.assemble(
        (f"{answer.status} {one_line(answer.reason)}", f"bold {tone}"),
        (f"  {millis(answer.elapsed_ms)}  {size(len(answer.body))}", "$foreground"),
    )
    generation = one_line(header(pairs, "x-apimarket-generation"))
    pending = one_line(header(pairs, "x-apimarket-pending-error"))
    right = Content.styled(f"gen {generation[:12]}", "$accent") if generation else Content("")
    if pending:
        left += Content.styled(f"  newest save fails: {pending}", "$error")
    return left, right


def _history_cell(sent: Sent, column: str, width: int) -> Spans:
    answer = sent.answer
    match column:
        case "at":
            return [(f"{sent.at:%H:%M:%S}", "dim")]
        case "method":
            return [(sent.method, METHOD_TONE.get(sent.method, "text"))]
        case "status":
            if isinstance(answer, Trouble):
                return [("✗", "bad")]
            return [(str(answer.status), status_tone(answer.status))]
        case "took":
            return [("–" if isinstance(answer, Trouble) else millis(answer.elapsed_ms), "dim")]
        case _:
            return [(sent.url, "text")]
