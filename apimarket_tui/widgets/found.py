"""How many were found in what order, how old that is, and why it is no newer."""

from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.clean import one_line
from apimarket_tui.words import ago

if TYPE_CHECKING:
    from apimarket_tui.backend import Trouble
    from apimarket_tui.marketplaces import Place
    from apimarket_tui.search import Found, Question


def found_words(found: "Found | None", question: "Question") -> Content:
    told = Content("")
    if found is not None:
        more = "" if found.view.complete else "+"
        told = Content.assemble((f"{found.view.total:,}{more} found", "bold $foreground"))
    told += Content.styled(f"  {question.sort} first" if question.sort != "name" else "  by name", "$dim")
    for value in question.chosen.values():
        told += Content.assemble("  ", (f"✓ {one_line(value)}", "$success"))
    return told


def age_words(found: "Found | None", trouble: "Trouble | None", now: datetime, *, asking: bool) -> Content:
    if found is None:
        return Content.styled("asking…", "$warning") if asking else Content("")
    when = ago(found.at, now)
    going_on = Content.styled("  asking…", "$warning") if asking else Content("")
    if not found.of_copy:
        return Content.styled(f"as of {when}", "$warning" if trouble is not None else "$dim") + going_on
    whole = "copy" if found.copy is not None and found.copy.whole else "unfinished copy"
    if found.renewing:
        going_on = Content.styled("  renewing…", "$warning")
    stale = trouble is not None or bool(found.trouble)
    told = f"offline: {whole} of {when}" if stale else f"{whole} of {when}"
    return Content.styled(told, "$warning" if stale else "$dim") + going_on


def trouble_words(found: "Found | None", trouble: "Trouble | None", place: "Place", *, itself: bool) -> str:
    """Nothing where there is none. `itself`: the marketplace was asked, and not this machine's server."""
    if trouble is None:
        return _away(place, found.trouble, "this is the copy") if found and found.trouble else ""
    if trouble.unreachable and itself and not place.here:
        return _away(place, trouble.detail, "r asks again")
    return f"{one_line(trouble.detail)} · {one_line(trouble.hint) or 'r asks again'}"


def _away(place: "Place", detail: str, meanwhile: str) -> str:
    reason = one_line(detail).rpartition(": ")[2]
    return f"{one_line(place.title)} does not answer: {reason} · {meanwhile}"
