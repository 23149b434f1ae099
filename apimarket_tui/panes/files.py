"""The files of an API and its manifest: what runs, what changed since, what is left out, and every mistake."""

import asyncio
import difflib
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.colouring import coloured
from apimarket_tui.file_rows import (
    MANIFEST,
    FileRow,
    cell,
    closed_at_first,
    directory_lines,
    left_out_lines,
    manifest_lines,
    rows_of,
)
from apimarket_tui.panes.pane import Pane
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.widgets.worded import WordedTable
from apimarket_tui.words import Spans, Tone, ago, size

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.files import FilesView, FileView

REFRESH_S = 3.0
MANY = 2_000
"""Files from which on the list is asked for again only when the API moves, or when it is opened."""
RESTS_S = 0.08
"""The cursor rests this long on a file before it is asked for."""
MOST_ZOOM = 2
"""The tree gives way to the file."""
KEPT_CHARACTERS = 64_000
"""Of a file that is kept to be shown at once the next time."""
COLUMNS = (
    Column("name", "FILE", 14, 60),
    Column("size", "SIZE", 7, 7, right=True, rank=1),
    Column("mode", "MODE", 4, 4, rank=2),
    Column("change", "CHANGE", 9, 9),
)
_NONE = Content.styled("No files", "bold")
_DIFFERENCE: dict[str, Tone] = {"-": "bad", "+": "ok", "@": "accent"}


class FilesPane(Pane):
    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="files")
        self._view: FilesView | None = None
        self._shut: set[str] = set()
        self._wanted = ""
        self._left_out = True
        self._difference = False
        self._zoom = 0
        self._beside: tuple[str, str] = ("", "")
        """What is shown beside the tree: key of the row, and its text."""

    def compose(self) -> ComposeResult:
        yield Rule(id="files-head")
        with Horizontal(id="files-columns"):
            table = LineTable[FileRow](COLUMNS, lambda row: row.key, lambda row, column, _: cell(row, column))
            yield WordedTable(table, _NONE, id="files-tree")
            with Vertical(id="beside"):
                yield Rule(id="file-head")
                yield LineView(id="file-text")

    def on_mount(self) -> None:
        self.set_interval(REFRESH_S, self._refresh)

    def on_resize(self) -> None:
        """What is beside the tree is as wide as there is room."""
        self.call_after_refresh(self._show_beside)

    @property
    def table(self) -> "WordedTable[FileRow]":
        return self.query_one("#files-tree", WordedTable)

    @property
    def text(self) -> LineView:
        return self.query_one("#file-text", LineView)

    def main(self) -> Widget:
        return self.table.table if self._zoom < MOST_ZOOM else self.text

    # -- Asking for the list

    def opened(self) -> None:
        api = self.api
        kept = self.market.kept.get(("files", api.id), object) if api is not None else None
        if kept is not None and self._view is None:
            self._show(kept[0], kept[1])  # type: ignore[arg-type]
        self._ask()

    def moved(self) -> None:
        """Another generation serves, or a save came: the list is another one now."""
        if self.in_view:
            self._ask()

    def _refresh(self) -> None:
        if self.in_view and (self._view is None or len(self._view.files) < MANY):
            self._ask()

    def _ask(self) -> None:
        self.run_worker(self._load(), name="files", group="files", exclusive=True)

    async def _load(self) -> None:
        api = self.api
        if api is None:
            return
        found = await attempt(self.market.backend.files(api.name))
        if not self.standing:
            return
        if isinstance(found, Trouble):
            self.report(found)
            self.table.refuse(found)
            return
        self.market.kept.put(("files", api.id), found)
        self._show(found, self.market.clock())

    def _show(self, found: "FilesView", at: datetime) -> None:
        if self._view is None:
            self._shut = set(closed_at_first(found))
        self._view = found
        self._show_head(found, at)
        self._show_rows()
        self._show_beside()

    def _show_head(self, found: "FilesView", at: datetime) -> None:
        whose = f" · g{found.running} runs" if found.running is not None else " · nothing runs"
        total = sum(one.bytes for one in found.files)
        head = Content.styled(f"{len(found.files):,} files, {size(total)}{whose}", "$foreground")
        changed = sum(one.change not in ("", "same") for one in found.files)
        if changed:
            head += Content.styled(f" · {changed} changed since", "$warning")
        if found.manifest.problems:
            head += Content.styled(f" · ✗ {len(found.manifest.problems)} in {MANIFEST}", "$error")
        if found.problem:
            head = Content.styled(f"✗ {one_line(found.problem)} · {one_line(found.hint)}", "$error")
        age = Content.styled(f"as of {ago(at, self.market.clock())}", "$dim")
        self.query_one("#files-head", Rule).show(head, age)

    def _show_rows(self) -> None:
        if self._view is not None:
            had_none = not self.table.table.display
            self.table.show(rows_of(self._view, self._shut, self._wanted, left_out=self._left_out))
            if had_none and self.in_view:
                self.main().focus()

    # -- What stands beside the row

    @on(LineTable.Moved)
    def _moved(self) -> None:
        self._difference = False
        self._show_beside()

    def _show_beside(self) -> None:
        row, view = self.table.selected if self.standing else None, self._view
        if row is None or view is None:
            return
        if row.kind == "file":
            self.run_worker(self._load_file(row), name="file", group="file", exclusive=True)
            return
        self.workers.cancel_group(self, "file")
        lines = manifest_lines(view, max(self.text.scrollable_content_region.width, 20))
        if row.kind == "directory":
            lines = directory_lines(row)
        elif row.out is not None:
            lines = left_out_lines(row.out)
        title = {"manifest": MANIFEST, "directory": f"{row.path}/"}.get(row.kind, row.path)
        self._put(row, lines, Content.styled(one_line(title), "bold $foreground"), str(lines))

    async def _load_file(self, row: FileRow) -> None:
        api = self.api
        if api is None or row.file is None:
            return
        removed = row.file.change == "removed"
        of = "running" if removed or (self._view is not None and not self._view.directory) else "directory"
        key = ("file", api.id, row.path, of)
        kept = self.market.kept.get(key, object)
        if self._beside[0] != row.key:
            if kept is not None:
                await self._show_file(row, kept[0])  # type: ignore[arg-type]
            await asyncio.sleep(RESTS_S)
        if self._difference:
            await self._load_difference(api, row)
            return
        shown = await attempt(self.market.backend.file(api.name, row.path, of))
        if not self.standing:
            return
        if isinstance(shown, Trouble):
            self._put(row, [[(one_line(shown.detail), "bad")]], self._title(row), shown.detail)
            return
        if len(shown.text) <= KEPT_CHARACTERS:
            self.market.kept.put(key, shown)
        await self._show_file(row, shown)

    async def _show_file(self, row: FileRow, shown: "FileView") -> None:
        if shown.binary:
            lines: list[Spans] = [[(f"no text: {size(shown.bytes)} that are not UTF-8", "dim")]]
        else:
            lines = _numbered(await asyncio.to_thread(coloured, shown.text, shown.path))
            if not lines:
                lines = [[("empty", "dim")]]
        if not self.standing:
            return
        if row.path == MANIFEST and self._view is not None:
            lines = _with_problems(lines, self._view)
        if not shown.whole:
            lines.append([(f"… the beginning of {size(shown.bytes)}", "warn")])
        self._put(row, lines, self._title(row), shown.text + str(self._view and self._view.manifest.problems))

    async def _load_difference(self, api: "ApiView", row: FileRow) -> None:
        asked = (self.market.backend.file(api.name, row.path, of) for of in ("running", "directory"))
        before, after = await asyncio.gather(*(attempt(one) for one in asked))
        if not self.standing:
            return
        texts = ["" if isinstance(one, Trouble) or one.binary else one.text for one in (before, after)]
        lines = difference_lines(*texts)
        title = self._title(row) + Content.styled("  what serves → what lies there", "$dim")
        self._put(row, lines, title, "difference".join(texts))

    def _title(self, row: FileRow) -> Content:
        return Content.styled(one_line(row.path), "bold $foreground")

    def _put(self, row: FileRow, lines: list[Spans], title: Content, text: str) -> None:
        """Show the lines; where they are those of the same row as before, scrolled as they are."""
        before, self._beside = self._beside, (row.key, text)
        self.query_one("#file-head", Rule).show(title)
        if before != self._beside:
            source = TextLines(lines)
            self.text.show(source, source.widest, stay=before[0] == row.key)

    # -- Acting

    def do_edit_file(self) -> None:
        row, api = self.table.selected, self.api
        if row is None or api is None or self._view is None:
            return
        if row.kind in ("directory", "left-out"):
            self.market.tell("That is no file of the API: choose one")
        elif row.kind == "file" and row.path != MANIFEST:
            self.market.acts.do_edit(api, row.path)
        else:
            problems = self._view.manifest.problems
            self.market.acts.do_edit(api, MANIFEST, problems[0].line if problems else None)

    @on(LineTable.Chosen)
    def do_open_row(self) -> None:
        """A directory opens or closes; a file gets the focus, to be scrolled."""
        row = self.table.selected
        if row is None:
            return
        if self.text.has_focus:
            self.main().focus()
        elif row.kind == "directory":
            self._shut ^= {row.path}
            self._show_rows()
            self._show_beside()
        else:
            self.text.focus()

    def do_difference(self) -> None:
        row = self.table.selected
        if row is None or row.file is None or row.file.change not in ("new", "changed", "removed"):
            self.market.tell("Nothing in it changed since what serves was read")
            return
        self._difference = not self._difference
        self._show_beside()

    def do_left_out(self) -> None:
        self._left_out = not self._left_out
        self._show_rows()
        if not self._left_out and self._view is not None:
            self.market.tell("what is left out is hidden; i shows it")

    def do_find_file(self) -> None:
        self.market.ask("part of a path; empty: all", self._wanted, self._filter)

    def _filter(self, text: str) -> str:
        if self._view is not None and not rows_of(self._view, (), text):
            return f"no file has {text!r} in its path"
        self._wanted = text
        self._show_rows()
        return ""

    def do_more_file(self) -> None:
        self._resize(1)

    def do_less_file(self) -> None:
        self._resize(-1)

    def _resize(self, by: int) -> None:
        self._zoom = max(-1, min(MOST_ZOOM, self._zoom + by))
        for step, name in ((-1, "-less"), (1, "-more"), (MOST_ZOOM, "-most")):
            self.set_class(self._zoom == step, name)
        self.main().focus()
        self.call_after_refresh(self._show_beside)


def _numbered(lines: list[Spans]) -> list[Spans]:
    width = max(len(str(len(lines))), 3)
    return [[(f"{number:>{width}}  ", "dim"), *line] for number, line in enumerate(lines, start=1)]


def _with_problems(lines: list[Spans], view: "FilesView") -> list[Spans]:
    """Every mistake below its line."""
    told: list[Spans] = []
    by_line: dict[int, list[Spans]] = {}
    for one in view.manifest.problems:
        text = f"     ✗ {one_line(one.key)}: {one_line(one.message)}"
        by_line.setdefault(min(one.line, len(lines)), []).append([(text, "bad")])
    for number, line in enumerate(lines, start=1):
        told += [line, *by_line.get(number, [])]
    return told


def difference_lines(before: str, after: str) -> list[Spans]:
    changes = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    lines = list(changes)[2:]
    return [[(line.expandtabs(4), _DIFFERENCE.get(line[:1], "text"))] for line in lines] or [
        [("They differ in mode, in how lines end, or beyond what is shown", "dim")]
    ]
