"""What a publish would do, as lines to read before it is done. Pure."""

from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line
from apimarket_tui.words import Spans, Tone, size

if TYPE_CHECKING:
    from local_server.wire.outbox import ContractChangeView, FileChangeView, PublishPlanView

MARKS: dict[str, tuple[str, Tone]] = {"added": ("+", "ok"), "changed": ("~", "warn"), "removed": ("-", "bad")}
SEVERITIES: dict[str, tuple[str, Tone]] = {
    "error": ("✗ breaks callers", "bad"),
    "warning": ("! may break some", "warn"),
    "info": ("· ", "dim"),
}


def plan_lines(plan: "PublishPlanView") -> list[Spans]:
    after = f"after {one_line(plan.published)}" if plan.published else "the first version there"
    lines: list[Spans] = [
        [("version  ", "dim"), (one_line(plan.version), "strong"), (f"  {after}", "dim"), *_asked(plan)],
        [
            ("runs as  ", "dim"),
            (f"g{plan.generation}" if plan.generation else "–", "accent"),
            (f"  tree {plan.tree[:12]}", "dim"),
        ],
        [
            ("to send  ", "dim"),
            (size(plan.send_bytes), "strong"),
            (f" of {size(plan.total_bytes)} in {plan.total_files:,} files, {_requests(plan.requests)}", "dim"),
        ],
    ]
    for warning in plan.warnings:
        lines.append([("! ", "warn"), (one_line(warning), "warn")])
    return [*lines, [], *_contract(plan), [], *_files(plan)]


def _asked(plan: "PublishPlanView") -> Spans:
    if not plan.bump or not plan.asked_version:
        return []
    return [(f"  the changes ask for a {plan.bump} version: {one_line(plan.asked_version)}", "accent")]


def _requests(number: int) -> str:
    return "in one request" if number == 1 else f"{number:,} requests at most"


def _contract(plan: "PublishPlanView") -> list[Spans]:
    head: Spans = [("What changes for callers", "strong")]
    if plan.published is None:
        return [head, [("  this is the first version there: nobody calls it yet", "dim")]]
    if not plan.contract_known:
        return [head, [("  not known: both versions need an OpenAPI document at /openapi.json", "dim")]]
    if not plan.contract:
        return [head, [("  nothing", "dim")]]
    return [head, *(_change(change) for change in plan.contract)]


def _change(change: "ContractChangeView") -> Spans:
    word, tone = SEVERITIES.get(change.severity, (one_line(change.severity), "dim"))
    return [
        (f"  {word:<18}", tone),
        (f"{one_line(change.operation)} ", "strong"),
        (one_line(change.text), "text"),
        (f"  {one_line(change.rule)}", "dim"),
    ]


def _files(plan: "PublishPlanView") -> list[Spans]:
    counted = {kind: sum(one.change == kind for one in plan.files) for kind in MARKS}
    told = "  ".join(f"{number} {kind}" for kind, number in counted.items() if number) or "none changed"
    return [[("Files  ", "strong"), (told, "dim")], *(_file(one) for one in plan.files)]


def _file(change: "FileChangeView") -> Spans:
    mark, tone = MARKS.get(change.change, ("?", "dim"))
    sizes = size(change.size_bytes)
    if change.change == "changed":
        sizes = f"{size(change.before_bytes)} → {sizes}"
    elif change.change == "removed":
        sizes = size(change.before_bytes)
    return [(f"  {mark} ", tone), (f"{sizes:>18}  ", "dim"), (one_line(change.path), "text")]
