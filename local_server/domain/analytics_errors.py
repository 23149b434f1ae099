"""What the request log does not take in."""

from datetime import datetime

from local_server.domain.errors import ApimarketError


class ExecutionRefused(ApimarketError):
    status, code, title = 422, "execution_refused", "That execution cannot be logged"

    def __init__(self, place: int, started_at: datetime, oldest: datetime, newest: datetime) -> None:
        allowed = f"{oldest.isoformat(timespec='seconds')} to {newest.isoformat(timespec='seconds')}"
        super().__init__(
            f"Execution {place} started at {started_at.isoformat()}; allowed is {allowed}",
            hint="Older ones are not kept (APIMARKET_KEEP_EXECUTIONS_DAYS); a later one comes of a wrong clock.",
            extra={"place": place},
        )
