"""Text for a terminal: colours where they are wanted, and nothing that a program or a stranger wrote to steer it."""

import os
import re
import sys
from datetime import datetime
from unicodedata import combining, east_asian_width

import click

# Whole escape sequences first (CSI, then OSC and its relatives up to their terminator), so that no debris of them
# stays; then every other C0 (but tab and newline), DEL, C1, and the marks that reorder what is read.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """`text` without anything that would steer a terminal. Tabs and newlines stay; CR LF becomes LF."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def line_of(text: str) -> str:
    """`text` cleaned and on one line."""
    return " ".join(clean(text).split())


def coloured(*, err: bool = False) -> bool:
    stream = sys.stderr if err else sys.stdout
    return "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb" and stream.isatty()


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False, err: bool = False) -> str:
    return click.style(text, fg=colour, bold=bold or None, dim=dim or None) if coloured(err=err) else text


def width(text: str) -> int:
    """Terminal cells that `text`, which may hold our own colours, takes."""
    plain = click.unstyle(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in plain)


def table(head: list[str], rows: list[list[str]], *, indent: str = "") -> str:
    """Columns two spaces apart, headings dimmed, the last column free. Ends without a newline."""
    widths = [max(width(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def written(cells: list[str]) -> str:
        padded = [cell + " " * (size - width(cell)) for cell, size in zip(cells, widths, strict=True)]
        return (indent + "  ".join(padded)).rstrip()

    heading = [paint(title, dim=True) for title in head]
    return "\n".join(written(row) for row in [heading, *rows])


def milliseconds(value: float | None) -> str:
    """`0.4 ms`, `68 ms`, `1.2 s`"""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 1 else f"{value:.1f} ms"


def binary_size(count: int) -> str:
    """`812 B`, `3.4 KiB`, `96 MiB`"""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def status_word(status: int) -> str:
    """An HTTP status in its colour."""
    return paint(str(status), "red" if status >= 500 else "yellow" if status >= 400 else "green")


def short_id(request_id: str) -> str:
    """The end of a request's id: its beginning is the time, which its neighbours share."""
    return clean(request_id)[-8:]


def clock(iso: str) -> str:
    """The local time of day of an ISO 8601 time: `12:01:07`. An unreadable one comes back cleaned."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return line_of(iso)


def day_of(iso: str | None) -> str:
    """The local day and minute of an ISO 8601 time."""
    if iso is None:
        return "–"
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return line_of(iso)


def age(seconds: float) -> str:
    """`up to date`, `12 minutes old`, `3 hours old`, `5 days old`"""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} old"
    return "up to date"
