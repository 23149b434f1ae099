"""Opens what accounts and keys need, and closes it again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from local_server.accounts.keys import Keys, Publish
from local_server.accounts.service import Accounts
from local_server.accounts.tokens import Sessions
from local_server.domain.registry import User
from local_server.storage.base import Storage
from local_server.system import System
from local_server.tasks import supervise


@asynccontextmanager
async def open_accounts(
    storage: Storage, system: System, owner: User, signing_key: bytes, publish: Publish
) -> AsyncIterator[tuple[Accounts, Keys]]:
    """Both, with every key published. `owner` is the machine's."""
    accounts = Accounts(storage, system, Sessions(signing_key, storage.install_id, system), owner)
    keys = Keys(storage, system, publish)
    await keys.open()
    task = asyncio.create_task(supervise("keys", keys.run), name="keys")
    try:
        yield accounts, keys
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await keys.close()
        accounts.close()
