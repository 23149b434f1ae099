"""Subscriptions as rows, and one of them in a few lines. Pure but for Textual's content."""

from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.amounts import amount
from apimarket_tui.clean import one_line
from apimarket_tui.widgets.plans import quota_text
from apimarket_tui.widgets.table import Column
from apimarket_tui.words import NONE, Condition, Spans, count, span

if TYPE_CHECKING:
    from local_server.wire.market import SubscriptionView

COLUMNS = (
    Column("api", "API", 16, 30),
    Column("plan", "PLAN", 8, 16),
    Column("state", "STATE", 12, 16),
    Column("used", "USED", 6, 8, right=True),
    Column("left", "LEFT", 6, 9, right=True),
    Column("cost", "COST", 9, 14, right=True, rank=1),
    Column("ends", "PERIOD", 11, 14, rank=2),
)
STATES = {
    "active": Condition("●", "active", "ok"),
    "trialing": Condition("●", "trial", "ok"),
    "past_due": Condition("!", "past due", "warn"),
    "paused": Condition("◐", "paused", "warn"),
    "canceled": Condition("○", "canceled", "dim"),
    "expired": Condition("○", "expired", "dim"),
}


def is_over(one: "SubscriptionView") -> bool:
    return one.ended_at is not None or one.state in ("canceled", "expired")


def state_of(one: "SubscriptionView") -> Condition:
    if not is_over(one) and one.cancel_at_end:
        return Condition("◐", "ends then", "warn")
    if not is_over(one) and one.next_plan is not None:
        return Condition("◐", f"then {one_line(one.next_plan)}", "warn")
    return STATES.get(one.state) or Condition("?", one_line(one.state), "dim")


def cell_of(one: "SubscriptionView", column: str, now: datetime) -> Spans:
    over, state, used = is_over(one), state_of(one), one.usage
    match column:
        case "api":
            return [(one_line(one.api), "dim" if over else "strong")]
        case "plan":
            return [(one_line(one.plan.code), "dim" if over else "text")]
        case "state":
            return [(state.text, state.tone)]
        case "used":
            return [(count(used.used), "text" if used.used and not over else "dim")]
        case "left":
            if over or used.quota_left is None:
                return [(NONE, "dim")]
            return [(count(used.quota_left), "bad" if used.quota_left == 0 else "text")]
        case "cost":
            return [(one_line(used.cost), "text" if used.cost_minor and not over else "dim")]
        case _:
            return [("over" if over else _until(one.period_end, now), "dim")]


def _until(end: datetime, now: datetime) -> str:
    left_s = (end - now).total_seconds()
    return f"ends in {span(left_s)}" if left_s >= 1 else "ends now"


def about(one: "SubscriptionView", now: datetime) -> Content:
    """Three lines: what was agreed, what was used of it, and what is to come."""
    plan, used = one.plan, one.usage
    quota = f"{quota_text(plan.quota)}, then {_beyond(one)}" if plan.quota else "as many calls as you like"
    cap = "no spend cap" if one.spend_cap_minor is None else f"spend cap {amount(one.spend_cap_minor, plan)}"
    resets = f", anew in {span((used.quota_resets_at - now).total_seconds())}" if used.quota_resets_at else ""
    beyond = f", {used.beyond:,} beyond" if used.beyond else ""
    lines = [
        Content.assemble((one_line(plan.price), "bold $foreground"), (f"   {quota}   {cap}", "$dim")),
        Content.assemble(
            (f"{used.quota_used:,} used{resets}{beyond}", "$foreground"),
            (f"   {one_line(used.base)} + {one_line(used.overage)} = {one_line(used.cost)} so far", "$dim"),
        ),
        _to_come(one, now),
    ]
    return Content("\n").join(lines)


def _beyond(one: "SubscriptionView") -> str:
    if one.plan.overage_price:
        return f"{one_line(one.plan.overage_price)} each"
    return "refused" if one.plan.overage == "block" else one_line(one.plan.overage)


def _to_come(one: "SubscriptionView", now: datetime) -> Content:
    if is_over(one):
        return Content.styled("It is over; its keys are refused. 2 finds it again", "$dim")
    when = _until(one.period_end, now).removeprefix("ends ")
    key = ("z", "bold $primary")
    if one.cancel_at_end:
        return Content.assemble((f"It ends {when}, its keys with it   ", "$warning"), key, (" takes that back", "$dim"))
    if one.next_plan is not None:
        told = f"It goes over to {one_line(one.next_plan)} {when}   "
        return Content.assemble((told, "$warning"), key, (" takes that back", "$dim"))
    return Content.styled(f"It goes on with the next period {when}", "$dim")
