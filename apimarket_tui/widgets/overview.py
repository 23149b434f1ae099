"""What one API is, what its last reload cost, and what became of every save."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.clean import clean, one_line
from apimarket_tui.words import ago, bar, millis, outcome, rate, replicas, share, shortage, silence, size

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, GenerationView, TrafficView

PHASES = ("detect", "snapshot", "prepare", "build", "announce", "import", "ready", "swap")
REST = "waiting"
"""What none of the phases accounts for: dependencies being installed, an engine being started."""
NOTABLE = 0.1
"""Share of the whole from which on the rest is shown."""
BAR_CELLS = 22
GENERATIONS_SHOWN = 20
TONES = {"ok": "$success", "warn": "$warning", "bad": "$error", "dim": "$dim"}


class Overview(Vertical):
    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock
        self._api: ApiView | None = None
        self._generations: Sequence[GenerationView] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="failure")
        with Horizontal(id="pair"):
            yield Static(id="facts")
            yield Static(id="budget")
        yield Static(id="generations")

    def show(self, api: "ApiView", traffic: "TrafficView") -> None:
        self._api = api
        failure = self.query_one("#failure", Static)
        wrong = [part for part in (_silence(api), _failure(api)) if part is not None]
        failure.display = bool(wrong)
        failure.update(Content("\n").join(wrong))
        self.query_one("#facts", Static).update(_facts(api, traffic))
        self._show_reloads()

    def show_generations(self, generations: "Sequence[GenerationView]") -> None:
        """In any order; the newest comes first on the screen."""
        self._generations = sorted(generations, key=lambda one: one.number, reverse=True)
        self._show_reloads()

    def refresh_ages(self) -> None:
        if self._api is not None:
            self._show_reloads()

    def _show_reloads(self) -> None:
        now = self._clock()
        measured = next((one for one in self._newest_first() if one.timings_ms), None)
        self.query_one("#budget", Static).update(_budget(measured, now))
        self.query_one("#generations", Static).update(_generations(self._newest_first(), now))

    def _newest_first(self) -> "Sequence[GenerationView]":
        newest = self._api.generation if self._api else None
        if newest is None or (self._generations and self._generations[0].number > newest.number):
            return self._generations
        return [newest, *(one for one in self._generations if one.number != newest.number)]


def _silence(api: "ApiView") -> Content | None:
    told = silence(api)
    if not told:
        return None
    keys = (
        ("l", "bold $primary"),
        (" shows its log   ", "$dim"),
        ("r", "bold $primary"),
        (" starts it afresh", "$dim"),
    )
    return Content.assemble(("✗ ", "$error"), (told[:1].upper() + told[1:], "bold $error"), "\n  ", *keys)


def _failure(api: "ApiView") -> Content | None:
    if not api.error:
        return None
    serving = f"  g{api.serving} is still serving" if api.serving is not None else "  nothing serves"
    lines = [Content.assemble(("✗ ", "$error"), (one_line(api.error or ""), "bold $error"), (serving, "$dim"))]
    if api.failure is not None and api.failure.hint:
        lines.append(Content.styled(f"  {one_line(api.failure.hint)}", "$foreground"))
    if api.failure is not None and api.failure.traceback:
        tail = clean(api.failure.traceback).rstrip().splitlines()[-12:]
        lines += [Content.styled(f"  │ {line.expandtabs(4)}", "$dim") for line in tail]
    return Content("\n").join(lines)


def _facts(api: "ApiView", traffic: "TrafficView") -> Content:
    quiet = traffic.p95_ms is None
    each = f"{api.replicas.wanted} replicas, each " if api.replicas.wanted > 1 else ""
    using = f" · uses {size(api.usage.memory_bytes)}, {api.usage.cpu_percent:.0f} % cpu" if api.usage else ""
    facts = [
        ("url", Content.styled(one_line(api.url), "$primary")),
        ("host", Content.styled(one_line(api.host_url), "$primary")),
        ("serves", _serving(api)),
        ("code", Content(one_line(api.directory))),
        ("entry", Content(one_line(api.entry or "detected"))),
        ("health", Content(one_line(api.health or "the port answers HTTP"))),
        ("limits", Content(f"{each}{api.memory_mb} MB · {api.cpus:g} cpu{using}")),
        ("traffic", Content.styled("no requests in the last minute", "$dim") if quiet else Content(_minute(traffic))),
    ]
    about = ", ".join(one_line(part) for part in (api.summary, " ".join(f"#{tag}" for tag in api.tags)) if part)
    if about:
        facts.append(("about", Content(about)))
    return Content("\n").join([Content.styled(f"{name:<9}", "$dim") + value for name, value in facts])


def _minute(traffic: "TrafficView") -> str:
    figures = (
        f"{rate(traffic.requests_per_s)} req/s",
        f"p95 {millis(traffic.p95_ms)}",
        f"{share(traffic.error_rate)} errors",
    )
    return " · ".join(figures)


def _serving(api: "ApiView") -> Content:
    """Which generation answers in the directory's name, and which versions share the traffic with it."""
    told = (
        Content.styled(f"g{api.serving}", "$accent") if api.serving is not None else Content.styled("nothing", "$dim")
    )
    if replicas(api):
        told += Content.styled(f"  {replicas(api)}", "$warning" if shortage(api) else "$dim")
    if not api.shares:
        return told + Content.styled("  takes all traffic" if api.serving is not None else "", "$dim")
    shares = sorted(api.shares.items(), key=lambda share: -share[1])
    parts = [Content.assemble((one_line(target), "$foreground"), (f" {share} %", "$dim")) for target, share in shares]
    return told + Content.styled("  the URL leads to ", "$dim") + Content("  ").join(parts)


def _budget(generation: "GenerationView | None", now: datetime) -> Content:
    title = Content.styled("Last reload", "bold")
    if generation is None:
        return title + Content.styled("  none measured yet", "$dim")
    when = f"  g{generation.number} · {ago(generation.started_at, now)}"
    lines = [title + Content.styled(when, "$dim")]
    timings = dict(generation.timings_ms)
    rest = timings.get("total", 0.0) - sum(timings.get(phase, 0.0) for phase in PHASES)
    if rest > timings.get("total", 0.0) * NOTABLE:
        timings[REST] = rest
    top = max((timings.get(phase, 0.0) for phase in (*PHASES, REST)), default=0.0)
    for phase in (*PHASES, REST):
        if phase in timings:
            lines.append(
                Content.assemble(
                    (f"  {phase:<9}", "$dim"),
                    f"{millis(timings[phase]):>6}  ",
                    (bar(timings[phase], top, BAR_CELLS), "$warning" if timings[phase] == top else "$accent"),
                )
            )
    total = timings.get("total")
    if total is not None:
        lines.append(Content.assemble((f"  {'total':<9}", "bold"), (f"{millis(total):>6}", "bold")))
    return Content("\n").join(lines)


def _generations(generations: "Sequence[GenerationView]", now: datetime) -> Content:
    lines = [Content.styled("Generations", "bold")]
    if not generations:
        lines.append(Content.styled("  none yet: the first save makes one", "$dim"))
    for one in generations[:GENERATIONS_SHOWN]:
        state = outcome(one)
        what = one.failure.headline if one.failure else millis(one.timings_ms.get("total"))
        lines.append(
            Content.assemble(
                (f"  {f'g{one.number}':<6}", "$primary"),
                (f"{state.text:<13}", TONES.get(state.tone, "$foreground")),
                (f"{ago(one.started_at, now):>8}  ", "$dim"),
                (f"{one_line(one.digest)[:8]}  ", "$dim"),
                one_line(what),
            )
        )
    if len(generations) > GENERATIONS_SHOWN:
        lines.append(Content.styled(f"  and {len(generations) - GENERATIONS_SHOWN} older", "$dim"))
    return Content("\n").join(lines)
