"""Acts on one's own APIs, in Local and in an API's own screen."""

from apimarket_tui.actions.action import Action

LOCAL: tuple[Action, ...] = (
    Action("open", ("enter",), "open", "Open the selected API: overview, logs, requests", "local", "status NAME"),
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
    Action("shell", ("x",), "shell", "A shell in the API's container", "row", bar=False),
    Action("edit", ("e",), "edit", "Open the API in $EDITOR: where it fails, else where it starts", "row", bar=False),
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
    Action("hold", ("f",), "freeze", "Hold the figures of the table still, or let them go on", "local", bar=False),
    Action("mark", ("space",), "mark", "Mark the API, or take the mark off; esc takes all off", "local", palette=False),
    Action("bulk", ("b",), "with all", "Do one thing with all that are marked, else with all that are shown", "local"),
    Action("grow", ("plus",), "more peek", "Give the lower panel more room", "local", bar=False, palette=False),
    Action("shrink", ("underscore",), "less peek", "Give the lower panel less room", "local", bar=False, palette=False),
)
