"""Opens what accounts and keys need, and closes it again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from local_server.accounts.keys import Keys, Publish
from local_server.accounts.service import Accounts
from local_server.accounts.tokens import Sessions
from local_server.domain.registry import User
from local_server.events.bus import Bus
from local_server.storage.base import Storage
from local_server.system import System
from local_server.tasks import supervise


@asynccontextmanager
async def open_accounts(
    storage: Storage,
    bus: Bus,
    system: System,
    owner: User,
    signing_key: bytes,
    publish: Publish,
    *,
    open_signups: bool = True,
) -> AsyncIterator[tuple[Accounts, Keys]]:
    """Both, with every key published, and published anew when another server changed one. `owner` is the machine's."""
    sessions = Sessions(signing_key, storage.install_id, system)
    accounts = Accounts(storage, system, sessions, owner, open_signups=open_signups)
    keys = Keys(storage, system, publish)
    async with bus.subscribe() as events:
        await keys.open()
        works = {"keys": keys.run, "keys-elsewhere": lambda: keys.follow(events)}
        tasks = [asyncio.create_task(supervise(name, work), name=name) for name, work in works.items()]
        try:
            yield accounts, keys
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await keys.close()
            accounts.close()
