"""What could narrow a search down, with how many each would leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import Spans, count

if TYPE_CHECKING:
    from local_server.wire.market import FacetView

GROUPS = {"category": "category", "price": "price", "rating": "stars", "runtime": "language", "tag": "tag"}
"""In the order in which they are shown."""
MOST_OF_A_GROUP = 8
COLUMNS = (Column("group", "", 8, 8), Column("value", "", 6, 60), Column("count", "", 4, 5, right=True))


@dataclass(frozen=True, slots=True)
class Facet:
    group: str
    value: str
    count: int | None
    """None: chosen, and not counted."""
    chosen: bool
    first: bool
    """Of its group."""

    @property
    def key(self) -> str:
        return f"{self.group}={self.value}"


def facet_rows(facets: "Mapping[str, Sequence[FacetView]]", chosen: Mapping[str, str]) -> list[Facet]:
    """What is chosen stands in its group even where the answer does not name it, so that it can be taken back."""
    rows: list[Facet] = []
    for group in GROUPS:
        counted = {one.value: one.count for one in list(facets.get(group, ()))[:MOST_OF_A_GROUP]}
        if group == "rating":
            counted = dict(sorted(counted.items(), reverse=True))
        wanted = chosen.get(group)
        if wanted is not None and wanted not in counted:
            rows.append(Facet(group, wanted, None, chosen=True, first=True))
        for value, number in counted.items():
            first = not rows or rows[-1].group != group
            rows.append(Facet(group, value, number, chosen=value == wanted, first=first))
    return rows


class FacetTable(LineTable[Facet]):
    IDLE_CURSOR = False

    def __init__(self, *, id: str) -> None:
        super().__init__(COLUMNS, lambda facet: facet.key, _cell, titles=_no_title, id=id)


def _no_title(column: Column, width: int) -> str:
    return "NARROW" if column.key == "group" else "DOWN" if column.key == "value" else ""


def _cell(facet: Facet, column: str, width: int) -> Spans:
    match column:
        case "group":
            return [(GROUPS[facet.group] if facet.first else "", "dim")]
        case "value":
            value = f"★ {one_line(facet.value)} +" if facet.group == "rating" else one_line(facet.value)
            return [("✓ ", "ok"), (value, "strong")] if facet.chosen else [(value, "text")]
        case _:
            return [("" if facet.count is None else count(facet.count), "dim")]
