"""The one registry of what can be done, and how it is done by key, by command and by name."""

from apimarket_tui.actions.action import SCOPE_TITLES, Action, Scope
from apimarket_tui.actions.registry import ACTIONS, BY_ID, commands, for_key, in_scopes, key_label, table

__all__ = [
    "ACTIONS",
    "BY_ID",
    "SCOPE_TITLES",
    "Action",
    "Scope",
    "commands",
    "for_key",
    "in_scopes",
    "key_label",
    "table",
]
