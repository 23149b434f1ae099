"""Semantic Versioning 2.0.0 (semver.org): what a version number is, and which comes after which."""

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

MAX_CHARS = 64
# The expression that semver.org itself gives.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)


@total_ordering
@dataclass(frozen=True, slots=True)
class Semver:
    """Ordered by precedence (semver.org, 11), then by text, since build metadata has no precedence but numbers that
    differ in it are different versions all the same."""

    numbers: tuple[int, int, int]
    mark: str
    """Of a pre-release: `rc.1`; empty: a release."""
    text: str

    @staticmethod
    def parse(text: str) -> "Semver":
        """Raises ValueError for what is no version."""
        found = _SEMVER.fullmatch(text) if len(text) <= MAX_CHARS else None
        if found is None:
            raise ValueError(f"{text[:80]!r} is no version; allowed is MAJOR.MINOR.PATCH, as semver.org has it")
        return Semver((int(found[1]), int(found[2]), int(found[3])), found[4] or "", text)

    @property
    def is_release(self) -> bool:
        return not self.mark

    def __lt__(self, other: Any) -> bool:
        if not isinstance(other, Semver):
            return NotImplemented
        return (self.precedence, self.text) < (other.precedence, other.text)

    @property
    def precedence(self) -> tuple[Any, ...]:
        """Compares as semver.org has it: build metadata does not count."""
        # Numbers come before words, and are compared as numbers; what has no mark comes after all that have one.
        words = [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in self.mark.split(".")]
        return self.numbers, self.is_release, words if self.mark else []


def is_semver(text: str) -> bool:
    return len(text) <= MAX_CHARS and _SEMVER.fullmatch(text) is not None
