"""Limits that several gateways count together, and what happens while they cannot.

A gateway that cannot ask the shared counter limits by its own, which goes on from what it let in itself. Fails open in
part: each of `n` gateways then admits up to the limit. No call is refused because the counter does not answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from local_server.domain.manifest import RateLimit
    from local_server.gateway.limits import Limits, Subject, Verdict

Reason = Literal["timeout", "unreachable", "refused", "resting"]
"""Why the counter was not asked, or did not answer. resting: it failed a few times, and is left alone for a while."""
REASONS: tuple[Reason, ...] = get_args(Reason)


class CounterFailed(Exception):
    """The shared counter did not say whether a call is admitted."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Counter(Protocol):
    """What all gateways of one installation count with."""

    @property
    def place(self) -> str:
        """Where it is, without what opens it."""

    @property
    def trouble(self) -> str:
        """Why it is left alone; empty while it is asked."""

    async def admit(self, subject: Subject, limit: RateLimit) -> Verdict:
        """As `Limits.admit`, by the counter's own clock. Raises CounterFailed, within a time that a caller can wait."""


class SharedLimits:
    """Use on one event loop. `alone` counts while `counter` does not."""

    def __init__(self, counter: Counter, alone: Limits) -> None:
        self.counter = counter
        self._alone = alone
        self.fallbacks: dict[Reason, int] = dict.fromkeys(REASONS, 0)
        """Calls that this gateway limited alone, by why."""

    @property
    def resting(self) -> bool:
        """Whether `admit_alone` is all there is to do."""
        return bool(self.counter.trouble)

    async def admit(self, subject: Subject, limit: RateLimit, now_s: float) -> Verdict:
        """See `Limits.admit`."""
        try:
            verdict = await self.counter.admit(subject, limit)
        except CounterFailed as failed:
            return self.admit_alone(subject, limit, now_s, failed.reason)
        if verdict.admitted:
            self._alone.count(subject, limit, now_s)
        return verdict

    def admit_alone(self, subject: Subject, limit: RateLimit, now_s: float, reason: Reason = "resting") -> Verdict:
        """The same without waiting, by what this gateway let in."""
        self.fallbacks[reason] += 1
        return self._alone.admit(subject, limit, now_s)
