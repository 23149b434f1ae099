"""The boundary between untrusted text and the terminal.

Whatever a container printed, a client requested or a manifest says reaches the screen only through here. Terminals obey
ESC, OSC and the C1 controls wherever they stand, bidirectional controls let a text rewrite its neighbours, characters
of no width break columns, and a lone surrogate cannot be encoded at all.
"""

import re

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BREAKS = re.compile(r"\s*[\r\n\t]+\s*")
_ANSI = re.compile("\x1b\\[[0-9;:?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|\x9b[0-9;:?]*[@-~]")


def clean(text: str) -> str:
    """`text` without anything a terminal would obey; keeps tabs and newlines. Whole colour sequences go with their
    parameters, so that a log written for a terminal stays readable."""
    if text.isascii() and text.isprintable():
        return text
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    return _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", text))


def one_line(text: str) -> str:
    """`clean`, with line breaks and tabs made single spaces."""
    if text.isascii() and text.isprintable():
        return text
    return _BREAKS.sub(" ", clean(text)).strip()


def log_line(text: str) -> str:
    """`clean` for one line that keeps its indentation: tabs become spaces, a break ends in a visible mark."""
    if text.isascii() and text.isprintable():
        return text
    return clean(text).rstrip("\n").expandtabs(4).replace("\n", "⏎")
