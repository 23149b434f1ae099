"""The immutable versions of an API, and where its traffic goes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.content import Content

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.lengths import length_of
from apimarket_tui.panes.kept_table import KeptTablePane
from apimarket_tui.version_rows import COLUMNS, DEV, Known, VersionRow, cell_of, rows_of, traffic_words
from apimarket_tui.widgets.table import LineTable

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.versions import MarkVersion, VersionView

T = TypeVar("T")


class VersionsPane(KeptTablePane[Known, VersionRow]):
    REFRESH_S: ClassVar[float] = 2.0
    NONE: ClassVar[Content] = Content.assemble(
        ("No versions yet\n\n", "bold"),
        ("v", "bold $primary"),
        (" makes one of what serves now: it never changes, and has a URL of its own", "$dim"),
    )

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="versions")

    def make_table(self) -> LineTable[VersionRow]:
        return LineTable(
            COLUMNS,
            lambda row: row.target,
            lambda row, column, _: cell_of(row, column, self.api, self.market.clock()),
        )

    async def ask(self, api: "ApiView") -> Known:
        backend = self.market.backend
        return Known(await backend.versions(api.name), await backend.traffic(api.name))

    def rows(self, found: Known) -> Sequence[VersionRow]:
        return rows_of(found) if found.versions else []

    def told(self, found: Known) -> Content:
        return traffic_words(found.traffic)

    # -- Acting

    def _version(self) -> "VersionView | None":
        """The selected version; says so where it is the directory."""
        row = self.selected
        if row is None or row.version is None:
            self.market.tell("Choose a version; v makes one of what serves now")
            return None
        return row.version

    def _act(self, told: str, act: Awaitable[T]) -> None:
        async def do() -> None:
            answer = await attempt(act)
            if isinstance(answer, Trouble):
                self.market.tell_trouble(answer)
            else:
                self.market.tell(told)
            if self.standing:
                self.ask_again()

        self.run_worker(do(), name=told, group="version acts")

    def do_make_version(self) -> None:
        api = self.api
        if api is not None:
            self.market.ask("the number of a new version of what serves now", one_line(api.version), self._make)

    def _make(self, text: str) -> str:
        from local_server.wire.versions import DeployVersion

        api = self.api
        if api is None or not text:
            return "give its number, as: 1.2.0"
        wanted = DeployVersion(version=text.removeprefix("v"))
        told = f"{api.name} {wanted.version} takes the traffic once it is ready"
        self._act(told, self.market.backend.deploy_version(api.name, wanted))
        return ""

    def do_mark_version(self) -> None:
        self.table.table.mark()

    def do_compare_versions(self) -> None:
        """The two that are marked, the older first; else the selected one and the directory."""
        from apimarket_tui.screens.diff import DiffScreen

        api, row, marks = self.api, self.selected, self.table.table.marks
        if api is None:
            return
        marked = [one.target for one in self.table.table.rows if one.target in marks]
        if len(marked) > 2:
            self.market.tell(f"{len(marked)} are marked; two can be compared. space takes a mark off", bad=True)
        elif len(marked) == 2:
            self.app.push_screen(DiffScreen(api.id, marked[1], marked[0]))
        elif row is None or row.version is None:
            self.app.push_screen(DiffScreen(api.id))
        else:
            self.app.push_screen(DiffScreen(api.id, row.target, DEV if api.directory else None))

    def do_send_traffic(self) -> None:
        row, api = self.selected, self.api
        if row is None or api is None:
            return
        self._move(api, row.target, 100)

    def do_canary(self) -> None:
        row = self.selected
        if row is not None:
            told = f"percent of the traffic for {one_line(row.target)}, as: 10"
            self.market.ask(told, "10" if row.weight in (0, 100) else str(row.weight), self._weigh)

    def _weigh(self, text: str) -> str:
        row, api = self.selected, self.api
        number = text.removesuffix("%").strip()
        if not (number.isascii() and number.isdecimal() and 1 <= int(number) <= 100):
            return f"{text!r} is no share; give 1 to 100 percent"
        if row is not None and api is not None:
            self._move(api, row.target, int(number))
        return ""

    def _move(self, api: "ApiView", target: str, weight: int) -> None:
        from local_server.wire.versions import MoveTraffic

        told = f"{weight} % of {api.name}'s traffic goes to {target} once it is ready"
        self._act(told, self.market.backend.move_traffic(api.name, MoveTraffic(target=target, weight=weight)))

    def do_roll_back(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        api, known = self.api, self.found
        if api is None or known is None or not known.traffic.earlier:
            self.market.tell("The traffic was never anywhere else")
            return
        before = ", ".join(f"{one.weight} % {one_line(one.target)}" for one in known.traffic.earlier[0])
        question = f"Roll {one_line(api.name)} back?"
        more = f"The traffic goes back to where it was: {before}. Nothing is restarted."
        self.app.push_screen(
            ConfirmScreen(question, more, "Roll back", "Stay"), lambda yes: self._roll_back(api) if yes else None
        )

    def _roll_back(self, api: "ApiView") -> None:
        self._act(f"{api.name} is as it was before", self.market.backend.roll_back(api.name))

    def do_deprecate(self) -> None:
        version = self._version()
        if version is None:
            return
        if version.deprecated_at is not None:
            from local_server.wire.versions import MarkVersion

            self._mark(version, MarkVersion(deprecated=False), f"{version.version} is as good as ever")
        else:
            told = f"{one_line(version.version)}: when callers are refused, as: 30d; empty: they are only told"
            self.market.ask(told, "", lambda text: self._deprecate(version, text))

    def _deprecate(self, version: "VersionView", text: str) -> str:
        from local_server.wire.versions import MarkVersion

        try:
            marks = MarkVersion(deprecated=True)
            if text:
                marks = MarkVersion(deprecated=True, sunset_at=self.market.clock() + length_of(text))
        except (ValueError, OverflowError) as error:
            return str(error) if not isinstance(error, OverflowError) else f"{text!r} is too long"
        self._mark(version, marks, f"callers of {version.version} are told to go over to another")
        return ""

    def do_yank_version(self) -> None:
        version = self._version()
        if version is None:
            return
        if version.yanked_at is not None:
            from local_server.wire.versions import MarkVersion

            self._mark(version, MarkVersion(yanked=False), f"{version.version} is in sight again")
        else:
            told = f"why {one_line(version.version)} goes out of sight, for those who use it"
            self.market.ask(told, "", lambda text: self._yank(version, text))

    def _yank(self, version: "VersionView", text: str) -> str:
        from local_server.wire.versions import MarkVersion

        if not text or len(text) > 500:
            return "say why, in up to 500 characters"
        self._mark(version, MarkVersion(yanked=True, reason=text), f"{version.version} is yanked")
        return ""

    def _mark(self, version: "VersionView", marks: "MarkVersion", told: str) -> None:
        api = self.api
        if api is not None:
            self._act(told, self.market.backend.mark_version(api.name, version.version, marks))

    def do_channel(self) -> None:
        version = self._version()
        if version is not None:
            told = f"the channel that leads to {one_line(version.version)}, as: beta"
            self.market.ask(told, "", lambda text: self._channel(version, text))

    def _channel(self, version: "VersionView", text: str) -> str:
        api, channel = self.api, text.removeprefix("@")
        if api is None or not channel:
            return "give the channel's name, as: beta"
        act = self.market.backend.put_channel(api.name, channel, version.version)
        self._act(f"@{channel} leads to {version.version}", act)
        return ""

    def do_version_log(self) -> None:
        from apimarket_tui.screens.version_log import VersionLogScreen

        version, api = self._version(), self.api
        if version is not None and api is not None:
            self.app.push_screen(VersionLogScreen(api, version.version))

    def do_copy_pinned(self) -> None:
        version = self._version()
        if version is not None:
            self.app.copy_to_clipboard(one_line(version.url))
            self.market.tell(f"copied {version.url}")
