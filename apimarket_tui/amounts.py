"""Amounts of a plan's currency, in its minor units and as people write them. Pure."""

from decimal import Decimal
from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line

if TYPE_CHECKING:
    from local_server.wire.market import PlanView


def minor_per_unit(plan: "PlanView") -> int:
    """As the plan's own price is written: `4.50 EUR` is 450. Where it costs nothing, nothing says; most have 100."""
    amount = Decimal(plan.price.partition(" ")[0] or "0")
    return int(plan.price_minor / amount) if amount else 100


def written(minor: int, plan: "PlanView") -> str:
    """`2050` as `20.50`."""
    per_unit = minor_per_unit(plan)
    decimals = len(str(per_unit)) - 1
    return f"{minor // per_unit}.{minor % per_unit:0{decimals}d}" if minor % per_unit else str(minor // per_unit)


def amount(minor: int, plan: "PlanView") -> str:
    """`2050` as `20.50 EUR`."""
    return f"{written(minor, plan)} {one_line(plan.currency)}"
