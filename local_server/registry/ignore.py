"""What of a directory is not the API: rules of ours, then `.gitignore` and `.apimarketignore` at every level.

Ours cannot be lifted: files named `.env` hold secrets, and the rest are never part of a program. Among the user's rules
`.apimarketignore` has the last word, so that a built `dist/` that git must not see can still be served.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from local_server.domain.manifest import MANIFEST_NAME

IGNORE_FILES = (".gitignore", ".apimarketignore")

IGNORED_DIRECTORIES = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".jj",
        "node_modules",
        "__pycache__",
        ".venv",
        "venv",
        ".env",
        ".direnv",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        ".idea",
        ".vscode",
    }
)

# Editors write these beside a file for the blink of an eye around every save (4913 is vim's test of the directory),
# and systems leave theirs; `.env.example` and its like hold no secrets and stay.
_IGNORED_FILE = re.compile(
    r"""
      \.env (?: \.(?!example$|sample$|template$|dist$) .* )?
    | \.envrc
    | \.DS_Store | Thumbs\.db | desktop\.ini
    | 4913
    | .*~
    | \.\#.*
    | \#.*\#
    | .*\.sw[a-z] | \.sw[a-z]
    | .*\.tmp
    | \..*\.un~
    | .*___jb_(?:tmp|old)___
    | \.goutputstream-.*
    | .*\.py[co]
    """,
    re.VERBOSE | re.DOTALL,
)

ALWAYS = "always left out"
"""Why, where the rule is ours."""
MAX_IGNORE_FILE_BYTES = 1024 * 1024
_CACHE_SIZE = 50_000


@dataclass(frozen=True, slots=True)
class Rules:
    """One ignore file."""

    name: str
    """Its path below the root."""
    spec: GitIgnoreSpec
    lines: Sequence[tuple[int, str]]
    """Number and text of each of the patterns."""

    def word(self, index: int | None) -> str:
        """What the pattern with this index is called."""
        if index is None:
            return self.name
        number, text = self.lines[index]
        return f"{self.name} line {number}: {text.strip()}"


class Ignore:
    """The rules of one directory as they were when each level was first asked about. Load it anew when an ignore file
    changes. May be used from several threads."""

    def __init__(self, root: Path, instead: Mapping[str, Path] | None = None) -> None:
        """`instead` names, by relative path, ignore files that are to be read elsewhere: those about to be written."""
        self._root = root
        self._instead = instead or {}
        self._verdicts: dict[str, str] = {}
        self._rules: dict[str, tuple[Rules | None, Rules | None]] = {}

    @classmethod
    def load(cls, root: Path, instead: Mapping[str, Path] | None = None) -> "Ignore":
        ignore = cls(root, instead)
        ignore._rules_of("")
        return ignore

    def matches(self, relative_path: str, is_dir: bool) -> bool:
        """Whether the path (relative to the root, `/` between segments) is left out, itself or with a directory
        around it."""
        return bool(self.reason(relative_path, is_dir))

    def reason(self, relative_path: str, is_dir: bool) -> str:
        """Which rule leaves the path out, as `.gitignore line 3: dist/`; empty where none does."""
        if relative_path in ("", "."):
            return ""
        asked = f"{relative_path}/" if is_dir else relative_path
        verdict = self._verdicts.get(asked)
        if verdict is None:
            verdict = self._judge(relative_path, is_dir)
            if len(self._verdicts) >= _CACHE_SIZE:
                self._verdicts.clear()
            self._verdicts[asked] = verdict
        return verdict

    def _judge(self, path: str, is_dir: bool) -> str:
        parent, _, name = path.rpartition("/")
        if parent and (around := self.reason(parent, is_dir=True)):
            return around
        if is_dir:
            if name in IGNORED_DIRECTORIES:
                return ALWAYS
            if (self._root / path / "pyvenv.cfg").is_file():
                return f"{ALWAYS}: a virtual environment"
        elif name in IGNORE_FILES or path == MANIFEST_NAME:
            # A change of these must always be seen, whatever the rules say.
            return ""
        elif _IGNORED_FILE.fullmatch(name):
            return f"{ALWAYS}: it holds secrets" if name.startswith(".env") else ALWAYS
        return self._judged_by_user(path, parent, is_dir)

    def _judged_by_user(self, path: str, parent: str, is_dir: bool) -> str:
        levels = [parent]
        while levels[-1]:
            levels.append(levels[-1].rpartition("/")[0])
        for kind in (1, 0):  # .apimarketignore has the last word; within a kind the deepest file has
            for level in levels:
                rules = self._rules_of(level)[kind]
                if rules is None:
                    continue
                inner = path[len(level) + 1 :] if level else path
                found = rules.spec.check_file(f"{inner}/" if is_dir else inner)
                if found.include is not None:
                    return rules.word(found.index) if found.include else ""
        return ""

    def _rules_of(self, level: str) -> tuple[Rules | None, Rules | None]:
        rules = self._rules.get(level)
        if rules is None:
            rules = (self._read_at(level, IGNORE_FILES[0]), self._read_at(level, IGNORE_FILES[1]))
            self._rules[level] = rules
        return rules

    def _read_at(self, level: str, name: str) -> Rules | None:
        relative = f"{level}/{name}" if level else name
        return _read(self._instead.get(relative) or self._root / relative, relative)


def _read(file: Path, name: str) -> Rules | None:
    """The rules of one file; None where there is none. A line that is no pattern is passed over, as git does."""
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > MAX_IGNORE_FILE_BYTES:
            return None
        lines = file.read_text(encoding="utf-8", errors="replace").removeprefix("\ufeff").splitlines()
    except OSError:
        return None
    usable = [(number, line) for number, line in enumerate(lines, start=1) if _is_pattern(line)]
    if not usable:
        return None
    return Rules(name, GitIgnoreSpec.from_lines([line for _, line in usable]), usable)


def _is_pattern(line: str) -> bool:
    if not line.strip() or line.startswith("#"):
        return False
    try:
        GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error, FutureWarning):
        return False
    return True
