"""Signing up, logging in and out, over a real store."""

import asyncio

import pytest

from local_server.accounts import passwords
from local_server.accounts.attempts import LONGEST_S, Attempts
from local_server.accounts.passwords import Passwords
from local_server.accounts.service import FREE_SIGNUPS, Accounts
from local_server.domain.account_errors import (
    EmailRefused,
    EmailTaken,
    LoginRefused,
    PasswordRefused,
    PasswordWrong,
    SessionInvalid,
    SignupsClosed,
    TokenRequired,
    TooManyAttempts,
)
from local_server.domain.accounts import FREE_TRIES, Caller, Role, check_password, pause_s
from local_server.domain.registry_errors import HandleTaken, InvalidName
from tests.accounts.conftest import ALICE, HERE, Clock, Desk

PASSWORD = "correct horse"


async def sign_up(desk: Desk, handle: str = "carol", **more: object) -> str:
    given = {"email": f"{handle}@example.org", "password": PASSWORD, "role": Role.DEVELOPER, "address": HERE} | more
    return (await desk.accounts.signup(handle, **given)).token  # type: ignore[arg-type]


class TestSignUp:
    async def test_it_logs_in(self, desk: Desk) -> None:
        caller = await desk.accounts.authenticate(await sign_up(desk))
        assert (caller.user.handle, caller.is_machine) == ("carol", False)

    async def test_only_a_hash_is_kept(self, desk: Desk) -> None:
        await sign_up(desk)
        account = await desk.storage.read(lambda tx: tx.accounts.account_by_login("carol"))
        assert account is not None
        assert account.password_hash is not None
        assert account.password_hash.startswith("$2b$")
        assert PASSWORD not in repr(account)
        assert account.password_hash not in repr(account)

    async def test_handles_and_addresses_are_unique(self, desk: Desk) -> None:
        await sign_up(desk)
        with pytest.raises(HandleTaken):
            await sign_up(desk, email="other@example.org")
        with pytest.raises(EmailTaken):
            await sign_up(desk, "dave", email="CAROL@Example.ORG")

    @pytest.mark.parametrize("handle", ["Carol", "a", "api", "carol@x", "../x", "x" * 64])
    async def test_a_handle_is_a_url_segment(self, desk: Desk, handle: str) -> None:
        with pytest.raises(InvalidName):
            await sign_up(desk, handle)

    @pytest.mark.parametrize(
        "email",
        ["", "carol", "@x.y", "a b@x.y", "a@x..y", "a@b\n.c", "a" * 250 + "@x.y",
         "<a@x.y>", 'a"@x.y', "a@x\\u.y", "a@x.y\u202e", "a\u200b@x.y", "a,b@x.y", "\ud800@x.y"],
    )  # fmt: skip
    async def test_an_address_looks_like_one(self, desk: Desk, email: str) -> None:
        with pytest.raises(EmailRefused):
            await sign_up(desk, email=email)

    async def test_a_set_back_clock_makes_nobody_the_machines_owner(self, desk: Desk) -> None:
        desk.clock.forward(-86400 * 365)
        await sign_up(desk)
        assert (await desk.storage.read(lambda tx: tx.accounts.all()))[0] == ALICE

    async def test_the_machines_owner_gives_itself_a_password_once_and_nobody_else_does(self, desk: Desk) -> None:
        with pytest.raises(HandleTaken):
            await sign_up(desk, "alice")
        caller = await desk.accounts.authenticate(await sign_up(desk, "alice", by_machine=True))
        assert (caller.user, caller.is_machine) == (ALICE, False)
        with pytest.raises(HandleTaken):
            await sign_up(desk, "alice", by_machine=True, password="another one")

    async def test_where_they_are_closed_the_local_token_alone_makes_accounts(self, desk: Desk) -> None:
        closed = Accounts(desk.storage, desk.clock, desk.sessions, ALICE, Passwords(rounds=4), open_signups=False)
        desk.accounts.close()
        desk.accounts = closed
        with pytest.raises(SignupsClosed):
            await sign_up(desk)
        await sign_up(desk, by_machine=True)

    async def test_it_stands_in_the_audit_log(self, desk: Desk) -> None:
        token = await sign_up(desk)
        caller = await desk.accounts.authenticate(token)
        await desk.accounts.login("carol", PASSWORD, address=HERE)
        await desk.accounts.logout(caller, address=HERE)
        entries = await desk.storage.read(lambda tx: tx.audit.latest())
        assert {(entry.action, entry.actor, entry.address) for entry in entries} == {
            (f"account.{act}", caller.user.id, HERE) for act in ("signup", "login", "logout")
        }

    async def test_what_is_refused_does_not(self, desk: Desk) -> None:
        await sign_up(desk)
        with pytest.raises(HandleTaken):
            await sign_up(desk)
        assert len(await desk.storage.read(lambda tx: tx.audit.latest())) == 1

    async def test_one_address_is_one_account_however_it_is_written(self, desk: Desk) -> None:
        await sign_up(desk, email="Änne@exämple.org")
        account = await desk.storage.read(lambda tx: tx.accounts.account_by_login("carol"))
        assert account is not None
        assert account.email == "änne@exämple.org"
        for number, twin in enumerate(("ÄNNE@EXÄMPLE.ORG", "a\u0308nne@exa\u0308mple.org", "ä\uff4ene@exämple.org")):
            assert (await desk.accounts.login(twin, PASSWORD, address=HERE)).account.handle == "carol"
            with pytest.raises(EmailTaken):
                await sign_up(desk, f"twin{number}", email=twin)


class TestChangingThePassword:
    NEW = "battery staple"

    async def test_every_session_ends_and_one_begins(self, desk: Desk) -> None:
        first = await sign_up(desk)
        second = (await desk.accounts.login("carol", PASSWORD, address=HERE)).token
        caller = await desk.accounts.authenticate(first)
        done = await desk.accounts.change_password(caller, PASSWORD, self.NEW, address=HERE)
        assert (await desk.accounts.authenticate(done.token)).user.handle == "carol"
        for over in (first, second):
            with pytest.raises(SessionInvalid):
                await desk.accounts.authenticate(over)
        with pytest.raises(LoginRefused):
            await desk.accounts.login("carol", PASSWORD, address=HERE)
        assert (await desk.accounts.login("carol", self.NEW, address=HERE)).account.handle == "carol"
        actions = [entry.action for entry in await desk.storage.read(lambda tx: tx.audit.latest())]
        assert actions.count("account.password") == 1

    @pytest.mark.parametrize("current", [None, "", "wrong guess", "x" * 73])
    async def test_who_does_not_know_the_current_one_changes_nothing(self, desk: Desk, current: str | None) -> None:
        token = await sign_up(desk)
        caller = await desk.accounts.authenticate(token)
        with pytest.raises(PasswordWrong):
            await desk.accounts.change_password(caller, current, self.NEW, address=HERE)
        assert (await desk.accounts.authenticate(token)).user.handle == "carol"
        assert (await desk.accounts.login("carol", PASSWORD, address=HERE)).account.handle == "carol"

    async def test_guessing_is_slowed_down_as_at_the_login(self, desk: Desk) -> None:
        caller = await desk.accounts.authenticate(await sign_up(desk))
        for _ in range(FREE_TRIES):
            with pytest.raises(PasswordWrong):
                await desk.accounts.change_password(caller, "wrong guess", self.NEW, address=HERE)
        with pytest.raises(TooManyAttempts):
            await desk.accounts.change_password(caller, PASSWORD, self.NEW, address=HERE)

    @pytest.mark.parametrize("new", ["short", "x" * 73])
    async def test_a_new_one_is_as_good_as_a_first_one(self, desk: Desk, new: str) -> None:
        caller = await desk.accounts.authenticate(await sign_up(desk))
        with pytest.raises(PasswordRefused):
            await desk.accounts.change_password(caller, PASSWORD, new, address=HERE)

    async def test_the_machines_owner_needs_no_current_one(self, desk: Desk) -> None:
        machine = Caller(ALICE, is_machine=True)
        for password in (PASSWORD, self.NEW):
            await desk.accounts.change_password(machine, None, password, address=HERE)
            assert (await desk.accounts.login(ALICE.handle, password, address=HERE)).account.id == ALICE.id


class TestPasswords:
    def test_72_bytes_are_the_most(self) -> None:
        assert check_password("x" * 72) == b"x" * 72
        with pytest.raises(PasswordRefused, match="73 bytes"):
            check_password("x" * 73)
        with pytest.raises(PasswordRefused, match="74 bytes"):
            check_password("ü" * 37)

    @pytest.mark.parametrize("password", ["", "seven77", "nul\0nul\0nul", "half \ud800 pair"])
    def test_others_are_refused_and_never_quoted(self, password: str) -> None:
        with pytest.raises(PasswordRefused) as caught:
            check_password(password)
        assert not password or password not in caught.value.detail + caught.value.hint

    async def test_twins_of_73_bytes_are_told_apart(self, desk: Desk) -> None:
        await sign_up(desk, password="x" * 72)
        assert (await desk.accounts.login("carol", "x" * 72, address=HERE)).account.handle == "carol"
        for twin in ("x" * 72 + "a", "x" * 72 + "b", "x" * 71):
            with pytest.raises(LoginRefused):
                await desk.accounts.login("carol", twin, address=HERE)

    async def test_nobody_and_nothing_cost_as_much_as_somebody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[bytes] = []
        real = passwords.bcrypt.checkpw

        def checkpw(given: bytes, against: bytes) -> bool:
            compared.append(against[:7])
            return real(given, against)

        monkeypatch.setattr(passwords.bcrypt, "checkpw", checkpw)
        hashes = Passwords(rounds=4)
        kept = await hashes.hashed(b"correct horse")
        assert await hashes.matches("correct horse", kept)
        for given, against in (("x", kept), ("x", None), ("x" * 73, kept), ("\0" * 9, kept), ("\ud800", None)):
            assert not await hashes.matches(given, against)
        assert compared == [b"$2b$04$"] * 6
        hashes.close()

    async def test_a_crowd_is_turned_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(passwords, "MOST_WAITING", 3)
        hashes = Passwords(rounds=4)
        done = await asyncio.gather(*(hashes.matches("x", None) for _ in range(8)), return_exceptions=True)
        assert [type(result) for result in done].count(TooManyAttempts) == 5
        assert await hashes.matches("x", None) is False
        hashes.close()


class TestLogIn:
    async def test_by_handle_and_by_address(self, desk: Desk) -> None:
        await sign_up(desk)
        for login in ("carol", "carol@example.org", "Carol@Example.org"):
            assert (await desk.accounts.login(login, PASSWORD, address=HERE)).account.handle == "carol"

    async def test_every_refusal_is_the_same(self, desk: Desk) -> None:
        await sign_up(desk)
        told = set()
        for login, password in (("carol", "wrong one"), ("nobody", PASSWORD), ("bob", PASSWORD), ("\0\ud800", "x")):
            with pytest.raises(LoginRefused) as caught:
                await desk.accounts.login(login, password, address=HERE)
            told.add((caught.value.detail, caught.value.hint, caught.value.status))
        assert len(told) == 1

    async def test_logging_out_ends_every_session_and_no_other_account(self, desk: Desk) -> None:
        first = await sign_up(desk)
        second = (await desk.accounts.login("carol", PASSWORD, address=HERE)).token
        other = await sign_up(desk, "dave")
        await desk.accounts.logout(await desk.accounts.authenticate(first), address=HERE)
        for token in (first, second):
            with pytest.raises(SessionInvalid, match="logout"):
                await desk.accounts.authenticate(token)
        assert (await desk.accounts.authenticate(other)).user.handle == "dave"
        again = (await desk.accounts.login("carol", PASSWORD, address=HERE)).token
        assert (await desk.accounts.authenticate(again)).user.handle == "carol"

    async def test_what_is_no_session_token_is_no_token(self, desk: Desk) -> None:
        for token in ("", "x" * 43, "a.b", "a.b.c.d"):
            with pytest.raises(TokenRequired):
                await desk.accounts.authenticate(token)


class TestGuessing:
    async def test_10000_guesses_are_slowed_down_and_then_the_owner_logs_in(self, desk: Desk) -> None:
        await sign_up(desk)
        tried, pauses = 0, set()
        for number in range(10_000):
            try:
                await desk.accounts.login("carol", f"guess {number}", address="203.0.113.9")
            except LoginRefused:
                tried += 1
            except TooManyAttempts as error:
                pauses.add(error.retry_after_s)
            desk.clock.forward(0.1)
        assert tried < FREE_TRIES + 5 + 1000 / LONGEST_S
        assert pauses == set(range(1, int(LONGEST_S) + 1))
        desk.clock.forward(LONGEST_S)
        assert (await desk.accounts.login("carol", PASSWORD, address=HERE)).account.handle == "carol"

    async def test_an_address_that_was_right_before_is_not_held_up_by_others(self, desk: Desk) -> None:
        await sign_up(desk)
        await desk.accounts.login("carol", PASSWORD, address=HERE)
        for number in range(200):
            with pytest.raises((LoginRefused, TooManyAttempts)):
                await desk.accounts.login("carol", "guess", address=f"203.0.113.{number}")
        with pytest.raises(TooManyAttempts):
            await desk.accounts.login("carol", PASSWORD, address="203.0.113.201")
        assert (await desk.accounts.login("carol", PASSWORD, address=HERE)).account.handle == "carol"

    async def test_many_at_once_are_no_way_round(self, desk: Desk) -> None:
        await sign_up(desk)
        tries = (desk.accounts.login("carol", f"guess {n}", address=HERE) for n in range(64))
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(result) for result in done].count(LoginRefused) == FREE_TRIES

    def test_many_accounts_from_one_address_are_slowed_down_too(self) -> None:
        clock = Clock()
        attempts = Attempts(clock=lambda: clock.monotonic_s)
        for number in range(FREE_TRIES):
            attempts.begin(HERE, f"account {number}")
        with pytest.raises(TooManyAttempts):
            attempts.begin(HERE, "yet another")
        attempts.begin("198.51.100.1", "yet another")

    def test_an_own_account_does_not_buy_guesses_at_others(self) -> None:
        clock = Clock()
        attempts = Attempts(clock=lambda: clock.monotonic_s)
        admitted = 0
        for number in range(200):
            try:
                attempts.begin(HERE, f"victim {number}")
                admitted += 1
                attempts.begin(HERE, "own")
                attempts.succeeded(HERE, "own")
            except TooManyAttempts:
                continue
        assert admitted <= FREE_TRIES

    def test_what_is_turned_away_does_not_prolong_the_pause(self) -> None:
        clock = Clock()
        attempts = Attempts(clock=lambda: clock.monotonic_s)
        for _ in range(FREE_TRIES):
            attempts.begin(HERE, "carol")
        for _ in range(1000):
            with pytest.raises(TooManyAttempts):
                attempts.begin(HERE, "carol")
        clock.forward(1)
        attempts.begin(HERE, "carol")

    def test_pauses_double_up_to_a_bound(self) -> None:
        assert [pause_s(n, 15.0) for n in (0, 4, 5, 6, 7, 8, 9, 1_000_000)] == [0, 0, 1, 2, 4, 8, 15, 15]

    async def test_sign_ups_are_slowed_down(self, desk: Desk) -> None:
        for number in range(FREE_SIGNUPS):
            await sign_up(desk, f"user-{number}")
        with pytest.raises(TooManyAttempts):
            await sign_up(desk, "one-too-many")


class TestSessions:
    async def test_a_session_outlives_no_day(self, desk: Desk) -> None:
        token = await sign_up(desk)
        desk.clock.forward(24 * 3600)
        with pytest.raises(SessionInvalid, match="expired"):
            await desk.accounts.authenticate(token)
