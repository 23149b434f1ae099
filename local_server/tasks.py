"""Tasks that must not end: supervised, named, and restarted with a pause when they fail."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from local_server.domain.errors import ApimarketError

logger = logging.getLogger("apimarket.tasks")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


async def supervise(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` again and again until it returns. A failure is logged, with its traceback where nobody expected it,
    and followed by a pause that doubles up to half a minute and falls back after a minute without one."""
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    while True:
        began = loop.time()
        try:
            await work()
            return
        except ApimarketError as error:
            logger.warning("%s cannot go on; starting it again in %.1f s: %s", name, pause_s, error)
        except Exception:
            logger.exception("%s failed; starting it again in %.1f s", name, pause_s)
        if loop.time() - began > 60:
            pause_s = FIRST_PAUSE_S
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
