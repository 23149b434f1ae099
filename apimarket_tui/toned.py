"""Pieces of a line in tones, as content of Textual's own widgets."""

from textual.content import Content

from apimarket_tui.words import Spans, Tone

STYLES: dict[Tone, str] = {
    "text": "$foreground",
    "dim": "$dim",
    "ok": "$success",
    "warn": "$warning",
    "bad": "$error",
    "accent": "$accent",
    "primary": "$primary",
    "strong": "bold $foreground",
}


def content_of(spans: Spans) -> Content:
    """The text must be clean already."""
    return Content.assemble(*((text, STYLES[tone]) for text, tone in spans))
