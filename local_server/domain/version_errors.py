"""Refusals about versions. What an error is made of stands in errors.py; `VersionExists` in sync_errors.py."""

from collections.abc import Sequence
from datetime import datetime

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


class InvalidSemver(ApimarketError):
    status, code, title = 422, "not_a_version", "That is no version number"

    def __init__(self, text: str, suggestion: str) -> None:
        super().__init__(
            f"{text[:80]!r} is no version; allowed is MAJOR.MINOR.PATCH, as semver.org has it",
            hint=f"Try: --version {suggestion}",
            extra={"version": text[:80], "suggestion": suggestion},
        )


class VersionTooLow(ApimarketError):
    status, code, title = 409, "version_too_low", "That version would go backwards"

    def __init__(self, api: str, semver: str, newest: str, suggestion: str) -> None:
        super().__init__(
            f"{api} {semver} does not come after {newest}, which exists already",
            hint=f"Try: --version {suggestion}; or to serve what is there already: apimarket traffic {api} {newest}",
            extra={"version": semver, "newest": newest, "suggestion": suggestion},
        )


class OtherFiles(ApimarketError):
    """A version that is there was asked for again, with other files."""

    status, code, title = 409, "version_exists", "That version exists already"

    def __init__(self, api: str, semver: str, tree: str, other: str, suggestion: str) -> None:
        super().__init__(
            f"{api} {semver} exists already and never changes; its files are the tree {tree[:12]}, and what would be "
            f"deployed now is {other[:12]}",
            hint=f"These files as another version: apimarket deploy {api} --version {suggestion}; "
            f"or {semver} as it is: apimarket traffic {api} {semver}",
            extra={"version": semver, "tree": tree, "other_tree": other, "suggestion": suggestion},
        )


class PublishedNotRun(ApimarketError):
    """Fails closed: other people's code is run where it is held apart, or where whoever runs the server said so."""

    status, code, title = 409, "published_not_run", "This server does not run what is published to it"

    def __init__(self, api: str) -> None:
        super().__init__(
            f"{api} was published to this server, which shows and hands it out, and does not run it",
            hint=f"Run it on a machine of yours: apimarket pull {api} --run. A marketplace runs it where Docker holds "
            "it apart (docs/marketplace.md)",
        )


class NothingToDeploy(ApimarketError):
    status, code, title = 409, "nothing_to_deploy", "There is nothing to make a version of"

    def __init__(self, api: str, reason: str) -> None:
        super().__init__(
            f"{api} {reason}",
            hint=f"Run its directory first: apimarket deploy {api}; or serve a version: apimarket versions {api}",
        )


class NothingToCompare(ApimarketError):
    status, code, title = 409, "nothing_to_compare", "There is nothing to compare with"

    def __init__(self, api: str) -> None:
        super().__init__(
            f"Nothing of {api}'s directory serves now, and no version was named that could stand in its place",
            hint=f"Name two sides, versions or generations: apimarket diff {api} g1 dev. See: apimarket versions {api}",
        )


class VersionInTraffic(ApimarketError):
    status, code, title = 409, "version_in_traffic", "Callers are on that version"

    def __init__(self, api: str, semver: str, weight: int) -> None:
        super().__init__(
            f"{api} {semver} has {weight} % of the traffic",
            hint=f"Move it elsewhere first: apimarket traffic {api} VERSION; or stop all of it: apimarket stop {api}",
            extra={"version": semver, "weight": weight},
        )


class NothingToRollBack(ApimarketError):
    status, code, title = 409, "nothing_to_roll_back", "There is nothing to go back to"

    def __init__(self, api: str) -> None:
        super().__init__(
            f"The traffic of {api} was never anywhere else",
            hint=f"See what there is to move it to: apimarket versions {api}",
        )


class VersionGone(ApimarketError):
    status, code, title = 410, "version_sunset", "That version is not answered for any more"

    def __init__(self, api: str, semver: str, sunset_at: datetime, successor: str | None) -> None:
        super().__init__(
            f"{api} {semver} came to its end at {sunset_at.isoformat(timespec='seconds')}",
            hint=f"Its successor is {successor}: /{api}@{successor}/" if successor else "",
            extra={"version": semver, "sunset_at": sunset_at.isoformat(), "successor": successor},
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


class InvalidSunset(ApimarketError):
    status, code, title = 422, "invalid_sunset", "That is no time for an end"

    def __init__(self, sunset_at: datetime, now: datetime) -> None:
        super().__init__(
            f"{sunset_at.isoformat(timespec='seconds')} has passed; it is {now.isoformat(timespec='seconds')}",
            hint="Choose a time to come, so that callers can be told of it.",
            extra={"sunset_at": sunset_at.isoformat()},
        )


class TrafficConflict(ApimarketError):
    status, code, title = 409, "traffic_conflict", "The traffic was moved meanwhile"

    def __init__(self, api: str, expected: int, found: int) -> None:
        super().__init__(
            f"The traffic of {api} was at revision {expected}, and is now at {found}",
            hint=f"Look where it goes, and decide again: apimarket versions {api}",
            extra={"expected": expected, "found": found},
        )
