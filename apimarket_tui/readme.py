"""A stranger's Markdown as lines to read: no link can be opened, no markup is obeyed, nothing is fetched. Blocking.

Rich lays it out; its styles carry one of our tones each, so that every piece is drawn and cleaned as all other text is.
"""

import io
from functools import cache
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from rich.theme import Theme

from apimarket_tui.clean import clean
from apimarket_tui.words import Spans, Tone

LARGEST = 40_000
"""Characters that are laid out, which takes three seconds at the very worst; a README has a tenth of that."""
_TONES: dict[str, Tone] = {
    "h1": "primary",
    "h2": "strong",
    "h3": "strong",
    "h4": "strong",
    "h5": "strong",
    "h6": "strong",
    "em": "accent",
    "emph": "accent",
    "strong": "strong",
    "code": "accent",
    "code_block": "accent",
    "kbd": "accent",
    "block_quote": "dim",
    "item.bullet": "dim",
    "item.number": "dim",
    "hr": "dim",
    "link": "primary",
    "link_url": "dim",
    "s": "dim",
    "table.border": "dim",
    "table.header": "strong",
}


class _Heading(Heading):
    """At the left, as everything else here."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text.copy()
        text.justify = "left"
        yield text


class _Code(CodeBlock):
    """In one tone behind a bar: a highlighter for every language is no business of a preview."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        bar = Text("│ ", console.get_style("markdown.hr"), end="")
        for line in str(self.text).rstrip().splitlines():
            code = Text(line.expandtabs(4), console.get_style("markdown.code_block"))
            for piece in code.wrap(console, options.max_width - 2) or [code]:
                yield bar
                yield piece


class _Readme(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
    }

    def __init__(self, text: str) -> None:
        super().__init__(text, hyperlinks=False)
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "image":
                    # Rich would put the picture's name before the paragraph it stands in.
                    child.type, child.content = "text", f"[image: {child.content}]"


def readme_lines(text: str, width: int) -> list[Spans]:
    """Laid out for `width` cells; what is beyond the limit is left out, and said so."""
    console = _console()
    options = console.options.update(width=max(width, 20), height=None, no_wrap=False)
    readme = _Readme(clean(text[:LARGEST]))
    lines: list[Spans] = []
    for segments in console.render_lines(readme, options, pad=False):
        line = _spans(segments)
        if line or (lines and lines[-1]):
            lines.append(line)
    if len(text) > LARGEST:
        lines += [[], [(f"… the first {LARGEST:,} characters of {len(text):,}", "warn")]]
    return lines


def _spans(line: list[Segment]) -> Spans:
    spans: Spans = []
    for segment in line:
        tone: Tone = segment.style.meta.get("tone", "text") if segment.style is not None else "text"
        if spans and spans[-1][1] == tone:
            spans[-1] = (spans[-1][0] + segment.text, tone)
        elif segment.text:
            spans.append((segment.text, tone))
    return [] if "".join(text for text, _ in spans).isspace() else spans


@cache
def _console() -> Console:
    styles = {f"markdown.{name}": Style(meta={"tone": tone}) for name, tone in _TONES.items()}
    return Console(
        file=io.StringIO(),
        theme=Theme(styles),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
