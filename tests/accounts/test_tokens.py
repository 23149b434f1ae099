"""Session tokens against what is known to break such things (RFC 8725; the vectors of Project Wycheproof's kind)."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_server.accounts.tokens import Sessions
from local_server.domain.account_errors import SessionInvalid
from local_server.domain.accounts import SESSION, Account, AccountStatus, Role
from tests.accounts.conftest import BOB, KEY, Clock

ACCOUNT = Account(BOB.id, "bob", None, None, Role.DEVELOPER, 3, AccountStatus.ACTIVE, BOB.created_at)
DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(head: Any, claims: Any, key: bytes = KEY, digest: str = "HS256") -> str:
    """Made by hand: the library would refuse to make most of these."""
    body = f"{part(head)}.{part(claims)}"
    mac = hmac.new(key, body.encode(), DIGESTS[digest]).digest()
    return f"{body}.{part(mac)}"


def claims_of(clock: Clock, **changes: Any) -> dict[str, Any]:
    began = int(clock.now().timestamp())
    claims = {
        "iss": "apimarket:here",
        "aud": "apimarket-control",
        "sub": BOB.id,
        "iat": began,
        "exp": began + 3600,
        "jti": "j",
        "ver": 3,
    }
    return {name: value for name, value in (claims | changes).items() if value is not ...}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(KEY, "here", clock)


HEAD = {"alg": "HS256", "typ": "JWT"}


class TestGood:
    def test_what_was_issued_is_read(self, sessions: Sessions, clock: Clock) -> None:
        token, expires_at = sessions.issue(ACCOUNT)
        session = sessions.read(token)
        assert (session.user_id, session.token_version, session.expires_at) == (BOB.id, 3, expires_at)
        assert expires_at == clock.now().replace(microsecond=0) + SESSION

    def test_one_made_by_hand_is_read_too_so_that_the_bad_ones_are_bad_for_their_reason(
        self, sessions: Sessions, clock: Clock
    ) -> None:
        assert sessions.read(signed(HEAD, claims_of(clock))).user_id == BOB.id

    def test_it_holds_until_its_last_second(self, sessions: Sessions, clock: Clock) -> None:
        token, _ = sessions.issue(ACCOUNT)
        clock.forward(SESSION.total_seconds() - 1)
        assert sessions.read(token).user_id == BOB.id
        clock.forward(1)
        with pytest.raises(SessionInvalid, match="expired"):
            sessions.read(token)


class TestAlgorithms:
    @pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
    @pytest.mark.parametrize("signature", ["", "AA", "kept"])
    def test_none_is_refused_in_every_spelling(
        self, sessions: Sessions, clock: Clock, name: str, signature: str
    ) -> None:
        token = signed({"alg": name, "typ": "JWT"}, claims_of(clock))
        token = token if signature == "kept" else token.rpartition(".")[0] + "." + signature
        with pytest.raises(SessionInvalid):
            sessions.read(token)

    @pytest.mark.parametrize("name", ["HS384", "HS512"])
    def test_another_one_with_the_right_key_is_refused(self, sessions: Sessions, clock: Clock, name: str) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed({"alg": name}, claims_of(clock), digest=name))

    @pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA", "PS256", "hs256", "HS256 ", 256, None, ["HS256"]])
    def test_a_name_that_is_not_ours_is_refused(self, sessions: Sessions, clock: Clock, name: Any) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed({"alg": name}, claims_of(clock)))

    @pytest.mark.parametrize("extra", [{"kid": "../../dev/null"}, {"jku": "http://127.0.0.1/k"}, {"jwk": {"k": "AA"}}])
    def test_a_key_that_the_token_names_is_not_taken(
        self, sessions: Sessions, clock: Clock, extra: dict[str, Any]
    ) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD | extra, claims_of(clock), key=b""))

    def test_a_critical_extension_nobody_knows_is_refused(self, sessions: Sessions, clock: Clock) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD | {"crit": ["x"], "x": 1}, claims_of(clock)))


class TestForged:
    @pytest.mark.parametrize("key", [b"", bytes(32), KEY[:-1], KEY + b"\1", KEY[::-1], KEY.hex().encode()])
    def test_another_key_is_refused(self, sessions: Sessions, clock: Clock, key: bytes) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD, claims_of(clock), key=key))

    def test_every_bit_counts(self, sessions: Sessions) -> None:
        token, _ = sessions.issue(ACCOUNT)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for at in range(0, len(token) - 1, 7):
            if token[at] == ".":
                continue
            other = alphabet[(alphabet.index(token[at]) + 1) % 64]
            with pytest.raises(SessionInvalid):
                sessions.read(token[:at] + other + token[at + 1 :])

    def test_claims_of_one_token_under_the_signature_of_another(self, sessions: Sessions, clock: Clock) -> None:
        mine = signed(HEAD, claims_of(clock)).split(".")
        other = signed(HEAD, claims_of(clock, sub="someone")).split(".")
        with pytest.raises(SessionInvalid):
            sessions.read(".".join([mine[0], other[1], mine[2]]))

    @settings(deadline=None)
    @given(st.text(max_size=300))
    def test_no_text_is_an_accident(self, text: str) -> None:
        with pytest.raises(SessionInvalid):
            Sessions(KEY, "here", Clock()).read(text)

    def test_a_huge_one_is_not_even_parsed(self, sessions: Sessions) -> None:
        with pytest.raises(SessionInvalid, match="too long"):
            sessions.read("a." * 100_000)


class TestClaims:
    @pytest.mark.parametrize("name", ["iss", "aud", "sub", "iat", "exp", "jti", "ver"])
    def test_each_is_required(self, sessions: Sessions, clock: Clock, name: str) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD, claims_of(clock, **{name: ...})))

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "apimarket:elsewhere"},
            {"aud": "another"},
            {"sub": 7},
            {"sub": None},
            {"ver": "3"},
            {"ver": True},
            {"ver": 3.0},
            {"exp": "9999999999"},
            {"exp": 1e400},
            {"exp": 9.9e9},
            {"iat": None},
        ],
        ids=str,
    )
    def test_each_has_its_kind(self, sessions: Sessions, clock: Clock, changes: dict[str, Any]) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD, claims_of(clock, **changes)))

    def test_expired_is_expired(self, sessions: Sessions, clock: Clock) -> None:
        began = int(clock.now().timestamp())
        with pytest.raises(SessionInvalid, match="expired"):
            sessions.read(signed(HEAD, claims_of(clock, iat=began - 100, exp=began)))

    def test_one_that_outlives_a_day_is_refused(self, sessions: Sessions, clock: Clock) -> None:
        began = int(clock.now().timestamp())
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD, claims_of(clock, exp=began + 24 * 3600 + 1)))

    def test_one_of_the_future_is_refused(self, sessions: Sessions, clock: Clock) -> None:
        later = int((clock.now() + timedelta(minutes=5)).timestamp())
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD, claims_of(clock, iat=later, exp=later + 60)))

    @pytest.mark.parametrize("claims", [[], "text", 7, None])
    def test_claims_are_an_object(self, sessions: Sessions, claims: Any) -> None:
        with pytest.raises(SessionInvalid):
            sessions.read(signed(HEAD, claims))


class TestKey:
    def test_a_short_one_signs_nothing(self, clock: Clock) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            Sessions(b"short", "here", clock)
