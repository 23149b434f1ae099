"""Immutable versions of an API: what each is, which one a pin in a URL means, and where the traffic goes."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from local_server.domain.contract_changes import Bump, next_version
from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.routing import Notice, Steering
from local_server.domain.semver import Semver
from local_server.domain.version_errors import InvalidChannel, InvalidSemver, InvalidWeight, VersionTooLow

DEV = "dev"
"""The channel that is the working directory."""
LATEST = "latest"
"""The channel that is the newest release that was not yanked."""
RESERVED_CHANNELS = frozenset({DEV, LATEST})
CHANNEL = re.compile(r"[a-z][a-z0-9-]{0,31}")
KEPT_POINTERS = 20
"""Earlier states of the traffic that can be gone back to."""
_LINE = re.compile(r"(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """Nothing of it changes once it was added, but for the last four."""

    id: Digest
    """SHA-256 of `document` (version_documents.py)."""
    api_id: ApiId
    semver: str
    tree: Digest
    document: bytes
    """Its canonical JSON: api, semver, tree, parents, manifest."""
    parents: tuple[Digest, ...]
    signer: str | None
    """Who published it, as its marketplace knows the key; None, as the next two: made here and never published."""
    public_key: bytes | None
    signature: bytes | None
    published_by: UserId
    created_at: datetime
    yanked_at: datetime | None = None
    yanked_reason: str = ""
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    """From this time on it is not answered for any more."""

    @property
    def number(self) -> Semver:
        return Semver.parse(self.semver)

    @property
    def is_yanked(self) -> bool:
        return self.yanked_at is not None


# -- Pins --------------------------------------------------------------------------------------------------------


def check_channel(name: str) -> str:
    """Return `name` if a channel of one's own may have it. Raises InvalidChannel."""
    if not CHANNEL.fullmatch(name):
        raise InvalidChannel(name, "allowed are up to 32 of a-z, 0-9 and '-', a letter first")
    if name in RESERVED_CHANNELS:
        raise InvalidChannel(name, f"{DEV!r} is always the directory, and {LATEST!r} the newest release")
    return name


def is_line(pin: str) -> bool:
    """Whether it stands for the newest of several versions: `1` or `1.2`."""
    return _LINE.fullmatch(pin) is not None


def pins(versions: Iterable[ApiVersion], channels: Mapping[str, str]) -> dict[str, str]:
    """Every pin that means one of `versions`, and the number it means. A full number means itself, yanked or not:
    those who depend on exactly it keep it. `1`, `1.2` and `latest` are the newest release that was not yanked;
    a pre-release only ever answers to its full number, or to a channel."""
    known = {version.semver for version in versions}
    found = {name: semver for name, semver in channels.items() if semver in known}
    for version in sorted(versions, key=lambda version: version.number):
        found[version.semver] = version.semver
        if version.number.is_release and not version.is_yanked:
            major, minor, _ = version.number.numbers
            found |= dict.fromkeys((f"{major}", f"{major}.{minor}", LATEST), version.semver)
    return found


def resolve(pin: str, versions: Iterable[ApiVersion], channels: Mapping[str, str]) -> str | None:
    """The number of the version that `pin` means, or None. `dev` means none of them."""
    return pins(list(versions), channels).get(pin)


def newest_release(versions: Iterable[ApiVersion]) -> ApiVersion | None:
    """The highest number that is no pre-release and was not yanked."""
    releases = [version for version in versions if version.number.is_release and not version.is_yanked]
    return max(releases, key=lambda version: version.number, default=None)


def check_next(api: str, semver: str, versions: Iterable[ApiVersion]) -> str:
    """Return `semver` if a version made now may have it: it comes after every release, and after what has the same
    three numbers. Raises InvalidSemver, VersionTooLow."""
    known = list(versions)
    newest = max((version.number for version in known if version.number.is_release), default=None)
    try:
        number = Semver.parse(semver)
    except ValueError:
        raise InvalidSemver(semver, next_version(newest.text, Bump.PATCH) if newest else "1.0.0") from None
    same = [version.number for version in known if version.number.numbers == number.numbers]
    highest = max([*same, *([newest] if newest else [])], default=None)
    if highest is not None and number.precedence <= highest.precedence:
        raise VersionTooLow(api, semver, highest.text, next_version((newest or highest).text, Bump.PATCH))
    return semver


# -- Traffic -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a URL without a pin leads: to each target, a number of a version or `dev`, its share in percent."""

    shares: tuple[tuple[str, int], ...] = ((DEV, 100),)

    @property
    def versions(self) -> frozenset[str]:
        return frozenset(target for target, _ in self.shares if target != DEV)

    @property
    def is_directory(self) -> bool:
        """Whether no version has a share."""
        return not self.versions

    def weight(self, target: str) -> int:
        return dict(self.shares).get(target, 0)

    @staticmethod
    def to(target: str) -> "Pointer":
        return Pointer(((target, 100),))

    def canary(self, target: str, weight: int) -> "Pointer":
        """`weight` percent to `target`; the others share the rest as they shared all before. Raises InvalidWeight."""
        if not 1 <= weight <= 100:
            raise InvalidWeight(weight)
        others = [(name, share) for name, share in self.shares if name != target]
        total = sum(share for _, share in others)
        if weight == 100 or not total:
            return Pointer.to(target)
        return Pointer((*_divided(others, total, 100 - weight), (target, weight)))


def _divided(shares: list[tuple[str, int]], total: int, whole: int) -> list[tuple[str, int]]:
    """`shares` of `total` as shares of `whole`, in whole percents that sum up; what comes to nothing is left out."""
    parts, given, seen = [], 0, 0
    for name, share in shares:
        seen += share
        part = seen * whole // total - given
        given += part
        parts.append((name, part))
    return [(name, part) for name, part in parts if part]


@dataclass(frozen=True, slots=True)
class Traffic:
    pointer: Pointer = Pointer()
    earlier: tuple[Pointer, ...] = ()
    """What it was before, newest first."""
    revision: int = 0
    """Counts up with every move; a writer names the one it read. 0: it was never moved."""

    def moved(self, pointer: Pointer) -> "Traffic":
        """The same pointer again is no move."""
        if pointer == self.pointer:
            return self
        return replace(self, pointer=pointer, earlier=(self.pointer, *self.earlier)[:KEPT_POINTERS])

    def back(self) -> "Traffic | None":
        """As it was before the last move, or None; going back twice goes back two moves."""
        if not self.earlier:
            return None
        return replace(self, pointer=self.earlier[0], earlier=self.earlier[1:])


def steering(
    versions: Iterable[ApiVersion], running: Collection[str], channels: Mapping[str, str], pointer: Pointer
) -> Steering:
    """How an API's URLs lead to those of its `versions` that run and have served before: one that has not yet is found
    under its full number alone, so that nobody who asked for `1` waits for it, or falls with it."""
    known = list(versions)
    notices = {
        version.semver: Notice(version.deprecated_at, version.sunset_at, _successor(version, known))
        for version in known
        if version.deprecated_at is not None
    }
    return Steering(pointer.shares, pins([v for v in known if v.semver in running], channels), notices)


def _successor(version: ApiVersion, known: Iterable[ApiVersion]) -> str | None:
    newest = newest_release(other for other in known if other.deprecated_at is None)
    return newest.semver if newest is not None and newest.number > version.number else None
