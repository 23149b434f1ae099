"""The keys an account signs its versions with."""

from collections.abc import Sequence

from local_server.domain.accounts import Caller
from local_server.domain.registry import User
from local_server.domain.signatures import SignerId, SigningKey, check_public_key, signer_id
from local_server.domain.sync_errors import InvalidSigningKey, SigningKeyNotFound
from local_server.storage.base import Storage, Tx
from local_server.system import System

MOST = 200
"""Of one account, beside those that pipelines register and that end with their tokens."""


class SigningKeys:
    def __init__(self, storage: Storage, system: System) -> None:
        self._storage = storage
        self._system = system

    async def of(self, caller: Caller) -> Sequence[SigningKey]:
        """Newest first, revoked ones too; of a token's those that were registered with it."""
        token_id = caller.token.id if caller.token is not None else None
        return await self._storage.read(lambda tx: tx.signing_keys.of_user(caller.user.id, token_id))

    async def register(self, caller: Caller, name: str, public_key: str) -> SigningKey:
        """The same key again is the same one. Raises InvalidSigningKey."""
        raw = check_public_key(public_key)
        user, token = caller.user, caller.token
        token_id = token.id if token is not None else None
        key = SigningKey(signer_id(raw), user.id, name, raw, self._system.now(), token_id=token_id)

        def act(tx: Tx) -> SigningKey:
            known = tx.signing_keys.get(user.id, key.id)
            if known is not None and known.revoked_at is None:
                return known
            if known is not None:
                raise InvalidSigningKey(f"The key {key.id} was revoked", "Sign with another key.")
            if token is None and len(tx.signing_keys.of_user(user.id, limit=MOST)) >= MOST:
                raise InvalidSigningKey(f"You have {MOST} signing keys already", "Sign with one of them.")
            tx.signing_keys.add(key)
            return key

        return await self._storage.write(act, lasting=True)

    async def revoke(self, user: User, signer: str) -> None:
        """It signs nothing new; what it signed stays. Twice is as good as once. Raises SigningKeyNotFound."""

        def act(tx: Tx) -> None:
            if tx.signing_keys.get(user.id, SignerId(signer)) is None:
                raise SigningKeyNotFound(signer)
            tx.signing_keys.revoke(user.id, SignerId(signer), self._system.now())

        await self._storage.write(act, lasting=True)
