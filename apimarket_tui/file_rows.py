"""An API's files as rows of a tree, and what stands beside each. Pure."""

import textwrap
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from apimarket_tui.clean import one_line
from apimarket_tui.words import Spans, Tone, size

if TYPE_CHECKING:
    from local_server.wire.files import ApiFileView, FilesView, LeftOutView

MANIFEST = "apimarket.toml"
CLOSED_FROM = 300
"""Files from which on directories begin closed."""
CHANGES: dict[str, tuple[str, Tone]] = {
    "new": ("+ new", "ok"),
    "changed": ("~ changed", "warn"),
    "removed": ("- removed", "bad"),
}

Kind = Literal["manifest", "directory", "file", "left-out"]


@dataclass(frozen=True, slots=True)
class FileRow:
    kind: Kind
    path: str
    """Of a directory without a slash at the end; of the manifest's own row empty."""
    depth: int = 0
    file: "ApiFileView | None" = None
    out: "LeftOutView | None" = None
    open: bool = True
    files: int = 0
    """Of a directory: how many lie in it, at any depth."""
    bytes: int = 0
    changed: int = 0

    @property
    def key(self) -> str:
        return f"{self.kind} {self.path}"

    @property
    def name(self) -> str:
        name = self.path.rpartition("/")[2]
        if self.kind == "manifest":
            return "manifest"
        return f"{name}/" if self.kind == "directory" or (self.out is not None and self.out.directory) else name


def closed_at_first(view: "FilesView") -> frozenset[str]:
    """Directories that begin closed: none, or where there are many files all."""
    if len(view.files) < CLOSED_FROM:
        return frozenset()
    return frozenset(one.path.partition("/")[0] for one in view.files if "/" in one.path)


def rows_of(view: "FilesView", closed: Collection[str], wanted: str = "", *, left_out: bool = True) -> list[FileRow]:
    """The manifest first, then the tree, with what is left out in its place. With `wanted` only what has it in its
    path, all directories open."""
    wanted = wanted.casefold()
    files = [one for one in view.files if wanted in one.path.casefold()]
    out = [one for one in view.left_out if left_out and wanted in one.path.casefold()]
    leaves = [FileRow("file", one.path, one.path.count("/"), one) for one in files]
    leaves += [FileRow("left-out", one.path, one.path.count("/"), out=one) for one in out]
    shut: Collection[str] = () if wanted else closed
    rows = [] if wanted else [FileRow("manifest", "")]
    return rows + list(_with_directories(sorted(leaves, key=_order), files, shut))


def _order(row: FileRow) -> tuple[tuple[int, str], ...]:
    """Directories before files at every level."""
    *directories, name = row.path.split("/")
    last = 0 if row.out is not None and row.out.directory else 1
    return (*((0, one) for one in directories), (last, name))


def _with_directories(
    leaves: Iterable[FileRow], files: "Iterable[ApiFileView]", closed: Collection[str]
) -> Iterable[FileRow]:
    sums = _sums(files)
    told: set[str] = set()
    for leaf in leaves:
        parents = leaf.path.split("/")[:-1]
        around = ["/".join(parents[: depth + 1]) for depth in range(len(parents))]
        for depth, path in enumerate(around):
            if path not in told and not any(above in closed for above in around[:depth]):
                count, total, changed = sums.get(path, (0, 0, 0))
                told.add(path)
                yield FileRow("directory", path, depth, None, None, path not in closed, count, total, changed)
        if not any(path in closed for path in around):
            yield leaf


def _sums(files: "Iterable[ApiFileView]") -> dict[str, tuple[int, int, int]]:
    """For each directory: files, bytes, and how many of them changed."""
    sums: dict[str, tuple[int, int, int]] = {}
    for one in files:
        path = one.path.rpartition("/")[0]
        while path:
            count, total, changed = sums.get(path, (0, 0, 0))
            sums[path] = count + 1, total + one.bytes, changed + (one.change in CHANGES)
            path = path.rpartition("/")[0]
    return sums


def cell(row: FileRow, column: str) -> Spans:
    match column:
        case "name":
            return _name(row)
        case "size":
            if row.file is not None:
                return [(size(row.file.bytes), "dim")]
            return [(size(row.bytes), "dim")] if row.kind == "directory" and row.files else [("", "dim")]
        case "mode":
            return [(row.file.mode, "warn" if row.file.mode == "755" else "dim")] if row.file is not None else []
        case _:
            return _change(row)


def _name(row: FileRow) -> Spans:
    indent = "  " * row.depth
    match row.kind:
        case "manifest":
            return [("◆ manifest", "primary")]
        case "directory":
            return [(f"{indent}{'▾' if row.open else '▸'} ", "dim"), (one_line(row.name), "strong")]
        case "left-out":
            return [(f"{indent}  {one_line(row.name)}", "dim")]
    removed = row.file is not None and row.file.change == "removed"
    return [(f"{indent}  {one_line(row.name)}", "dim" if removed else "text")]


def _change(row: FileRow) -> Spans:
    if row.kind == "left-out":
        return [("left out", "dim")]
    if row.kind == "directory":
        return [(f"~ {row.changed}", "warn")] if row.changed else []
    found = CHANGES.get(row.file.change) if row.file is not None else None
    return [found] if found is not None else []


# -- What stands beside a row


def manifest_lines(view: "FilesView", width: int) -> list[Spans]:
    """Every mistake, then the values that hold; those that nobody wrote are dim."""
    lines: list[Spans] = []
    problems = view.manifest.problems
    if problems:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines += [[(f"✗ {count} in {MANIFEST}", "bad")], []]
        for one in problems:
            lines.append([(f"  line {one.line:<4}", "bad"), (f" {one_line(one.key)}", "strong")])
            lines += [[(f"    {piece}", "text")] for piece in textwrap.wrap(one_line(one.message), width - 4)]
        lines += [[], [("Until they are corrected these hold:", "dim")]]
    widest = max((len(row.key) for row in view.manifest.rows), default=0)
    section = ""
    for row in view.manifest.rows:
        found = row.key.partition(".")[0]
        if found != section:
            lines += [[]] if lines else []
            section = found
        lines.append(
            [
                (f"{one_line(row.key):<{widest}}  ", "dim" if row.default else "primary"),
                (one_line(row.value) or "–", "dim" if row.default or not row.value else "text"),
            ]
        )
    return lines


def directory_lines(row: FileRow) -> list[Spans]:
    files = "1 file" if row.files == 1 else f"{row.files:,} files"
    lines: list[Spans] = [[(f"{files}, {size(row.bytes)}", "text")]]
    if row.changed:
        lines.append([(f"{row.changed} changed since what serves was read", "warn")])
    return [*lines, [], [(f"enter {'closes' if row.open else 'opens'} it", "dim")]]


def left_out_lines(out: "LeftOutView") -> list[Spans]:
    what = "This directory, with all that is in it," if out.directory else "This file"
    return [
        [(f"{what} is no part of the API:", "text")],
        [(f"  {one_line(out.why)}", "warn")],
        [],
        [("What is left out neither runs nor is published,", "dim")],
        [("and a change of it reloads nothing.", "dim")],
    ]
