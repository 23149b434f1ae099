"""Acts on what goes to marketplaces, and on what came between."""

from apimarket_tui.actions.action import Action

PUBLISHING: tuple[Action, ...] = (
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
    Action("take-mine", ("m",), "take mine", "Of this file or key, take mine", "conflict", "sync --take PATH=mine"),
    Action("take-theirs", ("t",), "theirs", "Of this file or key, take theirs", "conflict", "sync --take PATH=theirs"),
    Action("edit-both", ("e",), "edit", "Make one text of both sides by hand", "conflict"),
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
)
