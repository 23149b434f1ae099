"""A program's text as lines in tones. Blocking: a long one takes a good part of a second.

Only what is known to be read quickly is coloured: of languages that APIs are written in, and of a bounded length.
"""

from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from apimarket_tui.clean import clean
from apimarket_tui.words import Spans, Tone

if TYPE_CHECKING:
    from pygments.lexer import Lexer  # type: ignore[import-untyped]

LARGEST = 100_000
"""Characters that are coloured; a longer text is shown plain."""
LONGEST_LINE = 2_000
"""Characters of a line that are shown; a text with a longer line is a machine's, and shown plain."""
LANGUAGES = {
    ".py": "python", ".pyi": "python",
    ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript",
    ".ts": "typescript", ".mts": "typescript", ".tsx": "typescript",
    ".go": "go",
    ".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".ini": "ini", ".cfg": "ini",
    ".html": "html", ".xml": "xml", ".css": "css", ".sql": "sql", ".sh": "bash", ".md": "markdown",
    "dockerfile": "docker",
}  # fmt: skip
_TONES: tuple[tuple[str, Tone], ...] = (
    ("Token.Comment", "dim"),
    ("Token.Keyword.Constant", "warn"),
    ("Token.Keyword", "primary"),
    ("Token.Literal.String", "ok"),
    ("Token.Literal", "accent"),
    ("Token.Name.Function", "strong"),
    ("Token.Name.Class", "strong"),
    ("Token.Name.Decorator", "accent"),
    ("Token.Name.Builtin", "accent"),
    ("Token.Name.Tag", "primary"),
    ("Token.Name.Attribute", "accent"),
    ("Token.Generic.Heading", "primary"),
    ("Token.Generic.Subheading", "primary"),
    ("Token.Generic.Strong", "strong"),
)


def coloured(text: str, path: str) -> list[Spans]:
    """One list of pieces a line, cleaned."""
    text = clean(text).expandtabs(4)
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    lexer = None
    if len(text) <= LARGEST and all(len(line) <= LONGEST_LINE for line in lines):
        lexer = _lexer(LANGUAGES.get(_kind(path), ""))
    if lexer is None:
        return [[(line[:LONGEST_LINE], "text")] for line in lines]
    return _pieces(lexer, text)[: len(lines)]


def _kind(path: str) -> str:
    name = PurePosixPath(path).name.lower()
    return name if name in LANGUAGES else PurePosixPath(name).suffix


def _pieces(lexer: "Lexer", text: str) -> list[Spans]:
    lines: list[Spans] = [[]]
    for token, piece in lexer.get_tokens(text):
        tone = _tone(str(token))
        for index, part in enumerate(piece.split("\n")):
            if index:
                lines.append([])
            if part:
                lines[-1].append((part, tone))
    return lines


@cache
def _tone(token: str) -> Tone:
    return next((tone for kind, tone in _TONES if token == kind or token.startswith(f"{kind}.")), "text")


@cache
def _lexer(language: str) -> "Lexer | None":
    if not language:
        return None
    # Imported here: most who open the terminal UI look at no file.
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

    lexer: Lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return lexer
