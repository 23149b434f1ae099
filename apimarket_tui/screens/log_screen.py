"""A screen with a log: what is done to it, whatever else is there."""

from apimarket_tui.screens.frame import FrameScreen
from apimarket_tui.widgets.logs import LogPane


class LogScreen(FrameScreen):
    """Subclasses have one LogPane, and "logs" in their scopes while it is seen."""

    def do_freeze(self) -> None:
        self.query_one(LogPane).toggle_follow()

    def do_find(self) -> None:
        self.open_prompt("find", self.query_one(LogPane).wanted)

    def found(self, text: str) -> None:
        self.query_one(LogPane).find(text)

    def do_find_next(self) -> None:
        self.query_one(LogPane).find_again(1)

    def do_find_previous(self) -> None:
        self.query_one(LogPane).find_again(-1)
