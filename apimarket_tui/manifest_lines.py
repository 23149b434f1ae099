"""Where in its manifest something of an API stands, for an editor that opens there. Lines count from 1; None: there is
no manifest to be read."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView

MANIFEST = "apimarket.toml"
_PLAN = re.compile(r"\s*\[\[\s*plan\s*\]\]")
_RUN = re.compile(r"\s*\[\s*run\b")


def plan_line(api: "ApiView", code: str) -> int | None:
    """Of the plan; else where the plans begin, else the last line, below which one would be written."""
    lines = _lines(api)
    heads = [number for number, line in enumerate(lines, 1) if _PLAN.match(line)]
    named = re.compile(rf"\s*code\s*=\s*[\"']{re.escape(code)}[\"']")
    found = _first(lines, named)
    if found is not None:
        return max((head for head in heads if head <= found), default=found)
    return heads[0] if heads else len(lines) or None


def variable_line(api: "ApiView", name: str) -> int | None:
    """Of the variable or the secret; else of the table it would stand in, else the first."""
    lines = _lines(api)
    named = re.compile(rf".*(?<![\w-]){re.escape(name)}(?![\w-])") if name else _RUN
    return _first(lines, named) or _first(lines, _RUN) or (1 if lines else None)


def _first(lines: list[str], wanted: re.Pattern[str]) -> int | None:
    """Comments do not count."""
    return next((number for number, line in enumerate(lines, 1) if wanted.match(line.partition("#")[0])), None)


def _lines(api: "ApiView") -> list[str]:
    try:
        return (Path(api.directory) / MANIFEST).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
