"""How figures and states read on the screen. Pure."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from apimarket_tui.clean import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_server.wire.apis import ApiView, GenerationView

Tone = Literal["text", "dim", "ok", "warn", "bad", "accent", "strong", "primary"]
Spans = list[tuple[str, Tone]]
"""Pieces of one line, each with the tone it is shown in."""

NONE = "–"
BARS = "▁▂▃▄▅▆▇█"
METHOD_TONE: dict[str, Tone] = {"GET": "ok", "POST": "warn", "PUT": "warn", "PATCH": "warn", "DELETE": "bad"}


@dataclass(frozen=True, slots=True)
class Condition:
    """A state as glyph, word and tone: readable without colour, and at a glance with it."""

    glyph: str
    word: str
    tone: Tone

    @property
    def text(self) -> str:
        return f"{self.glyph} {self.word}"


_CONDITIONS = {
    "running": Condition("●", "up", "ok"),
    "building": Condition("◐", "building", "warn"),
    "starting": Condition("◐", "starting", "warn"),
    "stopping": Condition("◐", "stopping", "dim"),
    "stopped": Condition("○", "stopped", "dim"),
    "failed": Condition("✗", "failed", "bad"),
}
FAILING = Condition("✗", "failing", "bad")
CIRCUITS = {"open": Condition("✗", "silent", "bad"), "half_open": Condition("◐", "trying", "warn")}


def condition(api: "ApiView") -> Condition:
    """`silent`: it runs and does not answer, so that the gateway refuses calls for it, until one that is `trying` is
    answered. `failing`: the newest save does not serve, an older one still does."""
    if api.state == "running" and api.circuit in CIRCUITS:
        return CIRCUITS[api.circuit]
    return FAILING if api.state == "running" and api.error else state_condition(api.state)


def silence(api: "ApiView") -> str:
    """What the gateway does about an API that does not answer; nothing where it does."""
    if api.state != "running" or api.circuit == "closed":
        return ""
    if api.circuit == "half_open":
        return "it did not answer: one request tries just now, others are refused meanwhile"
    return "it did not answer five requests in a row: others are refused at once, until one that tries is answered"


def replicas(api: "ApiView") -> str:
    """`2 of 3 replicas`; nothing where it has one alone, or does not serve."""
    if api.serving is None or api.replicas.wanted < 2:
        return ""
    return f"{api.replicas.serving} of {api.replicas.wanted} replicas"


def shortage(api: "ApiView") -> str:
    """That replicas are missing; nothing where none is."""
    return f"{replicas(api)} serve" if replicas(api) and api.replicas.serving < api.replicas.wanted else ""


def state_condition(state: str) -> Condition:
    return _CONDITIONS.get(state) or Condition("?", one_line(state), "dim")


def runs(api: "ApiView") -> bool:
    """Whether the act that makes sense is to stop it."""
    return api.desired_state == "running" and api.state not in ("stopped", "failed")


OUTCOMES: dict[str, Condition] = {
    "starting": Condition("◐", "starting", "warn"),
    "serving": Condition("●", "serving", "ok"),
    "failed": Condition("✗", "failed", "bad"),
    "superseded": Condition("○", "superseded", "dim"),
    "drained": Condition("○", "drained", "dim"),
}


def outcome(generation: "GenerationView") -> Condition:
    return OUTCOMES.get(generation.outcome) or Condition("?", one_line(generation.outcome), "dim")


def language(runtime: str) -> str:
    """`python3.12` -> `py`; four cells at most."""
    short = {"python": "py", "node": "node", "go": "go"}
    return next((short[name] for name in short if runtime.startswith(name)), runtime[:4])


def millis(value: float | None) -> str:
    """`0.4ms`, `41ms`, `1.2s`, `2m`: at most five cells."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value:.1f}ms"
    if value < 999.5:
        return f"{value:.0f}ms"
    if value < 99_950:
        return f"{value / 1000:.1f}s"
    return f"{value / 60_000:.0f}m"


def rate(value: float) -> str:
    if value <= 0:
        return NONE
    if value < 9.95:
        return f"{value:.1f}"
    return f"{value:.0f}" if value < 9_999.5 else f"{value / 1000:.0f}k"


def count(value: int) -> str:
    """`412`, `1,234`, `25k`, `1.2M`: at most five cells."""
    if value < 10_000:
        return f"{value:,}"
    if value < 999_500:
        return f"{value / 1000:.0f}k"
    return f"{value / 1_000_000:.1f}M" if value < 99_950_000 else f"{value / 1_000_000:.0f}M"


def share(value: float) -> str:
    """An error rate of 0 to 1 as `0%`, `0.2%`, `12%`."""
    percent = value * 100
    return "0%" if percent == 0 else f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"


def size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.0f} GB"


def span(seconds: float) -> str:
    """`now`, `3s`, `5m`, `2h`, `4d`."""
    if seconds < 1:
        return "now"
    for limit, per, unit in ((60, 1, "s"), (3600, 60, "m"), (86_400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // per)}{unit}"
    return f"{int(seconds // 86_400)}d"


def ago(since: datetime, now: datetime) -> str:
    text = span((now - since).total_seconds())
    return text if text == "now" else f"{text} ago"


def sparkline(values: "Sequence[int]", width: int) -> str:
    """The newest `width` values as bars; right-aligned, blank where nothing is known."""
    if width <= 0 or not values or not any(values):
        return " " * max(width, 0)
    buckets = _buckets(values, width)
    top = max(buckets)
    bars = "".join(BARS[min(7, int(value * 7 / top + 0.5))] if top else BARS[0] for value in buckets)
    return bars.rjust(width)


def _buckets(values: "Sequence[int]", width: int) -> list[float]:
    if len(values) <= width:
        return [float(value) for value in values]
    per = len(values) / width
    edges = [round(index * per) for index in range(width + 1)]
    return [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]


def bar(value: float, top: float, width: int) -> str:
    """A horizontal bar of eighths; anything above 0 shows at least a sliver."""
    if top <= 0 or value <= 0:
        return ""
    eighths = max(1, round(value / top * width * 8))
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def status_tone(status: int) -> Tone:
    if status >= 500 or status == 0:
        return "bad"
    return "warn" if status >= 400 else "ok"


def reload_note(api: "ApiView", now: datetime) -> Spans:
    """The RELOAD column: what the newest save came to."""
    if api.progress or api.state in ("building", "starting"):
        return [("⟳ ", "warn"), (api.progress or f"{api.state}…", "text")]
    if silence(api):
        return [("✗ ", "bad"), ("refused until one is answered", "text")]
    if api.error:
        serving = f" · g{api.serving} still serving" if api.serving is not None else ""
        return [("✗ ", "bad"), (api.error, "text"), (serving, "dim")]
    if shortage(api):
        return [("◐ ", "warn"), (shortage(api), "text")]
    newest = api.generation
    if api.state == "stopped" or newest is None:
        return [(NONE, "dim")]
    total = newest.timings_ms.get("total")
    took: Spans = [("✓ ", "ok"), (f"{millis(total)}  ", "text")] if total is not None else [("✓ ", "ok")]
    return [*took, (f"{ago(newest.started_at, now)}  g{newest.number}", "dim")]


def stars(rating: float | None) -> str:
    """`★★★★☆`, rounded; nothing without reviews."""
    return "" if rating is None else ("★" * min(max(round(rating), 0), 5)).ljust(5, "☆")
