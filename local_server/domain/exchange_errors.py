"""Refusals about kept exchanges and their replay."""

from local_server.domain.deployments import Failure
from local_server.domain.errors import ApimarketError


class InspectorOff(ApimarketError):
    status, code, title = 409, "inspector_off", "The request inspector is off"

    def __init__(self) -> None:
        super().__init__(
            "This server keeps no exchanges",
            hint="Start it with APIMARKET_INSPECT=50 to keep the last 50 of each API, in memory only.",
        )


class ExchangeNotFound(ApimarketError):
    status, code, title = 404, "exchange_not_found", "No such exchange is kept"

    def __init__(self, full_name: str, request_id: str) -> None:
        super().__init__(
            f"No exchange of {full_name} is kept under {request_id[:80]!r}",
            hint=f"Only the last ones are, and only until the server ends. List them with: apimarket inspect "
            f"{full_name}",
        )


class NotReplayable(ApimarketError):
    status, code, title = 409, "not_replayable", "That request cannot be replayed"

    def __init__(self, request_id: str, reason: str) -> None:
        super().__init__(
            f"{request_id} cannot be replayed: {reason}",
            hint="Send it again from where it came.",
            extra={"why": reason},
        )


class GenerationNotFound(ApimarketError):
    status, code, title = 404, "generation_not_found", "No such generation"

    def __init__(self, full_name: str, number: int) -> None:
        super().__init__(
            f"{full_name} has no generation {number}, or it is kept no longer",
            hint=f"Kept are those of its last 50 saves. Which of them answered what: apimarket history {full_name}",
        )


class GenerationNotStarted(ApimarketError):
    """A generation that had ended was to be started again, beside what serves, and was not ready."""

    status, code, title = 409, "generation_not_started", "That generation does not start"

    def __init__(self, full_name: str, number: int, failure: Failure) -> None:
        super().__init__(
            f"Generation {number} of {full_name} does not start: {failure.headline}",
            hint=failure.hint or "What it printed is in: apimarket logs NAME",
            extra={"kind": failure.kind},
        )
