"""Refusals about versions. What an error is made of stands in errors.py; `VersionExists` in sync_errors.py."""

from collections.abc import Sequence

from local_server.domain.errors import ApimarketError


class VersionNotFound(ApimarketError):
    status, code, title = 404, "version_not_found", "No such version"

    def __init__(self, api: str, pin: str, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known[:10]) + (f" and {len(known) - 10:,} more" if len(known) > 10 else "")
        super().__init__(
            f"{api} has no version {pin[:80]!r}; " + (f"there are {listed}" if known else "it has none at all"),
            hint=f"List them with: apimarket versions {api}",
            extra={"version": pin[:80], "known": list(known[:100])},
        )


class InvalidChannel(ApimarketError):
    status, code, title = 422, "invalid_channel", "That name cannot be a channel's"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name[:80]!r} cannot be a channel: {reason}", hint="Try: beta", extra={"name": name[:80]})


class InvalidWeight(ApimarketError):
    status, code, title = 422, "invalid_weight", "That is no share of the traffic"

    def __init__(self, weight: int) -> None:
        super().__init__(
            f"{weight} is no share of the traffic; allowed are whole percents from 1 to 100",
            hint="Without a weight the version takes all of it.",
            extra={"weight": weight},
        )


class TrafficConflict(ApimarketError):
    status, code, title = 409, "traffic_conflict", "The traffic was moved meanwhile"

    def __init__(self, api: str, expected: int, found: int) -> None:
        super().__init__(
            f"The traffic of {api} was at revision {expected}, and is now at {found}",
            hint=f"Look where it goes, and decide again: apimarket versions {api}",
            extra={"expected": expected, "found": found},
        )
