"""Keeps the secrets of APIs sealed, hands their values to programs that start, and hides them wherever else they show.

A value that was ever known to this server stays hidden until it ends: what has it from before may still print it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from local_server.domain.accounts import AuditEntry, Caller
from local_server.domain.api_secrets import (
    MAX_SECRETS,
    SealedSecret,
    SecretBox,
    check_name,
    check_value,
    conceal,
    concealing,
)
from local_server.domain.ids import ApiId
from local_server.domain.registry import Api
from local_server.domain.secret_errors import SecretNotFound, SecretsMissing, SecretsSealed, TooManySecrets
from local_server.storage.base import Storage, Tx
from local_server.system import System


@dataclass(frozen=True, slots=True)
class SecretState:
    name: str
    updated_at: datetime | None
    """None: the manifest names it, and it has no value."""
    used: bool
    """The manifest names it."""


async def _nobody(_api: Api, _name: str) -> bool:
    """Until somebody runs APIs, none restarts."""
    return False


class Secrets:
    def __init__(self, storage: Storage, system: System, key: bytes) -> None:
        self._storage = storage
        self._system = system
        self._box = SecretBox(key)
        self._known: dict[ApiId, set[str]] = defaultdict(set)
        self._hidden: dict[ApiId, Sequence[str]] = {}
        self.changed: Callable[[Api, str], Awaitable[bool]] = _nobody
        """Restarts what uses the secret of that name; whether anything does."""

    async def open(self) -> None:
        """Know every value there is, so that what is taken over from an earlier server shows none."""
        for secret in await self._storage.read(lambda tx: tx.secrets.all()):
            if (value := self._box.open(secret)) is not None:
                self._hide(secret.api_id, value)

    # -- For those who own them --------------------------------------------------------------------------------------

    async def of(self, api: Api) -> Sequence[SecretState]:
        """By name: those that have a value, and those that lack one."""
        kept = {secret.name: secret.updated_at for secret in await self._sealed(api.id)}
        used = set(api.manifest.run.secrets)
        return [SecretState(name, kept.get(name), name in used) for name in sorted(kept.keys() | used)]

    async def put(self, api: Api, name: str, value: str, caller: Caller, *, address: str) -> bool:
        """Keep the value, and restart what uses it; returns whether something restarts. The value it has already
        changes nothing. Raises SecretNameRefused, SecretValueRefused, TooManySecrets."""
        check_name(name)
        check_value(name, value)
        secret = SealedSecret(api.id, name, self._box.seal(api.id, name, value), self._system.now())

        def put(tx: Tx) -> bool:
            kept = {one.name: one for one in tx.secrets.of_api(api.id)}
            if name in kept and self._box.open(kept[name]) == value:
                return False
            if name not in kept and len(kept) >= MAX_SECRETS:
                raise TooManySecrets(api.full_name, MAX_SECRETS)
            tx.secrets.put(secret)
            tx.audit.add(self._entry(caller, "secret.set", api, name, address))
            return True

        self._hide(api.id, value)
        return await self._storage.write(put, lasting=True) and await self.changed(api, name)

    async def remove(self, api: Api, name: str, caller: Caller, *, address: str) -> bool:
        """Returns whether something restarts: without it, it will not start. Raises SecretNotFound."""

        def remove(tx: Tx) -> None:
            if not tx.secrets.remove(api.id, name):
                raise SecretNotFound(api.full_name, name)
            tx.audit.add(self._entry(caller, "secret.remove", api, name, address))

        await self._storage.write(remove, lasting=True)
        return await self.changed(api, name)

    # -- For programs that start -------------------------------------------------------------------------------------

    async def values(self, api: Api, names: Sequence[str]) -> Mapping[str, str]:
        """Raises SecretsMissing, SecretsSealed."""
        if not names:
            return {}
        kept = {secret.name: secret for secret in await self._sealed(api.id)}
        if missing := [name for name in names if name not in kept]:
            raise SecretsMissing(api.full_name, missing)
        found = {name: self._box.open(kept[name]) for name in names}
        values = {name: value for name, value in found.items() if value is not None}
        if sealed := [name for name in names if name not in values]:
            raise SecretsSealed(api.full_name, sealed)
        self._hide(api.id, *values.values())
        return values

    def conceal(self, api_id: ApiId, text: str) -> str:
        """`text`, of wherever it comes from, without the values of the API's secrets."""
        return conceal(text, self._hidden.get(api_id, ()))

    def _hide(self, api_id: ApiId, *values: str) -> None:
        known = self._known[api_id]
        if not known.issuperset(values):
            known.update(values)
            self._hidden[api_id] = concealing(known)

    async def _sealed(self, api_id: ApiId) -> Sequence[SealedSecret]:
        return await self._storage.read(lambda tx: tx.secrets.of_api(api_id))

    def _entry(self, caller: Caller, action: str, api: Api, name: str, address: str) -> AuditEntry:
        return AuditEntry(
            self._system.new_id(),
            self._system.now(),
            caller.user.id,
            action,
            api.id,
            address,
            f"{api.full_name}: {name}",
        )
