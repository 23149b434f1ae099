"""A screen with a log: what is done to it, whatever else is there."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import on

from apimarket_tui.screens.frame import FrameScreen, stands
from apimarket_tui.widgets.logs import LogPane

if TYPE_CHECKING:
    from local_server.wire.apis import LogLineView


class LogScreen(FrameScreen):
    """Subclasses have one LogPane, and "logs" in their scopes while it is seen."""

    @property
    def log_pane(self) -> LogPane:
        return self.query_one(LogPane)

    async def lines_of(self, generation: int) -> "Sequence[LogLineView]":
        """What the server has of one generation, oldest first: more of it than was read, where others printed since."""
        raise NotImplementedError

    def do_freeze(self) -> None:
        self.log_pane.toggle_follow()

    # -- Finding

    def do_find(self) -> None:
        self.open_prompt("find", self.log_pane.wanted)

    def found(self, text: str) -> None:
        self.log_pane.find(text)

    def do_find_next(self) -> None:
        self.log_pane.find_again(1)

    def do_find_previous(self) -> None:
        self.log_pane.find_again(-1)

    # -- One generation

    def do_one_generation(self) -> None:
        pane = self.log_pane
        if pane.generation is not None:
            pane.show_only(None)
            return
        self.ask("of which generation", str(pane.generation_in_hand() or ""), self._one_generation)

    def _one_generation(self, text: str) -> str:
        number = text.strip().removeprefix("g")
        if not number.isdecimal() or int(number) == 0:
            return f"{text!r} is no generation; write its number, as 14"
        self.begin("one generation", partial(self._show_generation, int(number)))
        return ""

    async def _show_generation(self, number: int) -> None:
        """At once what is here, then what only the server has."""
        self.log_pane.show_only(number)
        earlier = await self.lines_of(number)
        if stands(self) and self.log_pane.generation == number:
            self.log_pane.show_only(number, earlier)

    # -- One line

    def do_plain_json(self) -> None:
        self.log_pane.toggle_json()

    @on(LogPane.Opened)
    def do_whole_line(self) -> None:
        from apimarket_tui.screens.log_line import LogLineScreen

        index = self.log_pane.in_hand()
        if index is not None:
            self.app.push_screen(LogLineScreen(self.log_pane.shown, index))
