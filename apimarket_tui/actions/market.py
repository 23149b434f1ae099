"""Acts on a marketplace's catalogue, and on one API of it."""

from apimarket_tui.actions.action import Action

MARKET: tuple[Action, ...] = (
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
    Action(
        "ask-again",
        ("r",),
        "ask itself",
        "Ask the marketplace itself, which knows READMEs too",
        "market",
        bar=False,
    ),
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
    Action(
        "review",
        ("w",),
        "review",
        "Say what you think of an API you have called, or say it anew",
        "listing",
        "reviews OWNER/NAME --rate STARS",
    ),
    Action("take-review-back", ("D",), "take back", "Take your review of it back, after asking", "listing", bar=False),
    Action("next-page", ("right_square_bracket",), "tabs", "Next tab", "listing", palette=False),
    Action("previous-page", ("left_square_bracket",), "tab", "Previous tab", "listing", bar=False, palette=False),
)
