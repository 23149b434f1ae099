"""API keys: how they are written, and what can be done with them."""

import asyncio
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_server.accounts.keys import KeyWish, NewKey
from local_server.domain.account_errors import KeyFieldRefused, KeyNotFound, KeyNotInForce
from local_server.domain.events import ApiRemoved, KeysChanged
from local_server.domain.ids import KeyId
from local_server.domain.keys import (
    Grant,
    KeyState,
    Scope,
    check_cidrs,
    check_expiry,
    check_name,
    check_rate,
    check_scopes,
    digest_of,
    grant_of,
    is_well_formed,
    network_of,
    rate_text,
    write_key,
)
from local_server.domain.manifest import RateLimit
from local_server.domain.market_errors import IdempotencyKeyReused
from local_server.domain.registry_errors import ApiNotFound
from local_server.events.bus import Bus
from tests.accounts.conftest import API, HERE, NOON, OWNER, STRANGER, Desk

HOUR = timedelta(hours=1)


async def make(desk: Desk, **wish: object) -> NewKey:
    return await desk.keys.create(API, KeyWish(**wish), OWNER, address=HERE)  # type: ignore[arg-type]


async def a_change(desk: Desk, published: int) -> None:
    """Return when keys were published more often than so often."""
    async with asyncio.timeout(10):
        while len(desk.published) <= published:
            await asyncio.sleep(0.005)


class TestOnce:
    async def test_sent_again_one_key_is_in_force_and_it_is_the_one_that_was_seen_last(self, desk: Desk) -> None:
        wish = KeyWish(name="mobile app")
        first = await desk.keys.create(API, wish, OWNER, address=HERE, idempotency_key="try-1")
        second = await desk.keys.create(API, wish, OWNER, address=HERE, idempotency_key="try-1")
        third = await desk.keys.create(API, wish, OWNER, address=HERE, idempotency_key="try-1")
        states = {key.id: key.state(NOON) for key in await desk.keys.of_api(API)}
        assert states == {
            first.key.id: KeyState.REVOKED,
            second.key.id: KeyState.REVOKED,
            third.key.id: KeyState.ACTIVE,
        }

    async def test_rotated_again_the_old_key_has_one_successor_and_no_longer_a_grace(self, desk: Desk) -> None:
        old = await make(desk)
        first = await desk.keys.rotate(old.key.id, HOUR, OWNER, address=HERE, idempotency_key="try-1")
        desk.clock.forward(1800)
        second = await desk.keys.rotate(old.key.id, HOUR, OWNER, address=HERE, idempotency_key="try-1")
        kept = {key.id: key for key in await desk.keys.of_api(API)}
        assert {key_id: key.state(desk.clock.now()) for key_id, key in kept.items()} == {
            old.key.id: KeyState.GRACE,
            first.key.id: KeyState.REVOKED,
            second.key.id: KeyState.ACTIVE,
        }
        assert (kept[old.key.id].replaced_by, kept[old.key.id].grace_until) == (second.key.id, NOON + HOUR)

    async def test_rotated_again_after_the_successor_was_used_up_is_refused(self, desk: Desk) -> None:
        old = await make(desk)
        first = await desk.keys.rotate(old.key.id, HOUR, OWNER, address=HERE, idempotency_key="try-1")
        await desk.keys.rotate(first.key.id, HOUR, OWNER, address=HERE)
        with pytest.raises(KeyNotInForce, match="replaced already"):
            await desk.keys.rotate(old.key.id, HOUR, OWNER, address=HERE, idempotency_key="try-1")

    async def test_another_grace_under_the_same_key_is_another_request(self, desk: Desk) -> None:
        old = await make(desk)
        await desk.keys.rotate(old.key.id, HOUR, OWNER, address=HERE, idempotency_key="try-1")
        with pytest.raises(IdempotencyKeyReused):
            await desk.keys.rotate(old.key.id, 2 * HOUR, OWNER, address=HERE, idempotency_key="try-1")

    async def test_another_request_under_the_same_key_is_refused(self, desk: Desk) -> None:
        await desk.keys.create(API, KeyWish(name="a"), OWNER, address=HERE, idempotency_key="try-1")
        with pytest.raises(IdempotencyKeyReused):
            await desk.keys.create(API, KeyWish(name="b"), OWNER, address=HERE, idempotency_key="try-1")
        assert [key.name for key in await desk.keys.of_api(API)] == ["a"]


class TestForm:
    @settings(deadline=None)
    @given(st.binary(min_size=32, max_size=32))
    def test_every_key_is_well_formed_and_has_one_form(self, random: bytes) -> None:
        key = write_key(random)
        assert re.fullmatch(r"am_live_[0-9A-Za-z]{49}", key)
        assert is_well_formed(key)

    def test_the_extremes_have_the_same_length(self) -> None:
        assert len(write_key(bytes(32))) == len(write_key(b"\xff" * 32)) == 57

    @settings(deadline=None)
    @given(st.binary(min_size=32, max_size=32), st.integers(0, 56), st.sampled_from("0Aaz_-é"))
    def test_a_wrong_character_is_told(self, random: bytes, at: int, char: str) -> None:
        key = write_key(random)
        if key[at] != char:
            assert not is_well_formed(key[:at] + char + key[at + 1 :])
        assert not is_well_formed(key[:at])

    @settings(deadline=None)
    @given(st.text(max_size=80))
    def test_no_text_is_an_accident(self, text: str) -> None:
        assert not is_well_formed(text)
        assert not is_well_formed("am_live_" + text)


class TestFields:
    def test_scopes(self) -> None:
        assert check_scopes(["write", "read", "read"]) == (Scope.READ, Scope.WRITE)
        for wrong in ([], ["admin"], ["read", "READ"]):
            with pytest.raises(KeyFieldRefused, match="scopes"):
                check_scopes(wrong)

    def test_networks(self) -> None:
        assert check_cidrs(["10.0.0.0/8", "::1", "10.0.0.0/8"]) == ("10.0.0.0/8", "::1/128")
        for wrong in ("10.0.0.1/8", "10.0.0.0/33", "localhost", "", "1" * 5000):
            with pytest.raises(KeyFieldRefused, match="cidrs"):
                check_cidrs([wrong])
        with pytest.raises(KeyFieldRefused, match="up to 64"):
            check_cidrs(["10.0.0.1"] * 65)

    def test_rates(self) -> None:
        for text in ("60/min", "5/s", "1000/h", "7/day"):
            assert rate_text(check_rate(text)) == text
        for wrong in ("0/min", "-1/s", "1.5/s", "often", "60/min; drop", ""):
            with pytest.raises(KeyFieldRefused, match="rate_limit"):
                check_rate(wrong)

    def test_names_and_times(self) -> None:
        assert check_name("phone ☎") == "phone ☎"
        for wrong in ("x" * 101, "a\nb", "\x1b[2J"):
            with pytest.raises(KeyFieldRefused, match="name"):
                check_name(wrong)
        for at in (NOON, NOON - HOUR, datetime(2099, 1, 1)):
            with pytest.raises(KeyFieldRefused, match="expires_at"):
                check_expiry(at, NOON)
        assert check_expiry(NOON + HOUR, NOON) == NOON + HOUR


class TestLife:
    async def test_a_key_is_published_before_its_maker_is_told(self, desk: Desk) -> None:
        made = await make(desk, name="phone")
        assert [key.digest for key in desk.published[-1]] == [digest_of(made.text.encode())]
        assert (made.key.name, made.key.state(NOON), made.key.prefix) == ("phone", KeyState.ACTIVE, made.text[:14])

    async def test_everything_about_it_comes_back(self, desk: Desk) -> None:
        made = await make(
            desk,
            name="ü",
            scopes=(Scope.READ,),
            cidrs=("10.0.0.0/8", "::1/128"),
            expires_at=NOON + HOUR,
            rate_limit=RateLimit(7, 60),
        )
        assert await desk.keys.of_api(API) == [made.key]

    async def test_it_is_nowhere_but_in_the_answer(self, desk: Desk, tmp_path: Path) -> None:
        made = await make(desk)
        other = await desk.keys.rotate(made.key.id, HOUR, OWNER, address=HERE)
        await desk.storage.close()
        for text in (made.text, other.text):
            for path in tmp_path.rglob("*"):
                assert not path.is_file() or text[14:].encode() not in path.read_bytes()
            assert text not in repr((made, other))
        assert digest_of(made.text.encode()).hex() not in repr(made)

    async def test_revoking_is_for_good(self, desk: Desk) -> None:
        made = await make(desk)
        await desk.keys.revoke(made.key.id, OWNER, address=HERE)
        (key,) = desk.published[-1]
        assert key.revoked_at == NOON
        assert grant_of(key).revoked
        desk.clock.forward(5)
        await desk.keys.revoke(made.key.id, OWNER, address=HERE)
        assert desk.published[-1] == [key]
        with pytest.raises(KeyNotInForce, match="revoked"):
            await desk.keys.rotate(made.key.id, HOUR, OWNER, address=HERE)

    async def test_rotating_gives_the_old_one_grace(self, desk: Desk) -> None:
        made = await make(desk, name="phone", cidrs=("10.0.0.0/8",), rate_limit=RateLimit(7, 60))
        new = await desk.keys.rotate(made.key.id, HOUR, OWNER, address=HERE)
        old = next(key for key in desk.published[-1] if key.id == made.key.id)
        assert (old.replaced_by, old.grace_until) == (new.key.id, NOON + HOUR)
        assert [old.state(NOON + after) for after in (HOUR - timedelta(seconds=1), HOUR)] == [
            KeyState.GRACE,
            KeyState.EXPIRED,
        ]
        assert (new.key.name, new.key.cidrs, new.key.rate_limit) == ("phone", ("10.0.0.0/8",), RateLimit(7, 60))
        assert new.text != made.text
        with pytest.raises(KeyNotInForce, match="replaced already"):
            await desk.keys.rotate(made.key.id, HOUR, OWNER, address=HERE)

    async def test_grace_never_outlives_the_expiry(self, desk: Desk) -> None:
        made = await make(desk, expires_at=NOON + HOUR)
        await desk.keys.rotate(made.key.id, 5 * HOUR, OWNER, address=HERE)
        old = next(key for key in desk.published[-1] if key.id == made.key.id)
        assert old.ends_at == NOON + HOUR

    async def test_a_stranger_finds_no_key(self, desk: Desk) -> None:
        made = await make(desk)
        for act in (
            desk.keys.revoke(made.key.id, STRANGER, address=HERE),
            desk.keys.rotate(made.key.id, HOUR, STRANGER, address=HERE),
            desk.keys.revoke("nothing\0\ud800", OWNER, address=HERE),
        ):
            with pytest.raises(KeyNotFound):
                await act
        assert (await desk.keys.of_api(API))[0].state(NOON) is KeyState.ACTIVE

    async def test_every_change_stands_in_the_audit_log_and_no_refusal(self, desk: Desk) -> None:
        made = await make(desk)
        new = await desk.keys.rotate(made.key.id, HOUR, OWNER, address=HERE)
        await desk.keys.revoke(new.key.id, OWNER, address=HERE)
        await desk.keys.revoke(new.key.id, OWNER, address=HERE)
        with pytest.raises(KeyNotFound):
            await desk.keys.revoke(new.key.id, STRANGER, address=HERE)
        entries = await desk.storage.read(lambda tx: tx.audit.latest())
        assert sorted((entry.action, entry.subject) for entry in entries) == [
            ("key.create", made.key.id),
            ("key.revoke", new.key.id),
            ("key.rotate", made.key.id),
        ]
        assert {(entry.actor, entry.address) for entry in entries} == {(OWNER.user.id, HERE)}

    async def test_an_api_that_is_gone_gets_none_and_takes_its_own_along(self, desk: Desk) -> None:
        await make(desk)
        await desk.storage.write(lambda tx: tx.registry.remove(API.id))
        assert await desk.storage.read(lambda tx: tx.keys.all()) == []
        with pytest.raises(ApiNotFound):
            await make(desk)

    async def test_of_many_only_what_changed_is_read_and_made_anew(self, desk: Desk) -> None:
        first, second = await make(desk), await make(desk)
        before = {key.id: key for key in desk.published[-1]}
        await desk.keys.revoke(second.key.id, OWNER, address=HERE)
        after = {key.id: key for key in desk.published[-1]}
        assert after.keys() == before.keys() == {first.key.id, second.key.id}
        assert after[first.key.id] is before[first.key.id]
        assert after[second.key.id].revoked_at == NOON

    async def test_what_others_changed_is_published_by_its_ids_or_whole(self, desk: Desk) -> None:
        mine, theirs, gone = [await make(desk) for _ in range(3)]
        bus = Bus()
        async with bus.subscribe() as events:
            following = asyncio.create_task(desk.keys.follow(events))
            for other, ids in ((theirs, (theirs.key.id,)), (mine, ())):
                await desk.storage.write(lambda tx, key_id=other.key.id: tx.keys.revoke(key_id, NOON))
                published = len(desk.published)
                bus.publish(KeysChanged("another", ids))
                await a_change(desk, published)
                revoked = {key.id for key in desk.published[-1] if key.revoked_at}
                assert revoked == ({theirs.key.id} if ids else {theirs.key.id, mine.key.id})
            await desk.storage.write(lambda tx: tx.registry.remove(API.id))
            published = len(desk.published)
            bus.publish(ApiRemoved(API.id, API.slug))
            await a_change(desk, published)
            assert desk.published[-1] == []
            following.cancel()
        assert gone.key.revoked_at is None

    async def test_what_is_published_last_is_what_is_stored(self, desk: Desk) -> None:
        made = [await make(desk) for _ in range(8)]
        await asyncio.gather(*(desk.keys.revoke(one.key.id, OWNER, address=HERE) for one in made))
        assert all(key.revoked_at for key in desk.published[-1])

    async def test_who_hangs_up_has_revoked_all_the_same(self, desk: Desk) -> None:
        made = await make(desk)
        act = asyncio.ensure_future(desk.keys.revoke(made.key.id, OWNER, address=HERE))
        await asyncio.sleep(0)
        act.cancel()
        await desk.keys.close()
        assert [key.revoked_at for key in desk.published[-1]] == [NOON]


class TestLastUsed:
    async def test_it_is_known_at_once_and_stored_in_a_batch(self, desk: Desk) -> None:
        made = await make(desk)
        for second in range(3):
            desk.keys.used(made.key.id, NOON + timedelta(seconds=second))
        assert (await desk.keys.of_api(API))[0].last_used_at == NOON + timedelta(seconds=2)
        (stored,) = await desk.storage.read(lambda tx: tx.keys.all())
        assert stored.last_used_at is None
        await desk.keys.flush()
        (stored,) = await desk.storage.read(lambda tx: tx.keys.all())
        assert stored.last_used_at == NOON + timedelta(seconds=2)

    async def test_it_never_goes_back(self, desk: Desk) -> None:
        made = await make(desk)
        for at in (NOON, NOON - HOUR):
            desk.keys.used(made.key.id, at)
            await desk.keys.flush()
        assert (await desk.keys.of_api(API))[0].last_used_at == NOON


class TestGrant:
    def grant(self, *cidrs: str) -> Grant:
        return Grant(KeyId("k"), API.id, frozenset(Scope), tuple(map(network_of, cidrs)), None, False, None, None, "")

    @pytest.mark.parametrize(
        ("address", "admitted"),
        [
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("11.1.2.3", False),
            ("2001:db8::7", True),
            ("2001:db9::7", False),
            ("fe80::1%eth0", False),
            ("", False),
            ("unknown", False),
        ],
    )
    def test_networks_admit_what_is_in_them(self, address: str, admitted: bool) -> None:
        assert self.grant("10.0.0.0/8", "2001:db8::/32").admits_from(address) is admitted

    def test_none_admit_everybody(self) -> None:
        assert self.grant().admits_from("")
