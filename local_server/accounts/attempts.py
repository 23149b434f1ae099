"""Slows down who guesses passwords, by address and by account, and locks nobody out."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from local_server.domain.account_errors import TooManyAttempts
from local_server.domain.accounts import FORGET_S, FREE_TRIES, pause_s

LONGEST_S = 15.0
MOST_KNOWN = 10_000


@dataclass(slots=True)
class _Count:
    failures: int = 0
    not_before_s: float = 0.0
    last_s: float = 0.0


class Attempts:
    """Counts in memory; a restart forgets. `clock` is monotonic, in seconds.

    A try counts as failed from its beginning, so that many at the same time are no way round; `succeeded` takes that
    back. A try that is turned away counts nothing.
    """

    def __init__(
        self, free: int = FREE_TRIES, longest_s: float = LONGEST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._free = free
        self._longest_s = longest_s
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._trusted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, address: str, account: str = "") -> None:
        """Raises TooManyAttempts while there is a pause to be kept. An address from which the account was logged in
        to is not held up by what others tried from elsewhere."""
        now_s = self._clock()
        counts = [self._count(name, now_s) for name in self._names(address, account)]
        wait_s = max(count.not_before_s for count in counts) - now_s
        if wait_s > 0:
            raise TooManyAttempts(math.ceil(wait_s))
        for count in counts:
            count.failures += 1
            count.last_s = now_s
            count.not_before_s = now_s + pause_s(count.failures, self._longest_s, self._free)

    def succeeded(self, address: str, account: str) -> None:
        """The try that began was right: it, and what was tried on this account before, no longer counts. Other
        accounts that were tried from this address still do."""
        self._counts.pop(f"account {account}", None)
        count = self._counts.get(f"address {address}")
        if count is not None:
            count.failures -= 1
            count.not_before_s = count.last_s
        self._trusted[address, account] = None
        self._trusted.move_to_end((address, account))
        if len(self._trusted) > MOST_KNOWN:
            self._trusted.popitem(last=False)

    def _names(self, address: str, account: str) -> list[str]:
        names = [f"address {address}"]
        if account and (address, account) not in self._trusted:
            names.append(f"account {account}")
        return names

    def _count(self, name: str, now_s: float) -> _Count:
        count = self._counts.get(name)
        if count is None or now_s - count.last_s > FORGET_S:
            count = self._counts[name] = _Count(last_s=now_s)
        self._counts.move_to_end(name)
        # The names are the callers' choice: they must not fill the memory. The longest unused goes first.
        if len(self._counts) > MOST_KNOWN:
            self._counts.popitem(last=False)
        return count
