"""What an act of the terminal UI is, and where it can be done."""

from dataclasses import dataclass
from typing import Literal

Scope = Literal[
    "global",
    "local",
    "row",
    "detail",
    "logs",
    "requests",
    "metrics",
    "files",
    "versions",
    "keys",
    "plans",
    "settings",
    "diff",
    "exchange",
    "market",
    "offer",
    "listing",
    "subscription",
    "publish",
    "console",
    "sync",
    "conflict",
    "doctor",
]

SCOPE_TITLES: dict[Scope, str] = {
    "global": "Everywhere",
    "local": "Local",
    "row": "The selected API",
    "detail": "One API",
    "logs": "Logs",
    "requests": "Requests",
    "metrics": "Metrics",
    "files": "Files & manifest",
    "versions": "Versions",
    "keys": "Keys",
    "plans": "Plans",
    "settings": "Settings",
    "diff": "What changed",
    "exchange": "One request",
    "market": "Market",
    "offer": "The selected API of the market",
    "listing": "One API of the market",
    "subscription": "Subscriptions",
    "publish": "Publish",
    "console": "Try it",
    "sync": "Sync",
    "conflict": "Two sides",
    "doctor": "Doctor & settings",
}


@dataclass(frozen=True, slots=True)
class Action:
    """`action.id` names the method that does it: `do_` + id with `_` for `-`, on the screen or on the app."""

    id: str
    keys: tuple[str, ...]
    title: str
    """A word or two, for the key bar."""
    help: str
    """A sentence, for the help screen, the palette and the docs."""
    scope: Scope
    verb: str = ""
    """The command line that does the same."""
    bar: bool = True
    """Shown in the key bar."""
    palette: bool = True
    aliases: tuple[str, ...] = ()
    """Further names after `:`; the id is always one."""
    priority: bool = False
    """Works even while a text field has the focus."""

    @property
    def method(self) -> str:
        return "do_" + self.id.replace("-", "_")
