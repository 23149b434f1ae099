"""Mode 3: call an API and read its answer."""

import asyncio
import textwrap
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input
from textual.worker import Worker

from apimarket_tui.answers import body_lines, header, header_lines, header_pairs
from apimarket_tui.backend import CallResult, Trouble, attempt
from apimarket_tui.clean import clean, one_line
from apimarket_tui.curl_commands import is_curl, request_of
from apimarket_tui.drafts import AuthKind, Draft, Outgoing, outgoing
from apimarket_tui.screens.call_screen import CallScreen
from apimarket_tui.screens.frame import bindings, stands
from apimarket_tui.sent import Remembered, Sent, SentCalls, cell
from apimarket_tui.widgets.ask import AskPane
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.method import MethodPicker
from apimarket_tui.widgets.requests import curl
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import Spans, millis, size, status_tone

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView

TIMEOUT_S = 60.0
HISTORY_COLUMNS = (
    Column("at", "TIME", 8, 8, rank=2),
    Column("method", "METHOD", 6, 7),
    Column("status", "STATUS", 6, 6, right=True),
    Column("took", "TOOK", 6, 6, right=True),
    Column("url", "URL", 12, 200),
)
MOST_ZOOM = 2
"""The answer has all the room."""


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


class ConsoleScreen(CallScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("console", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("try it",)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self) -> None:
        super().__init__()
        self._sent: SentCalls | None = None
        self._shown: Sent | None = None
        self._show_headers = False
        self._sending: Worker[None] | None = None
        self._ready = asyncio.Event()
        self._zoom = 0

    def body(self) -> ComposeResult:
        with Horizontal(id="request"):
            yield MethodPicker(id="method")
            yield UrlInput(placeholder="URL, or an API and path as: weather/now?q=oslo", compact=True, id="url")
            yield Button("Send", id="send", variant="primary", compact=True)
        with Horizontal(id="columns"):
            yield AskPane(id="ask")
            with Vertical(id="answer"):
                yield Rule(id="status")
                yield LineView(id="content")
        yield LineTable["Sent"](HISTORY_COLUMNS, lambda row: str(row.number), self._cell, id="history")

    def on_mount(self) -> None:
        super().on_mount()
        self._sent = SentCalls(self.market.home)
        self.show_status(Content.styled("ctrl+s sends · esc cancels", "$dim"))
        self.query_one("#url", Input).focus()
        self.run_worker(self._load_history(), name="calls")
        self.call_after_refresh(self._ready.set)

    async def _load_history(self) -> None:
        await self.sent.load()
        if stands(self):
            self.history.show_rows(list(self.sent.all))

    async def prepared(self) -> None:
        """Returns once the fields are there to be filled in."""
        await self._ready.wait()

    @property
    def sent(self) -> SentCalls:
        assert self._sent is not None
        return self._sent

    @property
    def ask_pane(self) -> AskPane:
        return self.query_one(AskPane)

    @property
    def history(self) -> "LineTable[Sent]":
        return self.query_one("#history", LineTable)

    def fill(
        self,
        method: str,
        url: str,
        headers: str = "",
        body: str = "",
        query: str = "",
        auth: AuthKind | None = None,
        secret: str = "",
    ) -> None:
        """`auth` None: that stays as it is."""
        self.query_one("#method", MethodPicker).choose(method)
        self.query_one("#url", Input).value = one_line(url)
        self.ask_pane.fill(query, headers, body, auth, secret)
        self.query_one("#url", Input).focus()

    def _cell(self, sent: Sent, column: str, width: int) -> Spans:
        return cell(sent, column, self.market.clock())

    @on(UrlInput.CurlPasted)
    def _curl_pasted(self, event: UrlInput.CurlPasted) -> None:
        self._take_curl(event.text)

    def on_paste(self, event: events.Paste) -> None:
        """Outside of a field only a curl command can be meant."""
        if is_curl(event.text):
            event.stop()
            self._take_curl(event.text)

    def _take_curl(self, text: str) -> None:
        try:
            pasted = request_of(text)
        except ValueError as error:
            self.refuse(str(error))
        else:
            self.fill(pasted.method, pasted.url, pasted.headers, pasted.body, auth="none")

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

    def draft(self) -> Draft:
        """What stands in the fields. Raises ValueError where the address means nothing."""
        ask = self.ask_pane
        method, url = self.query_one("#method", MethodPicker).method, self._url()
        return Draft(method, url, ask.text("query"), ask.text("headers"), ask.text("body"), ask.auth, ask.secret)

    @on(Button.Pressed, "#send")
    @on(Input.Submitted, "#url")
    @on(Input.Submitted, "#auth-secret")
    def do_send(self) -> None:
        if self._sending is not None:
            self.market.tell("One request is running; esc cancels it")
            return
        try:
            draft = self.draft()
            out = outgoing(draft)
        except ValueError as error:
            self.refuse(str(error))
            return
        self._sending = self.run_worker(self._send(draft, out), name="send")
        self.query_one("#send", Button).disabled = True

    async def _send(self, draft: Draft, out: Outgoing) -> None:
        self.show_status(Content.styled(f"⟳ esc cancels · {out.method} {one_line(out.url)}", "$warning"))
        at = self.market.clock()
        call = self.market.backend.call(out.method, out.url, dict(out.headers), out.body.encode(), TIMEOUT_S)
        try:
            answer = await attempt(call)
        except asyncio.CancelledError:
            if stands(self):
                self.show_status(Content.styled("○ cancelled", "$dim"))
            raise
        finally:
            self._sending = None
            if stands(self):
                self.query_one("#send", Button).disabled = False
        if not stands(self):
            return
        try:
            sent = await self.sent.add(at, draft, out, answer)
        except OSError as error:
            sent = self.sent.all[0]
            self.market.tell(f"The call is not kept beyond this run: {error.strerror or error}", bad=True)
        if not stands(self):
            return
        self.history.show_rows(list(self.sent.all))
        self.history.select(str(sent.number))
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

    def show_status(self, left: Content, right: Content | None = None) -> None:
        self.query_one("#status", Rule).show(left, right)

    def _show(self, sent: Sent) -> None:
        self._shown = sent
        view = self.query_one("#content", LineView)
        answer = sent.answer
        if isinstance(answer, Remembered):
            self.show_status(*_remembered(answer))
            text = TextLines([[("The answer is not kept beyond the run that it came in: ctrl+s asks again", "dim")]])
        elif isinstance(answer, Trouble):
            self.show_status(Content.styled("✗ no answer", "$error"))
            text = self._wrapped(answer.text)
        else:
            self.show_status(*_status(answer))
            text = TextLines(header_lines(answer) if self._show_headers else body_lines(answer))
        view.show(text, text.widest)

    def _wrapped(self, text: str) -> TextLines:
        width = max(self.query_one("#content").size.width - 2, 20)
        told = [part for line in clean(text).splitlines() for part in textwrap.wrap(line, width)]
        return TextLines([[(line, "text")] for line in told])

    def refuse(self, why: str) -> None:
        """In the line of the status; what has no room there stands below it too."""
        told = f"✗ {one_line(why)}"
        self.show_status(Content.styled(told, "$error"))
        if len(told) > self.query_one("#status").size.width - 5:
            text = self._wrapped(why)
            self.query_one("#content", LineView).show(text, text.widest)

    def do_show_headers(self) -> None:
        self._show_headers = not self._show_headers
        if self._shown is not None:
            self._show(self._shown)

    @on(LineTable.Moved)
    @on(LineTable.Chosen)
    def _history_moved(self, event: LineTable.Moved | LineTable.Chosen) -> None:
        sent = event.table.selected
        if isinstance(sent, Sent) and event.table.has_focus:
            draft = sent.draft
            self.fill(draft.method, draft.url, draft.headers, draft.body, draft.query, draft.auth, draft.secret)
            self._show(sent)
            event.table.focus()

    def do_copy_call(self) -> None:
        try:
            out = outgoing(self.draft())
        except ValueError as error:
            self.market.tell(str(error), bad=True)
            return
        self.app.copy_to_clipboard(curl(out.method, out.url, out.headers, out.body))
        self.market.tell("copied as curl")

    def do_next_ask(self) -> None:
        self.ask_pane.tabs.go(1)

    def do_last_ask(self) -> None:
        self.ask_pane.tabs.go(-1)

    def do_more_answer(self) -> None:
        self._resize(1)

    def do_less_answer(self) -> None:
        self._resize(-1)

    def _resize(self, by: int) -> None:
        self._zoom = max(-1, min(MOST_ZOOM, self._zoom + by))
        for step, name in ((-1, "-less"), (1, "-more"), (MOST_ZOOM, "-most")):
            self.set_class(self._zoom == step, name)
        self.focus_main()

    def answer_here(self) -> CallResult | None:
        answer = self._shown.answer if self._shown is not None else None
        return None if answer is None or isinstance(answer, Trouble | Remembered) else answer

    def address(self) -> str:
        return self.query_one("#url", Input).value.strip()

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


def _remembered(answer: Remembered) -> tuple[Content, Content]:
    if answer.status is None:
        return Content.styled("✗ no answer", "$error"), Content("")
    tone = {"ok": "$success", "warn": "$warning"}.get(status_tone(answer.status), "$error")
    figures = f"  {millis(answer.elapsed_ms)}  {size(answer.bytes)}"
    return Content.assemble((str(answer.status), f"bold {tone}"), (figures, "$foreground")), Content("")
