"""The shared counter that the settings name, if they name one."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from local_server.domain.server_errors import RedisClientMissing
from local_server.settings import Settings

if TYPE_CHECKING:
    from local_server.limiter.counter import RedisCounter


async def open_counter(settings: Settings, install_id: str, stack: AsyncExitStack) -> "RedisCounter | None":
    """None where each server counts alone. Closed with `stack`. A Redis that does not answer keeps no server from
    starting. Raises RedisClientMissing.

    Servers on one database have one `install_id`, and count together; others may use the same Redis."""
    url = settings.redis_url.get_secret_value()
    if not url:
        return None
    try:
        from local_server.limiter.counter import RedisCounter
        from local_server.limiter.script import Script
    except ImportError as error:
        if error.name != "redis":
            raise
        raise RedisClientMissing from error
    counter = RedisCounter(Script(url), f"apimarket:{install_id}", settings.redis_timeout_s)
    stack.push_async_callback(counter.close)
    await counter.open()
    return counter
