"""Acts that hold on every screen, and those of the console and the doctor."""

from apimarket_tui.actions.action import Action

CONSOLE: tuple[Action, ...] = (
    Action("send", ("ctrl+s", "ctrl+j"), "send", "Send the request", "console", priority=True),
    Action(
        "cancel", ("escape",), "cancel", "Cancel the request that runs; otherwise leave the field", "console", bar=False
    ),
    Action("fields", ("tab",), "fields", "Next field", "console", palette=False),
    Action("show-headers", ("h",), "headers", "Show the answer's headers, or its body again", "console"),
    Action("copy-call", ("y",), "copy curl", "Copy the request as a curl command", "console"),
    Action("import", ("i",), "import", "Choose an operation of an OpenAPI document, filled with examples", "console"),
    Action("save-call", ("w",), "write", "Write the answer, or the request, into a file", "console"),
    Action("next-ask", ("right_square_bracket",), "parts", "Query, headers, body, auth", "console", palette=False),
    Action("last-ask", ("left_square_bracket",), "part", "The part before", "console", bar=False, palette=False),
    Action("more-answer", ("plus",), "more answer", "Give the answer more room", "console", bar=False, palette=False),
    Action("less-answer", ("underscore",), "less", "Give the answer less room", "console", bar=False, palette=False),
)

DOCTOR: tuple[Action, ...] = (
    Action("check", ("r",), "check again", "Run every check again", "doctor", "doctor"),
    Action("copy-fix", ("y",), "copy fix", "Copy the command that mends the selected check", "doctor"),
)

EVERYWHERE: tuple[Action, ...] = (
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
    Action("jump", ("ctrl+o",), "jump", "Letters on all there is; one goes there", "global", bar=False, palette=False),
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
