"""What RFC 9111 says of one request, of one answer, and of the two together; for a cache that several callers share.

It differs from the RFC where that leaves a choice, always to the safe side: what the answer to a request with
credentials (a key, a cookie, `Authorization`) does not say it is for everybody, nobody else gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.request_head import RequestHead

LONGEST_S = 2**31
"""RFC 9111 1.2.2: what is longer counts as this."""
STORED_STATUSES = frozenset({200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 501})
DEFAULT_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 410})
"""Of these an answer that does not say how long it is good is good for as long as the manifest says."""
_CREDENTIALS = frozenset({b"authorization", b"cookie", b"x-api-key"})
_PASSED_BY = frozenset({b"range", b"if-range", b"if-match", b"if-unmodified-since"})
"""What the API itself has to look at."""
CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
# The gateway says these anew with each request: an answer that depends on them is good for one.
_TOLD_ANEW = frozenset({b"forwarded", b"x-real-ip", b"x-request-id", b"traceparent", b"tracestate", b"*"})
_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~\w-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^,\s]*))?""", re.ASCII)
_TAG = re.compile(rb'(?:W/)?("[^"]*")')

Directives = Mapping[str, str]
Key = tuple[bytes, bytes, bytes, bytes]
"""Host, prefix, origin, target: all that an answer's own URLs and its headers may be made of."""


class Instant(NamedTuple):
    """By the clock on the wall, which may be set, and by one that only goes forward, but may rest with the machine."""

    wall_s: float
    steady_s: float

    def since(self, earlier: Instant) -> float:
        """Seconds; the more of the two: what is kept may look older than it is, and never younger."""
        return max(self.wall_s - earlier.wall_s, self.steady_s - earlier.steady_s, 0.0)


def directives(values: Iterable[bytes]) -> Directives:
    """Of `Cache-Control`. Of two that say different times, the shorter one."""
    found: dict[str, str] = {}
    for value in values:
        for match in _DIRECTIVE.finditer(value.decode("latin-1")):
            name, argument = match[1].lower(), (match[2] or "").strip('"')
            if name in found and argument.isdecimal() and found[name].isdecimal():
                argument = str(min(int(argument[:12]), int(found[name][:12])))
            found[name] = argument
    return found


def seconds(argument: str) -> int:
    """What is no number of seconds is none."""
    if not argument.isascii() or not argument.isdecimal():
        return 0
    return min(int(argument[:12]), LONGEST_S)


def _time(value: bytes) -> float | None:
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


# -- The request ------------------------------------------------------------------------------------------------------


class Ask:
    """A GET or HEAD, as the cache sees it."""

    __slots__ = (
        "_lines",
        "_min_fresh_s",
        "audience",
        "conditional",
        "key",
        "max_age_s",
        "modified_since",
        "must_check",
        "none_match",
        "only_if_cached",
        "passed_by",
    )

    def __init__(self, head: RequestHead, prefix: bytes, target: bytes, audience: str | None) -> None:
        """`audience`: the key the caller has, empty without one; None: it may only be given what is for everybody."""
        self.key: Key = (head.host.lower(), prefix, head.origin, target)
        self.audience = audience
        self.passed_by = head.has_body
        """Neither answered from what is kept, nor is its answer kept."""
        self.must_check = False
        """The caller wants the API asked."""
        self.only_if_cached = False
        self.none_match = self.modified_since = b""
        self.max_age_s = LONGEST_S
        self._min_fresh_s = 0
        self._lines = lines = head.lines
        controls: list[bytes] = []
        pragma = b""
        for index in range(0, len(lines), 4):
            name = lines[index]
            if name in _CREDENTIALS:
                self.audience = None
            elif name in _PASSED_BY:
                self.passed_by = True
            elif name == b"cache-control":
                controls.append(lines[index + 2])
            elif name == b"pragma":
                pragma = lines[index + 2]
            elif name == b"if-none-match":
                self.none_match += (b", " if self.none_match else b"") + lines[index + 2]
            elif name == b"if-modified-since":
                self.modified_since = lines[index + 2]
        self.conditional = bool(self.none_match or self.modified_since)
        if controls:
            self._obey(directives(controls))
        elif pragma.strip().lower() == b"no-cache":
            self.must_check = True

    def _obey(self, said: Directives) -> None:
        self.must_check = "no-cache" in said
        self.passed_by = self.passed_by or "no-store" in said
        self.only_if_cached = "only-if-cached" in said
        if "max-age" in said:
            self.max_age_s = seconds(said["max-age"])
        self._min_fresh_s = seconds(said.get("min-fresh", "0"))

    @property
    def place(self) -> tuple[Key, str | None]:
        """What is asked, and with which key."""
        return self.key, self.audience

    @property
    def target(self) -> bytes:
        return self.key[3]

    def values(self, names: Iterable[bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """What the request says in these headers, as the API sees it."""
        lines = self._lines
        return tuple(
            (name, b", ".join(lines[at + 2] for at in range(0, len(lines), 4) if lines[at] == name)) for name in names
        )

    def content_with(self, stored: Stored, now: Instant) -> bool:
        """Whether `stored`, which answers this, may be given without asking the API."""
        age_s = stored.age_s(now)
        return (
            not self.must_check
            and not stored.always_check
            and age_s + self._min_fresh_s < stored.lifetime_s
            and age_s <= self.max_age_s
        )

    def has(self, stored: Stored) -> bool:
        """Whether the caller has this very content already, and is to be told so (RFC 9110, 13.1)."""
        if stored.status != 200:
            return False
        if self.none_match:
            if self.none_match.strip() == b"*":
                return True
            tag = _TAG.fullmatch(stored.etag)
            return tag is not None and tag[1] in _TAG.findall(self.none_match)
        if not self.modified_since or not stored.last_modified:
            return False
        asked, changed = _time(self.modified_since), _time(stored.last_modified)
        return asked is not None and changed is not None and changed <= asked


# -- The answer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer that may be given again."""

    key: Key
    audience: str | None
    """Whose key it was made with; None: it is for everybody."""
    selected: tuple[tuple[bytes, bytes], ...]
    """The headers that `Vary` names, as the request had them."""
    status: int
    headers: RawHeaders
    """The API's own, without Age, with a Date and a Content-Length."""
    body: bytes
    lifetime_s: float
    always_check: bool
    """`no-cache`: kept only to be confirmed by the API each time."""
    etag: bytes
    last_modified: bytes
    born: Instant
    """When its age was 0."""
    size: int = 0
    """What it is counted as."""

    def age_s(self, now: Instant) -> float:
        return now.since(self.born)

    def answers(self, ask: Ask) -> bool:
        """Whether it is what the API would have said to this request too."""
        if self.key != ask.key or self.audience not in (None, ask.audience):
            return False
        return not self.selected or ask.values(name for name, _ in self.selected) == self.selected

    def conditions(self) -> tuple[bytes, ...]:
        """The lines that ask the API whether it still holds; none if it cannot be told."""
        lines: list[bytes] = []
        if self.etag:
            lines.append(b"if-none-match: %b\r\n" % self.etag)
        if self.last_modified:
            lines.append(b"if-modified-since: %b\r\n" % self.last_modified)
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class Terms:
    """On which an answer may be kept."""

    audience: str | None
    vary: tuple[bytes, ...]
    lifetime_s: float
    always_check: bool


def terms(ask: Ask, status: int, headers: RawHeaders, ttl_s: int, now: Instant) -> Terms | None:
    """None: it may not be. `ttl_s` is how long an answer is good that does not say so itself."""
    if status not in STORED_STATUSES:
        return None
    said = directives(value for name, value in headers if name == b"cache-control")
    names = {name for name, _ in headers}
    vary = _vary(headers, names)
    if "no-store" in said or "private" in said or b"set-cookie" in names or vary is None:
        return None
    if _first(headers, b"content-type").lower().startswith(b"text/event-stream"):
        return None  # it tells what happens now, and who asks for it must not wait until another's ends
    everybody = "public" in said or "s-maxage" in said
    if ask.audience is None and not everybody:
        return None
    lifetime_s = _lifetime_s(status, headers, said, ttl_s, now)
    always_check = "no-cache" in said
    if (always_check or lifetime_s <= 0) and not names & {b"etag", b"last-modified"}:
        return None  # it could never be given
    return Terms(None if everybody else ask.audience, vary, lifetime_s, always_check)


def _vary(headers: RawHeaders, names: set[bytes]) -> tuple[bytes, ...] | None:
    """The headers that the answer depends on; None: on what no other request has."""
    named = {
        part.strip().lower() for name, value in headers if name == b"vary" for part in value.split(b",") if part.strip()
    }
    if named & _TOLD_ANEW or any(name.startswith(b"x-forwarded-") for name in named):
        return None
    if b"content-encoding" in names:
        named.add(b"accept-encoding")  # whether it says so or not
    return tuple(sorted(named))


def _lifetime_s(status: int, headers: RawHeaders, said: Directives, ttl_s: int, now: Instant) -> float:
    for name in ("s-maxage", "max-age"):
        if name in said:
            return seconds(said[name])
    expires = [value for name, value in headers if name == b"expires"]
    if expires:
        ends, dated = _time(expires[0]), _time(_first(headers, b"date"))
        return max(ends - (dated if dated is not None else now.wall_s), 0.0) if ends is not None else 0.0
    return ttl_s if status in DEFAULT_STATUSES else 0.0


def _first(headers: RawHeaders, wanted: bytes) -> bytes:
    return next((value for name, value in headers if name == wanted), b"")


def born_at(headers: RawHeaders, asked: Instant, now: Instant) -> Instant:
    """When the age of an answer that was `asked` for and came `now` was 0 (RFC 9111, 4.2.3)."""
    dated = _time(_first(headers, b"date"))
    apparent_s = max(now.wall_s - dated, 0.0) if dated is not None else 0.0
    if apparent_s < 1:
        apparent_s = 0.0  # a Date has whole seconds
    told_s = seconds(_first(headers, b"age").decode("latin-1").strip())
    age_s = max(apparent_s, told_s + now.since(asked))
    return Instant(now.wall_s - age_s, now.steady_s - age_s)
