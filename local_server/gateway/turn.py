"""The end of the event loop's turn, at which what was held back during it is written.

A write wakes whoever waits for it. In a busy turn a peer that is woken for each single write has answered it, and
sleeps again, before the next one comes; for writes that follow each other at once it is woken once. That spares the
kernel 4 µs a request. What is alone on its lane is not held back at all (express_exchange.py).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Turn:
    """Use on one event loop."""

    def __init__(self) -> None:
        self._held: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Call it once what is ready now was looked at, before anything else is waited for; in the order they came."""
        if not self._held:
            asyncio.get_running_loop().call_soon(self._end)
        self._held.append(call)

    def _end(self) -> None:
        held, self._held = self._held, []
        for call in held:
            try:
                call()
            except Exception:  # one's fault is no reason to leave the others unwritten
                logger.exception("What was to be written could not be")
