"""Every act of the terminal UI, once: keys, footer, help, palette, `:` commands and docs/tui.md all come from here."""

from collections.abc import Iterable

from apimarket_tui.actions.action import SCOPE_TITLES, Action
from apimarket_tui.actions.detail import DETAIL
from apimarket_tui.actions.everywhere import CONSOLE, DOCTOR, EVERYWHERE
from apimarket_tui.actions.local import LOCAL
from apimarket_tui.actions.market import MARKET
from apimarket_tui.actions.publishing import PUBLISHING

ACTIONS: tuple[Action, ...] = (*DETAIL, *LOCAL, *MARKET, *PUBLISHING, *CONSOLE, *DOCTOR, *EVERYWHERE)
"""In the order in which the key bar shows them."""

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}

_KEY_LABELS = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "plus": "+",
    "underscore": "_",
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "left": "←",
    "right": "→",
}


def key_label(key: str) -> str:
    return _KEY_LABELS.get(key, key)


def in_scopes(scopes: Iterable[str]) -> list[Action]:
    """The actions of these scopes, in the registry's order; the first of two on one key in scope order wins."""
    order = list(scopes)
    taken: set[str] = set()
    found: list[Action] = []
    for scope in order:
        for action in ACTIONS:
            if action.scope == scope and not taken.intersection(action.keys):
                found.append(action)
                taken.update(action.keys)
    return sorted(found, key=ACTIONS.index)


def for_key(scopes: Iterable[str], key: str) -> Action | None:
    """What `key` does where these scopes apply; the first scope that has it decides."""
    return next(
        (action for scope in scopes for action in ACTIONS if action.scope == scope and key in action.keys), None
    )


def commands() -> dict[str, Action]:
    """What may be typed after `:`."""
    named = {action.id: action for action in ACTIONS if action.palette or action.scope == "global"}
    for action in ACTIONS:
        for alias in action.aliases:
            named.setdefault(alias, action)
    named.update(start=BY_ID["toggle"], stop=BY_ID["toggle"])
    return named


def table() -> str:
    """The table of docs/tui.md."""
    lines: list[str] = []
    for scope, title in SCOPE_TITLES.items():
        lines += [f"### {title}", "", "| key | does | after `:` | on the command line |", "|---|---|---|---|"]
        for action in ACTIONS:
            if action.scope != scope:
                continue
            keys = " ".join(f"`{key_label(key)}`" for key in action.keys)
            typed = ", ".join(f"`{name}`" for name, named in commands().items() if named is action) or "–"
            verb = ", ".join(f"`apimarket {part.strip()}`" for part in action.verb.split(",")) if action.verb else "–"
            lines.append(f"| {keys} | {action.help} | {typed} | {verb} |")
        lines.append("")
    return "\n".join(lines)
