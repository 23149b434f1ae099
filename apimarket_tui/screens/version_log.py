"""What one version of an API printed, and prints."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.history import LogHistory
from apimarket_tui.live import following
from apimarket_tui.screens.frame import bindings, stands
from apimarket_tui.screens.log_screen import LogScreen
from apimarket_tui.widgets.bars import Rule, TopBar
from apimarket_tui.widgets.lines import LineView
from apimarket_tui.widgets.logs import LogPane

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, LogLineView

LOG_START = 5_000
"""Lines read when the screen opens; later ones come as events."""


class VersionLogScreen(LogScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("logs", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("local", "…", "log")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, api: "ApiView", version: str) -> None:
        super().__init__()
        self._api, self._version = api, version
        self._came: list[LogLineView] = []

    def body(self) -> ComposeResult:
        yield Rule(id="heading")
        yield LogPane(LogHistory(), id="logs")

    def on_mount(self) -> None:
        super().on_mount()
        name = f"{self._api.name}@{self._version}"
        self.query_one(TopBar).set_trail(("local", self._api.name, f"@{self._version}", "log"))
        self.query_one("#heading", Rule).show(Content.styled(one_line(name), "bold $foreground"))
        self.focus_main()
        self.run_worker(self._follow(), name="version log")

    def focus_main(self) -> None:
        self.query_one(LineView).focus()

    async def _follow(self) -> None:
        """The stream is opened before the past is read, so that nothing falls between the two."""
        reading = asyncio.create_task(self._read(), name="version log past")
        try:
            async for event in following(self.market.backend, (f"log:{self._api.id}@{self._version}",)):
                if event.topic == "log":
                    self._came += event.lines
                elif event.topic == "resync":
                    await reading
                    reading = asyncio.create_task(self._read(), name="version log past")
                if reading.done() and stands(self):
                    self._take()
        finally:
            reading.cancel()

    async def lines_of(self, generation: int) -> "Sequence[LogLineView]":
        asked = self.market.backend.logs(self._api.name, LOG_START, version=self._version, generation=generation)
        lines = await attempt(asked)
        return () if isinstance(lines, Trouble) else lines

    async def _read(self) -> None:
        answer = await attempt(self.market.backend.logs(self._api.name, LOG_START, version=self._version))
        if not stands(self):
            return
        if isinstance(answer, Trouble):
            self.query_one("#heading", Rule).show(Content.styled(f"✗ {one_line(answer.detail)}", "$error"))
            return
        past = {(line.at, line.stream, line.text) for line in answer}
        self._came = [*answer, *(line for line in self._came if (line.at, line.stream, line.text) not in past)]
        self.query_one(LogPane).clear()
        self._take()

    def _take(self) -> None:
        lines, self._came = self._came, []
        self.query_one(LogPane).take(lines)
