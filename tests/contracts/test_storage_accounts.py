"""What storage/base.py promises of accounts, keys and the audit log, of every store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from local_server.domain.account_errors import EmailTaken
from local_server.domain.accounts import Account, AccountStatus, AuditEntry, Role
from local_server.domain.ids import KeyId, UserId
from local_server.domain.keys import ApiKey, Scope
from local_server.domain.manifest import RateLimit
from local_server.domain.registry_errors import HandleTaken
from local_server.storage.base import Storage
from tests.storage.factories import ALICE, NOON, add_apis, an_api, an_id

BOB = Account(UserId(an_id(50)), "bob", "Bob@Example.org", "$2b$x", Role.CONSUMER, 3, AccountStatus.ACTIVE, NOON)
API = an_api(1)


def a_key(number: int, **more: object) -> ApiKey:
    given: dict[str, object] = {
        "id": KeyId(an_id(number)),
        "api_id": API.id,
        "user_id": ALICE.id,
        "name": f"key {number}",
        "digest": bytes([number]) * 32,
        "prefix": "am_live_abcdef",
        "scopes": (Scope.READ,),
        "cidrs": ("10.0.0.0/8", "::1/128"),
        "rate_limit": RateLimit(5, 60),
        "created_at": NOON,
    }
    return ApiKey(**(given | more))  # type: ignore[arg-type]


@pytest.fixture
async def filled(storage: Storage) -> Storage:
    await storage.write(lambda tx: tx.accounts.add_account(BOB))
    await add_apis(storage, API)
    return storage


class TestAccounts:
    async def test_one_comes_back_as_it_was(self, filled: Storage) -> None:
        for login in ("bob", "Bob@Example.org", "BOB@EXAMPLE.ORG"):
            assert await filled.read(lambda tx, login=login: tx.accounts.account_by_login(login)) == BOB
        assert await filled.read(lambda tx: tx.accounts.account(BOB.id)) == BOB
        assert await filled.read(lambda tx: tx.accounts.by_handle("bob")) == BOB.user

    @pytest.mark.parametrize("login", ["Bob", "nobody", "", "\0\ud800", "b%b", "@", "bob@example.or_"])
    async def test_nothing_else_finds_it(self, filled: Storage, login: str) -> None:
        assert await filled.read(lambda tx: tx.accounts.account_by_login(login)) is None

    async def test_a_user_without_a_password_is_an_account_too(self, filled: Storage) -> None:
        alice = await filled.read(lambda tx: tx.accounts.account(ALICE.id))
        assert alice is not None
        assert (alice.user, alice.password_hash, alice.email, alice.token_version) == (ALICE, None, None, 0)

    async def test_handle_and_address_are_unique(self, filled: Storage) -> None:
        other = replace(BOB, id=UserId(an_id(51)), email="other@example.org")
        with pytest.raises(HandleTaken):
            await filled.write(lambda tx: tx.accounts.add_account(other))
        with pytest.raises(EmailTaken):
            await filled.write(lambda tx: tx.accounts.add_account(replace(other, handle="bo", email="bob@example.ORG")))
        await filled.write(lambda tx: tx.accounts.add_account(replace(other, handle="bo", email=None)))

    async def test_a_user_is_claimed_once(self, filled: Storage) -> None:
        mine = replace(BOB, id=ALICE.id, handle="alice", email="alice@example.org", password_hash="$2b$y")
        with pytest.raises(EmailTaken):
            await filled.write(lambda tx: tx.accounts.claim(replace(mine, email="bob@example.org")))
        assert await filled.write(lambda tx: tx.accounts.claim(mine))
        assert not await filled.write(lambda tx: tx.accounts.claim(replace(mine, password_hash="$2b$z")))
        assert not await filled.write(lambda tx: tx.accounts.claim(replace(mine, id=UserId("nobody"), email=None)))
        alice = await filled.read(lambda tx: tx.accounts.account(ALICE.id))
        assert alice is not None
        assert (alice.password_hash, alice.email, alice.role) == ("$2b$y", "alice@example.org", Role.DEVELOPER)

    async def test_sessions_end_by_a_count(self, filled: Storage) -> None:
        await filled.write(lambda tx: tx.accounts.end_sessions(BOB.id))
        assert await filled.read(lambda tx: tx.accounts.account(BOB.id)) == replace(BOB, token_version=4)


class TestOwnership:
    async def test_lists_and_search_are_one_users_where_asked(self, filled: Storage) -> None:
        bobs = an_api(2, "bobs", user=BOB.user)
        await add_apis(filled, bobs)
        assert await filled.read(lambda tx: tx.registry.all(BOB.id)) == [bobs]
        assert await filled.read(lambda tx: tx.registry.all(ALICE.id)) == [API]
        assert len(await filled.read(lambda tx: tx.registry.all())) == 2
        assert await filled.read(lambda tx: tx.registry.search("bobs", user_id=ALICE.id)) == []
        assert await filled.read(lambda tx: tx.registry.search("bobs", user_id=BOB.id)) == [bobs]


class TestKeys:
    async def test_one_comes_back_as_it_was(self, filled: Storage) -> None:
        full = a_key(
            2, scopes=tuple(Scope), cidrs=(), rate_limit=None, expires_at=NOON, revoked_at=NOON, last_used_at=NOON
        )
        for key in (a_key(1), full):
            await filled.write(lambda tx, key=key: tx.keys.add(key))
            assert await filled.read(lambda tx, key=key: tx.keys.get(key.id)) == key
        assert set(await filled.read(lambda tx: tx.keys.all())) == {a_key(1), full}

    async def test_only_its_owner_finds_it(self, filled: Storage) -> None:
        await filled.write(lambda tx: tx.keys.add(a_key(1)))
        key_id = a_key(1).id
        assert await filled.read(lambda tx: tx.keys.get(key_id, ALICE.id)) == a_key(1)
        assert await filled.read(lambda tx: tx.keys.get(key_id, BOB.id)) is None

    async def test_those_of_an_api_are_listed_newest_first(self, filled: Storage) -> None:
        await add_apis(filled, an_api(2))
        old, new = a_key(1), a_key(2, created_at=NOON + timedelta(seconds=1))
        for key in (old, new, a_key(3, api_id=an_api(2).id)):
            await filled.write(lambda tx, key=key: tx.keys.add(key))
        assert await filled.read(lambda tx: tx.keys.of_api(API.id)) == [new, old]

    async def test_those_of_a_user_are_listed_newest_first_to_whichever_api(self, filled: Storage) -> None:
        await add_apis(filled, an_api(2))
        old, new = a_key(1), a_key(2, api_id=an_api(2).id, created_at=NOON + timedelta(seconds=1))
        for key in (old, new, a_key(3, user_id=BOB.id)):
            await filled.write(lambda tx, key=key: tx.keys.add(key))
        assert await filled.read(lambda tx: tx.keys.of_user(ALICE.id)) == [new, old]

    async def test_those_that_count_together(self, filled: Storage) -> None:
        await add_apis(filled, an_api(2))
        counted = [a_key(n, quota_subject="one", created_at=NOON + timedelta(n)) for n in (1, 2)]
        others = [a_key(3), a_key(4, quota_subject="two"), a_key(5, api_id=an_api(2).id, quota_subject="one")]
        for key in counted + others:
            await filled.write(lambda tx, key=key: tx.keys.add(key))
        assert await filled.read(lambda tx: tx.keys.of_subject(API.id, "one")) == counted[::-1]

    async def test_what_becomes_of_one(self, filled: Storage) -> None:
        later = NOON + timedelta(hours=1)
        await filled.write(lambda tx: tx.keys.add(a_key(1)))
        await filled.write(lambda tx: tx.keys.replace(a_key(1).id, a_key(2), later))
        for at in (later, NOON):
            await filled.write(lambda tx, at=at: tx.keys.revoke(a_key(1).id, at))
            await filled.write(lambda tx, at=at: tx.keys.used({a_key(1).id: at, KeyId("gone"): at}))
        assert await filled.read(lambda tx: tx.keys.get(a_key(1).id)) == a_key(
            1, replaced_by=a_key(2).id, grace_until=later, revoked_at=later, last_used_at=later
        )
        assert await filled.read(lambda tx: tx.keys.get(a_key(2).id)) == a_key(2)

    async def test_they_go_with_their_api(self, filled: Storage) -> None:
        await filled.write(lambda tx: tx.keys.add(a_key(1)))
        await filled.write(lambda tx: tx.registry.remove(API.id))
        assert await filled.read(lambda tx: tx.keys.all()) == []


class TestAudit:
    async def test_the_newest_comes_first_and_outlives_what_it_is_about(self, filled: Storage) -> None:
        entries = [
            AuditEntry(an_id(number), NOON + timedelta(seconds=number), ALICE.id, "key.create", "k", "::1", "ü\0")
            for number in range(3)
        ]
        for entry in entries:
            await filled.write(lambda tx, entry=entry: tx.audit.add(entry))
        kept = [replace(entry, detail="ü\ufffd") for entry in reversed(entries)]
        assert await filled.read(lambda tx: tx.audit.latest()) == kept
        assert await filled.read(lambda tx: tx.audit.latest(1)) == kept[:1]
