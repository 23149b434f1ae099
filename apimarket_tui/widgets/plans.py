"""What an API is offered for."""

from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import Spans

if TYPE_CHECKING:
    from local_server.wire.market import PlanView, WrittenPlanView

COLUMNS = (
    Column("code", "PLAN", 8, 20),
    Column("price", "PRICE", 14, 22, right=True),
    Column("quota", "QUOTA", 12, 18, right=True),
    Column("beyond", "BEYOND IT", 12, 30),
)


class PlanTable(LineTable["PlanView"]):
    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(COLUMNS, lambda plan: plan.code, plan_cell, id=id)


def plan_cell(plan: "PlanView | WrittenPlanView", column: str, width: int) -> Spans:
    match column:
        case "code":
            return [(one_line(plan.code), "strong")]
        case "price":
            return [(one_line(plan.price), "text" if plan.price_minor else "ok")]
        case "quota":
            return [(quota_text(plan.quota) if plan.quota else "no end", "text")]
        case _:
            if plan.quota is None:
                return []
            if plan.overage_price:
                return [(f"{one_line(plan.overage_price)} each", "warn")]
            return [("refused" if plan.overage == "block" else one_line(plan.overage), "dim")]


def quota_text(text: str) -> str:
    """`100000/month` as `100,000/month`."""
    text = one_line(text)
    number, slash, period = text.partition("/")
    return f"{int(number):,}{slash}{period}" if number.isascii() and number.isdecimal() and len(number) < 16 else text
