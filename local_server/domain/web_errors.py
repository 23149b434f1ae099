"""Why a browser is not shown the terminal UI."""

from local_server.domain.errors import ApimarketError


class LinkNeeded(ApimarketError):
    status, code, title = 403, "link_needed", "This page opens with a link"

    def __init__(self, *, used: bool) -> None:
        """`used`: a link came, and it is not the one that is good now."""
        super().__init__(
            "That link was used already: each lets one browser in, once"
            if used
            else "This browser has not come in by a link that apimarket web printed",
            hint="The newest link stands in the terminal in which apimarket web runs. Open that one.",
        )


class TooManyPages(ApimarketError):
    status, code, title = 503, "too_many_pages", "Too many pages are open"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} pages show the terminal UI already, each with a process of its own",
            hint="Close one of them, then load this page again.",
        )


class NothingThere(ApimarketError):
    status, code, title = 404, "nothing_there", "Nothing is there"

    def __init__(self, path: str, home: str) -> None:
        super().__init__(f"There is nothing at {path!r}", hint=f"The terminal UI is at {home}")


class WebMissing(ApimarketError):
    status, code, title = 503, "web_missing", "The page's own files are not installed"

    def __init__(self) -> None:
        super().__init__(
            "The package that shows a terminal in a browser is missing",
            hint="Install it with: pip install 'apimarket[web]'",
        )
