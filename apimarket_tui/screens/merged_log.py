"""The logs of several APIs as one, by time."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from apimarket_tui.actions import Action
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.history import LogHistory
from apimarket_tui.live import following
from apimarket_tui.screens.frame import bindings, stands
from apimarket_tui.screens.log_screen import LogScreen
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.lines import LineView
from apimarket_tui.widgets.logs import LogPane

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, LogLineView

LOG_START = 2_000
"""Lines of each that are read when the screen opens."""
BATCH_S = 0.25
"""Lines of several APIs are put in order within this long."""


class MergedLogScreen(LogScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("logs", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("local", "logs")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, apis: "Sequence[ApiView]") -> None:
        super().__init__()
        self._apis = apis
        self._came: list[LogLineView] = []
        self._arrived = asyncio.Event()

    def body(self) -> ComposeResult:
        yield Rule(id="heading")
        yield LogPane(LogHistory(), named=True, id="logs")

    def on_mount(self) -> None:
        super().on_mount()
        names = ", ".join(one_line(api.name) for api in self._apis)
        self._say(Content.styled(names, "bold $foreground"))
        self.focus_main()
        self.run_worker(self._follow(), name="merged log")
        self.run_worker(self._keep_batches(), name="merged log batches")

    def focus_main(self) -> None:
        self.query_one(LineView).focus()

    def allowed(self, action: Action) -> bool:
        """Generations are counted by each API for itself."""
        return action.id != "one-generation" and super().allowed(action)

    def _say(self, text: Content) -> None:
        self.query_one("#heading", Rule).show(text, Content.styled(f"{len(self._apis)} logs", "$dim"))

    async def _follow(self) -> None:
        """The stream is opened before the past is read, so that nothing falls between the two."""
        reading = asyncio.create_task(self._read(), name="merged log past")
        try:
            async for event in following(self.market.backend, [f"log:{api.id}" for api in self._apis]):
                if event.topic == "log":
                    self._came += event.lines
                elif event.topic == "resync":
                    await reading
                    reading = asyncio.create_task(self._read(), name="merged log past")
                if reading.done():
                    self._arrived.set()
        finally:
            reading.cancel()

    async def _read(self) -> None:
        backend = self.market.backend
        answers = await asyncio.gather(*(attempt(backend.logs(api.name, LOG_START)) for api in self._apis))
        if not stands(self):
            return
        refused = [answer for answer in answers if isinstance(answer, Trouble)]
        if refused:
            self._say(Content.styled(f"✗ {one_line(refused[0].detail)}", "$error"))
        past = [line for answer in answers if not isinstance(answer, Trouble) for line in answer]
        known = {_identity(line) for line in past}
        self._came = [*past, *(line for line in self._came if _identity(line) not in known)]
        self.log_pane.clear()
        self._arrived.set()

    async def _keep_batches(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if not stands(self):
                return
            lines, self._came = self._came, []
            self.log_pane.take(sorted(lines, key=attrgetter("at")))
            await asyncio.sleep(BATCH_S)


def _identity(line: "LogLineView") -> tuple[object, ...]:
    return (line.api, line.at, line.stream, line.text)
