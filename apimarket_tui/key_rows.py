"""Keys of an API as rows. Pure."""

from datetime import datetime
from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column
from apimarket_tui.words import NONE, Condition, Spans, ago, span

if TYPE_CHECKING:
    from local_server.wire.accounts import KeyView

COLUMNS = (
    Column("name", "NAME", 8, 28),
    Column("state", "STATE", 9, 16),
    Column("prefix", "BEGINS", 12, 14, rank=4),
    Column("scopes", "MAY", 10, 11),
    Column("limit", "LIMIT", 8, 12, rank=2),
    Column("used", "LAST USED", 9, 10, right=True),
    Column("ends", "ENDS", 7, 10, right=True, rank=1),
    Column("cidrs", "ONLY FROM", 10, 40, rank=3),
)
STATES = {
    "active": Condition("●", "active", "ok"),
    "grace": Condition("◐", "replaced", "warn"),
    "expired": Condition("○", "expired", "dim"),
    "revoked": Condition("✗", "revoked", "dim"),
}


def cell_of(key: "KeyView", column: str, now: datetime) -> Spans:
    state = STATES.get(key.state) or Condition("?", one_line(key.state), "dim")
    gone = key.state in ("expired", "revoked")
    match column:
        case "name":
            return [(one_line(key.name) or NONE, "dim" if gone else "strong")]
        case "state":
            left = f" {span((key.grace_until - now).total_seconds())}" if key.grace_until and not gone else ""
            return [(state.text, state.tone), (left, "dim")]
        case "prefix":
            return [(f"{one_line(key.prefix)}…", "dim")]
        case "scopes":
            return [(" ".join(key.scopes), "dim" if gone else "text")]
        case "limit":
            return [(key.rate_limit or NONE, "text" if key.rate_limit else "dim")]
        case "used":
            return [(ago(key.last_used_at, now) if key.last_used_at else "never", "dim")]
        case "ends":
            return _ends(key, now)
        case _:
            return [(" ".join(key.cidrs) or "anywhere", "dim")]


def _ends(key: "KeyView", now: datetime) -> Spans:
    if key.revoked_at is not None:
        return [(ago(key.revoked_at, now), "dim")]
    if key.expires_at is None:
        return [("never", "dim")]
    left_s = (key.expires_at - now).total_seconds()
    if left_s <= 0:
        return [(ago(key.expires_at, now), "dim")]
    return [(f"in {span(left_s)}", "warn" if left_s < 86_400 else "text")]
