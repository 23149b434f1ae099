"""What can be done with API keys. Each change is in force, and on the disk, when the call that makes it returns; on
other servers of the same database it is in force as soon as they hear of it.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from local_server.domain.account_errors import KeyNotFound, KeyNotInForce
from local_server.domain.accounts import AuditEntry, Caller
from local_server.domain.events import ApiRemoved, Event, KeysChanged
from local_server.domain.idempotency import Outcome, check_key, request_hash
from local_server.domain.ids import ApiId, KeyId, UserId
from local_server.domain.keys import SECRET_BYTES, SHOWN_CHARS, ApiKey, KeyState, Scope, digest_of, write_key
from local_server.domain.manifest import RateLimit
from local_server.domain.quotas import Quota
from local_server.domain.registry import Api
from local_server.domain.registry_errors import ApiNotFound
from local_server.domain.storage_errors import StorageFull
from local_server.events.bus import Lost, Subscription
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.system import System

logger = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_S = 5.0
"""`last_used_at` is written at most this often."""

MOST_TOLD = 100
"""Of keys by their ids, in one event: a notification between servers has 8000 bytes."""

Publish = Callable[[Sequence[ApiKey]], None]
"""Takes all keys there are, in one step. One that has not changed is the same object each time."""


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What a new key should be; checked by domain/keys.py."""

    name: str = ""
    scopes: tuple[Scope, ...] = tuple(Scope)
    cidrs: tuple[str, ...] = ()
    expires_at: datetime | None = None
    rate_limit: RateLimit | None = None
    quota: Quota | None = None
    plan: str | None = None
    """The code of the plan that the quota comes from."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """The one time that a key is seen."""

    text: str
    key: ApiKey

    def __repr__(self) -> str:
        return f"NewKey({self.key!r})"


class Keys:
    """Use on one event loop; call `open` before anything is served."""

    def __init__(
        self, storage: Storage, system: System, publish: Publish, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._storage = storage
        self._system = system
        self._publish = publish
        self._random = random
        self._refreshing = asyncio.Lock()
        self._known: dict[KeyId, ApiKey] = {}
        """As they were published last."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._used: dict[KeyId, datetime] = {}
        self._name = random(8).hex()
        """Of this server, in what it tells the others."""

    async def open(self) -> None:
        """Publish what there is."""
        await self._refresh()

    async def create(
        self, api: Api, wish: KeyWish, caller: Caller, *, address: str, idempotency_key: str | None = None
    ) -> NewKey:
        """A new key for the API. Sent again with the same `idempotency_key`, the key that nobody may have seen is
        revoked and this one takes its place: one is in force, however often it was asked for.

        Raises ApiNotFound when the API was removed meanwhile, IdempotencyKeyRefused, IdempotencyKeyReused."""
        if idempotency_key is not None:
            check_key(idempotency_key)
        now = self._system.now()
        text = write_key(self._random(SECRET_BYTES))
        key_id = KeyId(self._system.new_id())
        key = ApiKey(
            id=key_id,
            api_id=api.id,
            user_id=api.user_id,
            name=wish.name,
            digest=digest_of(text.encode()),
            prefix=text[:SHOWN_CHARS],
            scopes=wish.scopes,
            cidrs=wish.cidrs,
            rate_limit=wish.rate_limit,
            created_at=now,
            expires_at=wish.expires_at,
            quota=wish.quota,
            quota_subject=f"key:{key_id}" if wish.quota else None,
            plan=wish.plan,
        )

        def add(tx: Tx) -> None:
            if tx.registry.get(api.id) is None:
                raise ApiNotFound(api.full_name)
            if idempotency_key is not None:
                hashed = request_hash("key", {"api": api.id, **asdict(wish)})
                before = tx.idempotency.claim(caller.user.id, idempotency_key, hashed, now)
                if before is not None:
                    tx.keys.revoke(KeyId(before.response["key"]), now)
                    tx.audit.add(self._entry(caller, "key.revoke", before.response["key"], address))
                tx.idempotency.settle(caller.user.id, idempotency_key, Outcome(201, {"key": key.id}))
            tx.keys.add(key)
            tx.audit.add(self._entry(caller, "key.create", key.id, address, api.full_name))

        await self._change(add)
        return NewKey(text, key)

    async def of_api(self, api: Api) -> Sequence[ApiKey]:
        """Newest first; when each was last used, to the moment."""
        return self._fresh(await self._storage.read(lambda tx: tx.keys.of_api(api.id)))

    async def of_user(self, user_id: UserId) -> Sequence[tuple[ApiKey, str]]:
        """The same, to whichever API, with the owner/name of each."""

        def find(tx: ReadTx) -> list[tuple[ApiKey, str]]:
            keys = tx.keys.of_user(user_id)
            apis = {api_id: tx.registry.get(api_id) for api_id in {key.api_id for key in keys}}
            return [(key, api.full_name) for key in keys if (api := apis[key.api_id]) is not None]

        found = await self._storage.read(find)
        return list(zip(self._fresh([key for key, _ in found]), [name for _, name in found], strict=True))

    def _fresh(self, kept: Sequence[ApiKey]) -> Sequence[ApiKey]:
        return [replace(key, last_used_at=self._used.get(key.id, key.last_used_at)) for key in kept]

    async def rotate(
        self, key_id: str, grace: timedelta, caller: Caller, *, address: str, idempotency_key: str | None = None
    ) -> NewKey:
        """Another key with the same rights, counted together with the old one; that is in force for `grace`
        more, or until it expires. Sent again with the same `idempotency_key`, the new key that nobody may have seen is
        revoked and this one takes its place; the grace goes on from the first time.

        Raises KeyNotFound, KeyNotInForce, IdempotencyKeyRefused, IdempotencyKeyReused."""
        if idempotency_key is not None:
            check_key(idempotency_key)
        now = self._system.now()
        text = write_key(self._random(SECRET_BYTES))

        def rotate(tx: Tx) -> ApiKey:
            unseen = self._unseen(tx, key_id, grace, caller, idempotency_key, now)
            old = self._find(tx, key_id, caller)
            _check_active(unseen or old, now)
            new = replace(
                old,
                id=KeyId(self._system.new_id()),
                digest=digest_of(text.encode()),
                prefix=text[:SHOWN_CHARS],
                created_at=now,
                last_used_at=None,
                replaced_by=None,
                grace_until=None,
            )
            until = old.grace_until if unseen is not None and old.grace_until is not None else now + grace
            tx.keys.replace(old.id, new, until)
            if unseen is not None:
                tx.keys.revoke(unseen.id, now)
                tx.audit.add(self._entry(caller, "key.revoke", unseen.id, address))
            if idempotency_key is not None:
                tx.idempotency.settle(caller.user.id, idempotency_key, Outcome(201, {"key": new.id}))
            tx.audit.add(self._entry(caller, "key.rotate", old.id, address, f"replaced by {new.id}"))
            return new

        return NewKey(text, await self._change(rotate))

    async def revoke(self, key_id: str, caller: Caller, *, address: str) -> None:
        """Never in force again. A second time changes nothing. Raises KeyNotFound."""
        now = self._system.now()

        def revoke(tx: Tx) -> None:
            key = self._find(tx, key_id, caller)
            if key.revoked_at is None:
                tx.keys.revoke(key.id, now)
                tx.audit.add(self._entry(caller, "key.revoke", key.id, address))

        await self._change(revoke)

    def drafted(
        self, api_id: ApiId, user_id: UserId, name: str, subject: str, quota: Quota | None, plan: str
    ) -> NewKey:
        """A key that is not stored yet, for an act of somebody else's; its quota is counted as `subject`."""
        text = write_key(self._random(SECRET_BYTES))
        key = ApiKey(
            id=KeyId(self._system.new_id()),
            api_id=api_id,
            user_id=user_id,
            name=name,
            digest=digest_of(text.encode()),
            prefix=text[:SHOWN_CHARS],
            scopes=tuple(Scope),
            cidrs=(),
            rate_limit=None,
            created_at=self._system.now(),
            quota=quota,
            quota_subject=subject,
            plan=plan,
        )
        return NewKey(text, key)

    async def api_name(self, api_id: ApiId) -> str:
        """owner/name of what a key is for: whoever holds a key may know it, also where the API is another's."""
        api = await self._storage.read(lambda tx: tx.registry.get(api_id))
        return api.full_name if api is not None else api_id

    async def change(self, act: Callable[[Tx], T]) -> T:
        """Run an act that changes keys among other things; when this returns, they are in force as it left them."""
        return await self._change(act)

    # -- Other servers -------------------------------------------------------------------------------------------

    async def follow(self, events: Subscription[Event]) -> None:
        """Publish anew what others changed, without the keys of APIs that are gone. Returns when there are no more
        events."""
        async for event in events:
            told = [event, *events.waiting()]
            others = [each for each in told if isinstance(each, KeysChanged) and each.by != self._name]
            removed = {each.api_id for each in told if isinstance(each, ApiRemoved)}
            if any(isinstance(each, Lost) for each in told) or not all(each.ids for each in others):
                await self._refresh()
            elif others or removed:
                gone = {key.id for key in self._known.values() if key.api_id in removed}
                await self._refresh(gone.union(*(each.ids for each in others)))

    # -- Last used -----------------------------------------------------------------------------------------------

    def used(self, key_id: KeyId, at: datetime) -> None:
        """A call was let in by this key. Never blocks; from the event loop's thread."""
        self._used[key_id] = at

    async def run(self) -> None:
        """Write down from time to time when keys were used. Never returns."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write down when keys were used. Fails open: with the disk full it is tried again later."""
        if not self._used:
            return
        times, self._used = self._used, {}
        try:
            await self._storage.write(lambda tx: tx.keys.used(times))
        except StorageFull as error:
            self._used = times | self._used
            logger.warning("When keys were last used cannot be stored and waits: %s", error)

    async def close(self) -> None:
        """End `run` first. May be called twice."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.flush()

    # -- Inside --------------------------------------------------------------------------------------------------

    async def _change(self, act: Callable[[Tx], T]) -> T:
        # A task of its own: who hangs up after the commit must not leave a revoked key in force.
        task = asyncio.create_task(self._written(act), name="keys-change")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _written(self, act: Callable[[Tx], T]) -> T:
        def told(tx: Tx) -> tuple[T, set[KeyId]]:
            result = act(tx)
            changed = tx.keys.changed
            if changed:
                tx.emit(KeysChanged(self._name, tuple(sorted(changed)) if len(changed) <= MOST_TOLD else ()))
            return result, changed

        result, changed = await self._storage.write(told, lasting=True)
        await self._refresh(changed)
        return result

    async def _refresh(self, changed: Collection[KeyId] | None = None) -> None:
        """Publish those that were `changed` as they are now; None: whichever. Reading all of them takes a while where
        there are many thousands."""
        # One at a time: what was read first must not be published last.
        async with self._refreshing:
            if changed is None:
                self._known = {key.id: key for key in await self._storage.read(lambda tx: tx.keys.all())}
            elif changed:
                found = await self._storage.read(lambda tx: {key_id: tx.keys.get(key_id) for key_id in changed})
                for key_id, key in found.items():
                    if key is not None:
                        self._known[key_id] = key
                    else:
                        self._known.pop(key_id, None)
            self._publish(tuple(self._known.values()))

    def _unseen(
        self, tx: Tx, key_id: str, grace: timedelta, caller: Caller, idempotency_key: str | None, now: datetime
    ) -> ApiKey | None:
        """What the same request put in the place of `key_id` before, in an answer that may have been lost."""
        if idempotency_key is None:
            return None
        hashed = request_hash("rotate", {"key": key_id, "grace_s": grace.total_seconds()})
        before = tx.idempotency.claim(caller.user.id, idempotency_key, hashed, now)
        return None if before is None else self._find(tx, before.response["key"], caller)

    def _find(self, tx: Tx, key_id: str, caller: Caller) -> ApiKey:
        key = tx.keys.get(KeyId(key_id), None if caller.is_machine else caller.user.id)
        if key is None:
            raise KeyNotFound(key_id)
        return key

    def _entry(self, caller: Caller, action: str, subject: str, address: str, detail: str = "") -> AuditEntry:
        now = self._system.now()
        return AuditEntry(self._system.new_id(), now, caller.user.id, action, subject, address, detail)


def _check_active(key: ApiKey, now: datetime) -> None:
    """Raises KeyNotInForce."""
    if (state := key.state(now)) is not KeyState.ACTIVE:
        raise KeyNotInForce(key.id, state if state is not KeyState.GRACE else "replaced already")
