"""The verbs: name, where each is written, one line of help, and the heading it stands under.

`--help` is made from this table alone; a test compares it with the verbs themselves.
"""

from typing import NamedTuple


class Verb(NamedTuple):
    where: str
    """`module:function` below local_server.cli"""
    help: str
    section: str


WRITE, RUN, WATCH, EXCHANGE, MARKET, ACCESS, SERVER = "Write", "Run", "Look", "Publish", "Market", "Access", "Server"

VERBS: dict[str, Verb] = {
    "new": Verb("making:new", "Write a new API from a template and start it.", WRITE),
    "add": Verb("making:add", "Register a directory that holds an API already.", WRITE),
    "dev": Verb("dev:dev", "Run an API and reload it on every save, with its log.", WRITE),
    "demo": Verb("demo:demo", "Three sample APIs, deployed, with traffic.", WRITE),
    "deploy": Verb("acts:deploy", "Start an API.", RUN),
    "versions": Verb("versions:versions", "The immutable versions of an API.", RUN),
    "diff": Verb("differences:diff", "How the files of two versions differ.", RUN),
    "traffic": Verb("versions:traffic", "Which versions the URL of an API leads to.", RUN),
    "rollback": Verb("versions:rollback", "Traffic as it was before, or to a version.", RUN),
    "channels": Verb("versions:channels", "Names that lead to versions, as @beta.", RUN),
    "deprecate": Verb("versions:deprecate", "Tell callers of the end of a version.", RUN),
    "restart": Verb("acts:restart", "Start an API afresh.", RUN),
    "stop": Verb("stopping:stop", "Stop an API, or with no NAME the server.", RUN),
    "undo": Verb("acts:undo", "Serve what was served before the last save.", RUN),
    "rm": Verb("acts:rm", "Forget an API; its files stay.", RUN),
    "ls": Verb("looking:ls", "All APIs, their state and traffic.", WATCH),
    "status": Verb("looking:status", "One API in full.", WATCH),
    "logs": Verb("logs:logs", "What an API printed.", WATCH),
    "files": Verb("files:files", "What an API is made of, and what is left out.", WATCH),
    "stats": Verb("figures:stats", "How many requests, how fast, how many failed.", WATCH),
    "history": Verb("figures:history", "The requests to an API, one by one.", WATCH),
    "inspect": Verb("inspecting:inspect", "The last requests whole: replay, compare, curl.", WATCH),
    "call": Verb("calling:call", "Call an API: NAME/PATH, flags as curl's.", WATCH),
    "search": Verb("market:search", "Find public APIs by words.", MARKET),
    "show": Verb("listing:show", "One API of a marketplace in full.", MARKET),
    "subscribe": Verb("market:subscribe", "Subscribe to an API, and get its key.", MARKET),
    "subscriptions": Verb("market:subscriptions", "Your subscriptions: list, change, cancel.", MARKET),
    "usage": Verb("market:usage", "What you used, what is left, what it costs.", MARKET),
    "plans": Verb("listing:plans", "What an API of yours is to be subscribed for.", MARKET),
    "subscribers": Verb("listing:subscribers", "Who subscribed to an API of yours.", MARKET),
    "reviews": Verb("market:reviews", "What those who used an API say of it.", MARKET),
    "publish": Verb("publishing:publish", "Publish what an API runs now.", EXCHANGE),
    "sync": Verb("syncing:sync", "Send what waits, see what is new, settle conflicts.", EXCHANGE),
    "pull": Verb("syncing:pull", "Fetch a published version.", EXCHANGE),
    "yank": Verb("publishing:yank", "Take a published version out of sight.", EXCHANGE),
    "keys": Verb("keys:keys", "Keys to an API: create, list, rotate, revoke.", ACCESS),
    "secrets": Verb("secrets:secrets", "Values that an API's program sees: set, list, rm.", ACCESS),
    "tokens": Verb("tokens:tokens", "Access tokens for pipelines: create, list, revoke.", ACCESS),
    "signup": Verb("accounts:signup", "Make an account and log in.", ACCESS),
    "login": Verb("accounts:login", "Begin a session of 24 hours.", ACCESS),
    "logout": Verb("accounts:logout", "End every session of the account.", ACCESS),
    "password": Verb("accounts:password", "Give your account another password.", ACCESS),
    "whoami": Verb("accounts:whoami", "Whom the server takes you for.", ACCESS),
    "web": Verb("web:web", "The terminal UI in a browser.", SERVER),
    "serve": Verb("serving:serve", "Run the server in the foreground.", SERVER),
    "backup": Verb("keeping:backup", "Everything the server keeps, into one file.", SERVER),
    "restore": Verb("keeping:restore", "A backup, into an empty place.", SERVER),
    "doctor": Verb("doctor:doctor", "Check this machine; every finding with its fix.", SERVER),
}
