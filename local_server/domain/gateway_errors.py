"""What the gateway refuses, in an API's place, for the sake of its callers and of the API."""

from local_server.domain.errors import ApimarketError


class NotCached(ApimarketError):
    """RFC 9111, 5.2.1.7."""

    status, code, title = 504, "not_cached", "No answer is kept"

    def __init__(self, full_name: str) -> None:
        super().__init__(
            f"The request wants an answer of {full_name} that is kept (Cache-Control: only-if-cached), and none is",
            hint="Send it without only-if-cached.",
        )
