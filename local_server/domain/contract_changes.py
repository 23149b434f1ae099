"""What can change between two versions of an API's contract, and which next version number each asks for.

The rules have the names that oasdiff gave them, so that a search finds what others wrote about each.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from local_server.domain.semver import Semver


class Severity(StrEnum):
    ERROR = "error"
    """Breaks callers that kept to the contract."""
    WARNING = "warning"
    """Breaks callers that relied on more than the contract promised."""
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Change:
    rule: str
    severity: Severity
    operation: str
    """`GET /items/{id}`, as the new document writes it, or the old one where it is gone."""
    text: str


class Bump(StrEnum):
    """The smallest step of the version number that tells callers the truth."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


def bump_of(changes: Iterable[Change]) -> Bump:
    severities = {change.severity for change in changes}
    if Severity.ERROR in severities:
        return Bump.MAJOR
    return Bump.MINOR if severities else Bump.PATCH


def comes_after(semver: str, other: str) -> bool:
    """By the precedence of semver.org, 11; build metadata does not count. Raises ValueError for what is no version."""
    return Semver.parse(semver).precedence > Semver.parse(other).precedence


def release_of(semver: str) -> str:
    """What a pre-release leads to: 2.0.0 for 2.0.0-rc.1. Raises ValueError for what is no version."""
    return ".".join(map(str, Semver.parse(semver).numbers))


def next_version(current: str, bump: Bump) -> str:
    """The number after `current` that `bump` asks for. Below 1.0.0 nothing is promised yet: what breaks counts the
    second number up, all else the third (semver.org, 4). A pre-release is followed by what it leads to, if that is
    far enough. Raises ValueError for what is no version."""
    number = Semver.parse(current)
    major, minor, patch = number.numbers
    if number.mark and (patch == 0 or bump is Bump.PATCH) and (minor == 0 or bump is not Bump.MAJOR):
        return f"{major}.{minor}.{patch}"
    if major == 0:
        return f"0.{minor + 1}.0" if bump is Bump.MAJOR else f"0.{minor}.{patch + 1}"
    if bump is Bump.MAJOR:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if bump is Bump.MINOR else f"{major}.{minor}.{patch + 1}"
