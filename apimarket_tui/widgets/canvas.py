"""The ground of every long list: text drawn line by line, only what is visible, each piece in a tone of the theme."""

from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.scroll_view import ScrollView
from textual.strip import Strip

from apimarket_tui.clean import log_line
from apimarket_tui.words import Spans

TONES = ("text", "dim", "ok", "warn", "bad", "accent", "strong", "primary")


class LineCanvas(ScrollView, can_focus=True):
    """Draws `line_spans(index)`; subclasses say how many lines there are through `virtual_size`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in TONES} | {
        "row--cursor",
        "row--idle",
        "row--head",
        "row--mark",
    }
    DEFAULT_CSS = """
    LineCanvas {
        background: $background;
        color: $foreground;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
        & > .tone--text { color: $foreground; }
        & > .tone--dim { color: $dim; }
        & > .tone--ok { color: $success; }
        & > .tone--warn { color: $warning; }
        & > .tone--bad { color: $error; }
        & > .tone--accent { color: $accent; }
        & > .tone--primary { color: $primary; }
        & > .tone--strong { color: $foreground; text-style: bold; }
        & > .row--head { color: $dim; }
        & > .row--cursor { background: $cursor; }
        & > .row--idle { background: $cursor-idle; }
        & > .row--mark { color: $background; background: $warning; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._inks: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._inks.clear()

    def ink(self, tone: str) -> Style:
        """The foreground of a tone."""
        style = self._inks.get(tone)
        if style is None:
            full = self.get_component_rich_style(f"tone--{tone}")
            style = self._inks[tone] = Style(color=full.color, bold=full.bold)
        return style

    def ground(self, row: str | None = None) -> Style:
        """The background of a kind of row."""
        name = row or "plain"
        style = self._inks.get(f"ground-{name}")
        if style is None:
            full = self.get_component_rich_style(f"row--{row}") if row else self.rich_style
            style = Style(color=full.color, bgcolor=full.bgcolor) if row == "mark" else Style(bgcolor=full.bgcolor)
            self._inks[f"ground-{name}"] = style
        return style

    def draw(self, spans: Spans, width: int, row: str | None = None) -> Strip:
        """One line of exactly `width` cells: cut with an ellipsis, or filled with the row's background."""
        ground = self.ground(row)
        segments = [Segment(text, ground + self.ink(tone)) for text, tone in fit(spans, width)]
        return Strip(segments).adjust_cell_length(width, ground)


def fit(spans: Spans, width: int) -> Spans:
    """`spans` cleaned, and cut to `width` cells with an ellipsis where they are longer."""
    fitted: Spans = []
    left = width
    for text, tone in spans:
        text = log_line(text)
        cells = len(text) if text.isascii() else cell_len(text)
        if cells <= left:
            fitted.append((text, tone))
            left -= cells
            continue
        if left > 0:
            fitted.append((set_cell_size(text, left - 1) + "…", tone))
        elif fitted:
            last, last_tone = fitted[-1]
            fitted[-1] = (set_cell_size(last, max(cell_len(last) - 1, 0)) + "…", last_tone)
        return fitted
    return fitted


def pad(spans: Spans, width: int, right: bool = False) -> Spans:
    """`spans` in exactly `width` cells."""
    fitted = fit(spans, width)
    room = width - sum(cell_len(text) for text, _ in fitted)
    if room <= 0:
        return fitted
    blank: Spans = [(" " * room, "text")]
    return blank + fitted if right else fitted + blank
