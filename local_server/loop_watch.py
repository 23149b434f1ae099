"""Notices when something stood in the way of the event loop that the gateway lives on."""

import asyncio
import logging
import sys
import threading
import time
import traceback

logger = logging.getLogger("apimarket.loop")

TICK_S = 0.025
"""Between two beats: a tenth of a percent of a core, and no stall of more than 75 ms goes unseen."""
STALL_S = 0.050


class LoopWatch:
    """Counts stalls of more than 50 ms and logs each with what the loop's thread was doing meanwhile."""

    def __init__(self) -> None:
        self.stalls = 0
        self._beat = time.monotonic()
        self._stop = threading.Event()

    async def run(self) -> None:
        """Beat until cancelled, while a thread watches the beats."""
        thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="loop-watch", daemon=True)
        self._stop.clear()
        self._beat = time.monotonic()
        thread.start()
        try:
            while True:
                self._beat = time.monotonic()
                await asyncio.sleep(TICK_S)
        finally:
            self._stop.set()

    def _watch(self, loop_thread: int) -> None:
        told = 0.0
        while not self._stop.wait(STALL_S):
            beat = self._beat
            late_s = time.monotonic() - beat - TICK_S
            if late_s > STALL_S and told != beat:
                told = beat
                self.stalls += 1
                frame = sys._current_frames().get(loop_thread)
                where = "".join(traceback.format_stack(frame)[-3:]) if frame else "unknown"
                logger.warning("the event loop has stood still for %.0f ms so far, in:\n%s", late_s * 1000, where)
