"""Every act of the terminal UI, once: keys, footer, help, palette, `:` commands and docs/tui.md all come from here."""

from collections.abc import Iterable
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
    "keys",
    "versions",
    "exchange",
    "market",
    "offer",
    "listing",
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
    "keys": "Keys",
    "versions": "Versions",
    "exchange": "One request",
    "market": "Market",
    "offer": "The selected API of the market",
    "listing": "One API of the market",
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


ACTIONS: tuple[Action, ...] = (
    # -- Local
    Action("open", ("enter",), "open", "Open the selected API: overview, logs, requests", "local", "status NAME"),
    # -- One API
    Action("next-tab", ("right_square_bracket",), "tabs", "Next tab", "detail", palette=False),
    Action("previous-tab", ("left_square_bracket",), "tab", "Previous tab", "detail", bar=False, palette=False),
    Action("freeze", ("f",), "freeze", "Stop following the log, or follow it again", "logs"),
    Action("find", ("slash",), "find", "Find a text in the log", "logs"),
    Action("find-next", ("n",), "next", "Next line with the text", "logs", palette=False),
    Action("find-previous", ("N",), "previous", "Previous line with the text", "logs", bar=False, palette=False),
    Action(
        "inspect",
        ("enter",),
        "inspect",
        "The whole request and its answer; replay it, compare",
        "requests",
        "inspect NAME",
    ),
    Action("take", ("T",), "to try it", "Take the request to the Try-it console", "requests"),
    Action(
        "copy-curl",
        ("c",),
        "copy curl",
        "Copy the request as a curl command",
        "requests",
        "inspect NAME REQUEST --curl",
    ),
    Action("window", ("w",), "window", "The next window: an hour, a day, a week, a month", "metrics", "stats NAME"),
    Action("earlier", ("left",), "earlier", "Read the point of time before", "metrics", palette=False),
    Action("later", ("right",), "later", "Read the point of time after; end stops reading", "metrics", palette=False),
    Action("new-key", ("n",), "new key", "Make a key for somebody else; it is shown once", "keys", "keys create NAME"),
    Action(
        "rotate-key", ("R",), "replace", "Replace the key; the old one ends in an hour", "keys", "keys rotate KEY_ID"
    ),
    Action("revoke-key", ("d",), "revoke", "Refuse the key from now on, after asking", "keys", "keys revoke KEY_ID"),
    Action(
        "make-version",
        ("v",),
        "new version",
        "Make an immutable version of what serves now, and send the traffic to it",
        "versions",
        "deploy NAME --version V",
    ),
    Action(
        "send-traffic",
        ("d",),
        "deploy",
        "Send all traffic to the version once it is ready; `dev` is the directory",
        "versions",
        "traffic NAME VERSION",
    ),
    Action(
        "canary",
        ("w",),
        "canary",
        "Send some percent of the traffic to it, as a canary",
        "versions",
        "traffic NAME VERSION --weight N",
    ),
    Action("roll-back", ("b",), "roll back", "The traffic as it was before, after asking", "versions", "rollback NAME"),
    Action(
        "channel",
        ("c",),
        "channel",
        "Have a channel, as beta, lead to the version",
        "versions",
        "channels NAME CHANNEL VERSION",
    ),
    Action(
        "deprecate",
        ("D",),
        "deprecate",
        "Tell callers of the version's end, or take that back",
        "versions",
        "deprecate NAME VERSION",
    ),
    Action("yank-version", ("X",), "yank", "Take the version out of sight, or put it back", "versions", bar=False),
    Action("copy-pinned", ("u",), "copy pinned", "Copy the URL that leads to this version", "versions", bar=False),
    # -- One request
    Action(
        "replay-exchange",
        ("p",),
        "replay",
        "Send the request again to what serves now",
        "exchange",
        "inspect NAME REQUEST --replay",
    ),
    Action(
        "compare",
        ("d",),
        "difference",
        "Send it to another generation too, and show how the answers differ",
        "exchange",
        "inspect NAME REQUEST --against GENERATION",
    ),
    Action("copy-exchange", ("c",), "copy curl", "Copy the request as a curl command", "exchange"),
    Action("take-exchange", ("t",), "to try it", "Take the request to the Try-it console", "exchange"),
    Action("next-part", ("right_square_bracket",), "parts", "Next part", "exchange", palette=False),
    Action("previous-part", ("left_square_bracket",), "part", "Previous part", "exchange", bar=False, palette=False),
    # -- The selected API, in Local and in its own screen
    Action("logs", ("l",), "logs", "Follow the API's log", "row", "logs NAME -f"),
    Action("try", ("t",), "try", "Call the API in the Try-it console", "row", "call NAME/PATH", aliases=("call",)),
    Action(
        "restart", ("r",), "reload", "Start the API's newest code afresh", "row", "restart NAME", aliases=("reload",)
    ),
    Action(
        "toggle",
        ("s",),
        "start/stop",
        "Start the API if it is stopped, stop it if it runs",
        "row",
        "deploy NAME, stop NAME",
    ),
    Action("undo", ("z",), "undo", "Go back to the generation that served before", "row", "undo NAME"),
    Action(
        "publish",
        ("P", "p"),
        "publish",
        "See what publishing would do, then do it",
        "row",
        "publish NAME",
    ),
    Action("copy", ("y",), "copy URL", "Copy the API's URL", "row", bar=False, aliases=("yank",)),
    Action("browse", ("o",), "browser", "Open the API's URL in a browser", "row", bar=False),
    Action("edit", ("e",), "edit", "Open the API's directory in $EDITOR", "row", bar=False),
    Action(
        "remove",
        ("ctrl+d",),
        "remove",
        "Forget the API, after asking; its directory stays",
        "row",
        "rm NAME",
        bar=False,
    ),
    Action("new", ("n",), "new", "New API, from a template or an existing directory", "local", "new NAME, add DIR"),
    Action("filter", ("slash",), "filter", "Show only APIs that match what you type", "local"),
    Action("grow", ("plus",), "more peek", "Give the lower panel more room", "local", bar=False, palette=False),
    Action("shrink", ("underscore",), "less peek", "Give the lower panel less room", "local", bar=False, palette=False),
    # -- Market
    Action("open-listing", ("enter",), "open", "README, endpoints, plans, reviews and versions of the API", "market"),
    Action("search", ("slash",), "search", "Search as you type; enter leaves the field", "market", "search WORDS"),
    Action("narrow", ("c",), "narrow", "Choose what narrows it down: category, tag, language, price, stars", "market"),
    Action("free", ("f",), "free", "Only what costs nothing, or everything again", "market", "search --free"),
    Action("widen", ("x",), "widen", "Drop all that narrows the results down", "market", bar=False),
    Action(
        "order",
        ("o",),
        "order",
        "The next order: best, rating, subscribers, newest, name",
        "market",
        "search --sort ORDER",
    ),
    Action(
        "turn-market",
        ("m",),
        "marketplace",
        "The next marketplace: each with a session, and this machine",
        "market",
        "search --remote URL",
    ),
    Action("ask-again", ("r",), "ask again", "Ask the marketplace again", "market", bar=False),
    Action(
        "subscribe",
        ("s",),
        "subscribe",
        "Subscribe to the API: choose a plan, get a key, which is shown once",
        "offer",
        "subscribe OWNER/NAME",
    ),
    Action(
        "clone",
        ("p",),
        "clone & run",
        "Bring the published version to this machine, and run it",
        "offer",
        "pull OWNER/NAME --run",
    ),
    Action("try-offer", ("t",), "try", "Call the API in the Try-it console", "offer"),
    Action("copy-offer", ("y",), "copy URL", "Copy the API's URL", "offer", bar=False),
    Action("next-page", ("right_square_bracket",), "tabs", "Next tab", "listing", palette=False),
    Action("previous-page", ("left_square_bracket",), "tab", "Previous tab", "listing", bar=False, palette=False),
    # -- Publish
    Action(
        "send-version",
        ("enter", "ctrl+s"),
        "publish",
        "Publish what is shown; it gets there by itself, over any break",
        "publish",
        "publish NAME",
    ),
    Action(
        "choose-version",
        ("v",),
        "version",
        "Choose another version number",
        "publish",
        "publish NAME --version V",
    ),
    Action(
        "look-again", ("r",), "look again", "Compare again with what is published", "publish", "publish NAME --dry-run"
    ),
    Action("give-up", ("c",), "give up", "Give up what is on its way, after asking", "publish", "sync --cancel OP"),
    Action("copy-published", ("y",), "copy URL", "Copy the URL of what was published", "publish", bar=False),
    # -- Sync
    Action(
        "settle",
        ("enter",),
        "open",
        "Both sides of a conflict; else the API",
        "sync",
        "sync --resolve NAME",
    ),
    Action("ask-now", ("a",), "ask now", "Ask marketplaces what is new, and send what waits", "sync", "sync"),
    Action(
        "retry-outgoing", ("r",), "retry", "Try the version again now, also a rejected one", "sync", "sync --retry OP"
    ),
    Action("cancel-outgoing", ("c",), "give up", "Give the version up, after asking", "sync", "sync --cancel OP"),
    Action(
        "pull-newest",
        ("u",),
        "update",
        "Bring the newest version here, into the directory if nothing there is unpublished",
        "sync",
        "pull NAME --write",
    ),
    Action("copy-outgoing", ("y",), "copy URL", "Copy the URL of a published version", "sync", bar=False),
    Action("other-table", ("tab",), "other table", "From what is on its way to what is there, and back", "sync"),
    # -- Two sides
    Action("take-mine", ("m",), "take mine", "Of this file or key, take mine", "conflict", "sync --take PATH=mine"),
    Action("take-theirs", ("t",), "theirs", "Of this file or key, take theirs", "conflict", "sync --take PATH=theirs"),
    Action("take-base", ("b",), "before", "Of this file or key, take what was before both", "conflict"),
    Action("merge", ("M",), "merge all", "Make one version of both sides", "conflict", "sync --resolve NAME --merge"),
    Action(
        "keep-mine",
        ("K",),
        "keep mine",
        "My files, as a version after theirs",
        "conflict",
        "sync --resolve NAME --mine",
    ),
    Action("keep-theirs", ("T",), "keep theirs", "Give mine up", "conflict", "sync --resolve NAME --theirs"),
    Action(
        "fork",
        ("F",),
        "fork",
        "Mine goes on under another name, in a directory of its own",
        "conflict",
        "sync --resolve NAME --fork NEW-NAME",
    ),
    # -- Try it
    Action("send", ("ctrl+s", "ctrl+j"), "send", "Send the request", "console", priority=True),
    Action(
        "cancel", ("escape",), "cancel", "Cancel the request that runs; otherwise leave the field", "console", bar=False
    ),
    Action("fields", ("tab",), "fields", "Next field", "console", palette=False),
    Action("show-headers", ("h",), "headers", "Show the answer's headers, or its body again", "console"),
    Action("copy-call", ("y",), "copy curl", "Copy the request as a curl command", "console"),
    # -- Doctor
    Action("check", ("r",), "check again", "Run every check again", "doctor", "doctor"),
    Action("copy-fix", ("y",), "copy fix", "Copy the command that mends the selected check", "doctor"),
    # -- Everywhere
    Action("mode-local", ("1",), "local", "Your APIs", "global", "ls", aliases=("local", "ls")),
    Action("mode-market", ("2",), "market", "Find APIs of others", "global", "search", aliases=("market",)),
    Action("mode-console", ("3",), "try it", "The Try-it console", "global", "call", aliases=("console",)),
    Action(
        "mode-sync",
        ("4",),
        "sync",
        "What is on its way to marketplaces, and what they have",
        "global",
        "sync",
        aliases=("outbox",),
    ),
    Action(
        "mode-doctor",
        ("5",),
        "doctor",
        "Checks, server and settings",
        "global",
        "doctor",
        aliases=("doctor", "settings"),
    ),
    Action("command", ("colon",), "command", "Type a command", "global", bar=False, palette=False),
    Action("palette", ("ctrl+p",), "palette", "Search everything that can be done", "global", bar=False, palette=False),
    Action("theme", ("ctrl+t",), "light/dark", "Switch between the dark and the light look", "global", bar=False),
    Action(
        "sign-in",
        ("A",),
        "account",
        "Sign in to a server, or make an account there",
        "global",
        "login, signup",
        bar=False,
        aliases=("login", "signup"),
    ),
    Action(
        "sign-out",
        ("O",),
        "sign out",
        "End the session with that server",
        "global",
        "logout",
        bar=False,
        aliases=("logout",),
    ),
    Action("help", ("question_mark",), "help", "All keys", "global"),
    Action(
        "back", ("escape",), "back", "Close what is open, leave a field, go back", "global", bar=False, palette=False
    ),
    Action(
        "quit",
        ("ctrl+q",),
        "quit",
        "Leave; the server and your APIs keep running",
        "global",
        bar=False,
        aliases=("q", "exit"),
    ),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}

_KEY_LABELS = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "plus": "+",
    "underscore": "_",
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
