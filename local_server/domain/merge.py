"""Three-way merge of trees.

What only one side changed is taken over. Where both changed one file, an edit beats a delete, a text is merged by
lines, `apimarket.toml` by key, and anything else is left to a person. A conflict is data: what each side has, and for
a text a draft with markers. Chosen answers go into the same function, until it leaves no conflict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from local_server.domain.manifest import MANIFEST_NAME
from local_server.domain.merge_choices import Edited, Side
from local_server.domain.merge_manifest import FieldConflict, merge_manifest
from local_server.domain.merge_text import merge_text
from local_server.domain.trees import Tree, TreeEntry, name_collisions

MAX_TEXT_BYTES = 1024 * 1024

Content = Callable[[str], bytes]
"""What the blob of this SHA-256 holds."""
Choice = Side | Edited


@dataclass(frozen=True, slots=True)
class FileConflict:
    """One file that cannot be merged without being told how. None: that side has no such file."""

    path: str
    kind: Literal["text", "manifest", "binary", "name"]
    """name: `path` of mine and `other` of theirs cannot both be in one directory."""
    base: TreeEntry | None
    mine: TreeEntry | None
    theirs: TreeEntry | None
    fields: tuple[FieldConflict, ...] = ()
    """Of apimarket.toml: the keys that both sides changed."""
    draft: str | None = None
    """A text, with both sides between markers where they clash."""
    other: str | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """What has been decided, by path and, in apimarket.toml, by key."""

    files: Mapping[str, Choice] = field(default_factory=dict)
    fields: Mapping[str, Choice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TreeMerge:
    entries: Mapping[str, TreeEntry]
    """What is settled."""
    made: Mapping[str, bytes]
    """By SHA-256, contents that neither side has."""
    conflicts: tuple[FileConflict, ...]

    @property
    def tree(self) -> Tree:
        if self.conflicts:
            raise ValueError("a merge with conflicts is no tree yet")
        return Tree(self.entries)


@dataclass(frozen=True, slots=True)
class _Sides:
    path: str
    base: TreeEntry | None
    mine: TreeEntry | None
    theirs: TreeEntry | None

    def of(self, side: Side) -> TreeEntry | None:
        return {Side.MINE: self.mine, Side.THEIRS: self.theirs, Side.BASE: self.base}[side]

    def conflict(
        self,
        kind: Literal["text", "manifest", "binary"],
        fields: tuple[FieldConflict, ...] = (),
        draft: str | None = None,
    ) -> FileConflict:
        return FileConflict(self.path, kind, self.base, self.mine, self.theirs, fields, draft)

    @property
    def mode(self) -> Literal[0o644, 0o755]:
        """Changed by one side: that one's. There are two modes, so both can only have changed it to the same, or have
        added the file apart; then who can run it wins."""
        modes = [entry.mode for entry in (self.mine, self.theirs) if entry is not None]
        if self.base is not None:
            changed = [mode for mode in modes if mode != self.base.mode]
            return changed[0] if changed else self.base.mode
        return 0o755 if 0o755 in modes else 0o644


def merge_trees(base: Tree, mine: Tree, theirs: Tree, content: Content, choices: Choices | None = None) -> TreeMerge:
    """`content` is asked only for files that both sides changed."""
    merger = _Merger(content, choices or Choices())
    for path in sorted({*base.entries, *mine.entries, *theirs.entries}):
        merger.merge(_Sides(path, base.entries.get(path), mine.entries.get(path), theirs.entries.get(path)))
    merger.settle_names(mine, theirs)
    return TreeMerge(merger.entries, merger.made, tuple(sorted(merger.conflicts, key=lambda found: found.path)))


class _Merger:
    def __init__(self, content: Content, choices: Choices) -> None:
        self._content = content
        self._choices = choices
        self.entries: dict[str, TreeEntry] = {}
        self.made: dict[str, bytes] = {}
        self.conflicts: list[FileConflict] = []

    def merge(self, sides: _Sides) -> None:
        if sides.mine == sides.theirs or sides.theirs == sides.base:
            self._keep(sides.path, sides.mine)
        elif sides.mine == sides.base:
            self._keep(sides.path, sides.theirs)
        elif sides.mine is None or sides.theirs is None:
            self._keep(sides.path, sides.mine or sides.theirs)  # an edit beats a delete
        elif sides.mine.sha256 == sides.theirs.sha256 or (sides.base and sides.theirs.sha256 == sides.base.sha256):
            self._keep(sides.path, replace(sides.mine, mode=sides.mode))
        elif sides.base and sides.mine.sha256 == sides.base.sha256:
            self._keep(sides.path, replace(sides.theirs, mode=sides.mode))
        else:
            self._merge_content(sides)

    def _merge_content(self, sides: _Sides) -> None:
        choice = self._choices.files.get(sides.path)
        if isinstance(choice, Edited):
            self._make(sides, bytes(choice.value))
        elif choice is not None:
            chosen = sides.of(choice)
            self._keep(sides.path, chosen and replace(chosen, mode=sides.mode))
        else:
            self._merge_texts(sides)

    def _merge_texts(self, sides: _Sides) -> None:
        base, mine, theirs = (self._text(sides.of(side)) for side in (Side.BASE, Side.MINE, Side.THEIRS))
        if base is None or mine is None or theirs is None:
            self.conflicts.append(sides.conflict("binary"))
            return
        if sides.path == MANIFEST_NAME:
            manifest = merge_manifest(base, mine, theirs, self._choices.fields)
            if manifest is not None:
                if manifest.conflicts:
                    self.conflicts.append(sides.conflict("manifest", manifest.conflicts))
                else:
                    self._make(sides, manifest.text.encode())
                return
        merged = merge_text(base, mine, theirs)
        if merged is None:
            self.conflicts.append(sides.conflict("binary"))
        elif merged.clashes:
            self.conflicts.append(sides.conflict("text", draft=merged.text))
        else:
            self._make(sides, merged.text.encode())

    def settle_names(self, mine: Tree, theirs: Tree) -> None:
        """Names that cannot stand beside each other, though each side alone may have its own."""
        for first, second in name_collisions(self.entries):
            if first not in self.entries or second not in self.entries:
                continue  # given up for another one already
            ours, other = (first, second) if first in mine.entries else (second, first)
            choice = self._choices.files.get(ours)
            if choice is Side.MINE:
                self.entries.pop(other, None)
            elif choice is Side.THEIRS:
                self.entries.pop(ours, None)
            else:
                entry, its = self.entries[ours], self.entries[other]
                self.conflicts.append(FileConflict(ours, "name", None, entry, its, other=other))

    def _keep(self, path: str, entry: TreeEntry | None) -> None:
        if entry is not None:
            self.entries[path] = entry

    def _make(self, sides: _Sides, content: bytes) -> None:
        entry = TreeEntry.of(content, sides.mode)
        known = {side.sha256 for side in (sides.base, sides.mine, sides.theirs) if side}
        if entry.sha256 not in known:
            self.made[entry.sha256] = content
        self.entries[sides.path] = entry

    def _text(self, entry: TreeEntry | None) -> str | None:
        """None: not text, or too much of it."""
        if entry is None:
            return ""
        if entry.size_bytes > MAX_TEXT_BYTES:
            return None
        content = self._content(entry.sha256)
        try:
            return None if b"\0" in content else content.decode()
        except UnicodeDecodeError:
            return None
