"""What an API is offered for, as its owner sees it: the plans of its manifest beside those that a marketplace has of
them, and who subscribed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.clean import one_line
from apimarket_tui.subscription_rows import STATES
from apimarket_tui.widgets.plans import plan_cell
from apimarket_tui.widgets.table import Column
from apimarket_tui.words import NONE, Condition, Spans, count, span

if TYPE_CHECKING:
    from local_server.wire.market import PlanView, UsageRow, WrittenPlanView

COLUMNS = (
    Column("code", "PLAN", 6, 18),
    Column("price", "PRICE", 14, 18, right=True),
    Column("quota", "QUOTA", 13, 16, right=True, rank=2),
    Column("beyond", "BEYOND IT", 11, 18, rank=1),
    Column("offered", "OFFERED", 23, 40),
    Column("users", "USERS", 5, 7, right=True),
)
USER_COLUMNS = (
    Column("subscriber", "SUBSCRIBER", 12, 30),
    Column("plan", "PLAN", 8, 16),
    Column("state", "STATE", 10, 12),
    Column("used", "USED", 6, 8, right=True),
    Column("beyond", "BEYOND", 6, 8, right=True, rank=1),
    Column("cost", "COST", 10, 14, right=True),
    Column("ends", "PERIOD", 11, 14, rank=2),
)
GOING_ON = ("active", "trialing", "past_due", "paused")


@dataclass(frozen=True, slots=True)
class Known:
    written: "Sequence[WrittenPlanView]"
    place: str
    """Which marketplace the rest is about."""
    offered: "Sequence[PlanView] | None" = None
    """None: it does not list the API."""
    users: "Sequence[UsageRow]" = ()
    trouble: str = ""
    """Why the marketplace did not say."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    code: str
    written: "WrittenPlanView | None"
    offered: "PlanView | None"
    listed: bool
    """Whether the marketplace lists the API at all."""
    users: int

    @property
    def terms(self) -> "WrittenPlanView | PlanView":
        """As they are written; of a plan that is not, as they are offered."""
        terms = self.written or self.offered
        assert terms is not None
        return terms


def rows_of(known: Known) -> list[PlanRow]:
    """In the manifest's order, then those that are offered and stand in it no more."""
    written = {plan.code: plan for plan in known.written}
    offered = {plan.code: plan for plan in known.offered or ()}
    users = [user.plan for user in known.users if user.state in GOING_ON]
    if not written:  # then it is offered as it comes, which is no plan of anybody's
        return []
    return [
        PlanRow(code, written.get(code), offered.get(code), known.offered is not None, users.count(code))
        for code in dict.fromkeys((*written, *offered))
    ]


def offer_of(row: PlanRow) -> Condition:
    """What a marketplace makes of a plan that is written, or is not any more."""
    if not row.listed:
        return Condition("○", "not published", "dim")
    if row.offered is None:
        return Condition("◐", "with the next version", "warn")
    if row.written is None:
        return Condition("◐", "until the next version", "warn")
    if _terms(row.written) == _terms(row.offered):
        return Condition("●", "as written", "ok")
    return Condition("◐", f"still {one_line(row.offered.price)}" if _price(row) else "still other terms", "warn")


def _price(row: PlanRow) -> bool:
    return row.written is not None and row.offered is not None and row.written.price != row.offered.price


def _terms(plan: "WrittenPlanView | PlanView") -> tuple[object, ...]:
    return (plan.price, plan.quota, plan.overage, plan.overage_price)


def cell_of(row: PlanRow, column: str, width: int) -> Spans:
    match column:
        case "offered":
            offer = offer_of(row)
            return [(offer.text, offer.tone)]
        case "users":
            return [(count(row.users) if row.users else NONE, "strong" if row.users else "dim")]
        case _:
            return plan_cell(row.terms, column, width)


def user_cell(user: "UsageRow", column: str, now: datetime) -> Spans:
    over = user.state not in GOING_ON
    match column:
        case "subscriber":
            return [(one_line(user.subscriber), "dim" if over else "strong")]
        case "plan":
            return [(one_line(user.plan), "dim" if over else "text")]
        case "state":
            state = STATES.get(user.state) or Condition("?", one_line(user.state), "dim")
            return [(state.text, state.tone)]
        case "used" | "beyond":
            number = user.used if column == "used" else user.beyond
            return [(count(number), "text" if number and not over else "dim")]
        case "cost":
            return [(one_line(user.cost), "dim" if over else "text")]
        case _:
            left_s = (user.period_end - now).total_seconds()
            return [("over" if over else f"ends in {span(left_s)}" if left_s >= 1 else "ends now", "dim")]


def heading(known: Known) -> Content:
    """How many there are of each, and where."""
    users = sum(user.state in GOING_ON for user in known.users)
    told = f"{len(known.written)} in apimarket.toml"
    there = f"{len(known.offered)} offered, {users} subscribed" if known.offered is not None else "not listed there"
    return Content.assemble(
        (told, "$foreground"),
        (f"   {one_line(known.place)}: ", "$dim"),
        (f"✗ {one_line(known.trouble)}" if known.trouble else there, "$warning" if known.trouble else "$dim"),
    )
