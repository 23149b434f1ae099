"""Decides what follows a crash: again, after a pause; or, when it keeps crashing, not again."""

from collections import deque

from local_server.executor.workshop import Pace

RETRIED = frozenset({"exit", "health", "oom", "port", "sandbox", "timeout"})
"""Kinds of failure of code that did start before: they may be chance, so they count as one more crash."""


class Crashes:
    """The recent crashes of one API. Times are seconds of any steady clock."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._times: deque[float] = deque(maxlen=pace.crash_limit)

    def next_pause_s(self, now: float) -> float | None:
        """Count a crash. Returns how long to wait before the next try, or None when it crashed too often."""
        self._times.append(now)
        recent = [at for at in self._times if now - at <= self._pace.crash_window_s]
        if len(recent) >= self._pace.crash_limit:
            self._times.clear()
            return None
        return self._pace.crash_backoff_s[min(len(recent), len(self._pace.crash_backoff_s)) - 1]

    def forget(self) -> None:
        """New code starts with a clean record."""
        self._times.clear()
