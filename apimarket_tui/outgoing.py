"""What is on its way to marketplaces, and what they have, as last heard of. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line
from apimarket_tui.words import Condition, Spans, bar, size

if TYPE_CHECKING:
    from apimarket_tui.backend import Trouble
    from local_server.wire.outbox import OutboxEntryView, OutboxView, RemoteApiView, RemoteView

BAR_CELLS = 12
STATES: dict[str, Condition] = {
    "queued": Condition("◐", "waiting", "warn"),
    "sending": Condition("↑", "sending", "warn"),
    "need_blobs": Condition("↑", "sending", "warn"),
    "uploading": Condition("↑", "uploading", "warn"),
    "committing": Condition("↑", "committing", "warn"),
    "committed": Condition("●", "published", "ok"),
    "applied": Condition("●", "published", "ok"),
    "conflict": Condition("✗", "conflict", "bad"),
    "rejected": Condition("✗", "rejected", "bad"),
    "canceled": Condition("○", "canceled", "dim"),
}
ON_THE_WAY = frozenset({"queued", "sending", "need_blobs", "uploading", "committing"})
STUCK = frozenset({"conflict", "rejected"})
"""A person decides."""


def outgoing_state(entry: "OutboxEntryView") -> Condition:
    if entry.state == "queued" and entry.trouble is not None:
        return Condition("◐", "retrying", "warn")
    return STATES.get(entry.state) or Condition("?", one_line(entry.state), "dim")


def may_cancel(entry: "OutboxEntryView") -> bool:
    return entry.state in ON_THE_WAY | STUCK


def progress(entry: "OutboxEntryView", width: int = 40) -> Spans:
    """How much went out: a bar and bytes while it goes, in `width` cells; bytes alone before and after."""
    if entry.state not in ON_THE_WAY:
        return [(size(entry.sent_bytes) if entry.sent_bytes else "", "dim")]
    if not entry.total_bytes:
        return [("nothing sent yet", "dim")]
    sent = min(entry.sent_bytes, entry.total_bytes)
    drawn = bar(sent, entry.total_bytes, BAR_CELLS).ljust(BAR_CELLS, "░")
    told = f" {size(sent)} of {size(entry.total_bytes)}"
    if BAR_CELLS + len(told) > width:
        told = f" {100 * sent // entry.total_bytes}%"
    return [(drawn, "accent"), (told, "text")]


class Outgoing:
    """Kept while the server is away."""

    def __init__(self) -> None:
        self._entries: dict[str, OutboxEntryView] = {}
        self.remotes: Sequence[RemoteView] = ()
        self.apis: Sequence[RemoteApiView] = ()
        self.loaded = False
        self.refused: Trouble | None = None
        """Why it cannot be read: it is the machine's owner's."""

    def replace(self, view: "OutboxView") -> None:
        self._entries = {entry.op: entry for entry in view.entries}
        self.remotes, self.apis = view.remotes, view.apis
        self.loaded, self.refused = True, None

    def put(self, entry: "OutboxEntryView") -> None:
        """One moved on, or is new."""
        self._entries[entry.op] = entry

    def get(self, op: str) -> "OutboxEntryView | None":
        return self._entries.get(op)

    def all(self) -> "list[OutboxEntryView]":
        """Those that need a person first, then those on their way, then the rest; the newest first."""

        def order(entry: "OutboxEntryView") -> tuple[int, float]:
            rank = 0 if entry.state in STUCK else 1 if entry.state in ON_THE_WAY else 2
            return (rank, -entry.created_at.timestamp())

        return sorted(self._entries.values(), key=order)

    @property
    def marks(self) -> tuple[int, int, int]:
        """(on their way, in need of a decision, newer on a marketplace)"""
        entries = self._entries.values()
        return (
            sum(entry.state in ON_THE_WAY for entry in entries),
            sum(entry.state in STUCK for entry in entries),
            sum(api.ahead for api in self.apis),
        )
