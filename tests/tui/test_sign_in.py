"""Signing in: sessions as the command line keeps them, and nothing local waits for one."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from textual.widgets import Input

from apimarket_tui.accounts import address_of
from apimarket_tui.screens.sign_in import SignInScreen
from local_server.client import sessions
from local_server.client.errors import ApimarketClientError
from local_server.wire.events import WireEvent

from .fake_backend import NOW, FakeBackend, an_api
from .screen_text import screen_text
from .screens import press, running, said, until

MARKET = "https://market.example"


async def fill(pilot: object, **typed: str) -> None:
    for field, text in typed.items():
        pilot.app.screen.query_one(f"#{field}", Input).value = text  # type: ignore[attr-defined]


class TestSigningIn:
    async def test_the_session_is_kept_for_the_command_line_too(self, tmp_path: Path) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40), home=tmp_path) as pilot:
            await press(pilot, "A")
            await fill(pilot, server="market.example", handle="bea", password="correct horse")
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: "bea@market.example" in screen_text(pilot.app))
            assert ("login", f"bea at {MARKET}") in backend.did
            assert ("close", MARKET) in backend.did
        kept = sessions.find(tmp_path, MARKET)
        assert kept == {"token": "t0k3n", "handle": "bea", "expires_at": (NOW + timedelta(hours=24)).isoformat()}

    async def test_a_session_begun_elsewhere_shows_until_it_is_over(self, tmp_path: Path) -> None:
        over = (NOW - timedelta(seconds=1)).isoformat()
        sessions.keep(tmp_path, "https://old.example", {"token": "a", "handle": "old", "expires_at": over})
        async with running(size=(120, 40), home=tmp_path) as pilot:
            assert "old@" not in screen_text(pilot.app)
        until_then = (NOW + timedelta(hours=1)).isoformat()
        sessions.keep(tmp_path, MARKET, {"token": "b", "handle": "bea", "expires_at": until_then})
        async with running(size=(120, 40), home=tmp_path) as pilot:
            assert "bea@market.example" in screen_text(pilot.app)

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"https://m.example": {"token": 1}}', b"\xff\x00"])
    async def test_a_broken_file_of_sessions_is_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "sessions.json").write_bytes(content)
        async with running(size=(120, 40), home=tmp_path) as pilot:
            assert "weather" in screen_text(pilot.app)

    async def test_a_wrong_password_stands_by_its_field(self) -> None:
        async with running() as pilot:
            await press(pilot, "A")
            await fill(pilot, handle="ana", password="guess")
            await press(pilot, "ctrl+s")
            assert "Name or password is wrong" in screen_text(pilot.app)
            assert pilot.app.focused is pilot.app.screen.query_one("#password")

    async def test_another_server_that_is_away_says_nothing_of_this_one(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "A")
            await fill(pilot, server=MARKET, handle="ana", password="correct horse")
            backend.down = True
            await press(pilot, "ctrl+s")
            assert isinstance(pilot.app.screen, SignInScreen)
            assert pilot.app.live.lost is None  # type: ignore[attr-defined]
            assert pilot.app.focused is pilot.app.screen.query_one("#server")

    async def test_a_new_account_wants_the_password_twice(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "A", "ctrl+e")
            await fill(pilot, server=MARKET, handle="bea", password="correct horse", again="correct hors")
            await press(pilot, "ctrl+s")
            assert "The two passwords differ." in screen_text(pilot.app)
            await fill(pilot, again="correct horse")
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: ("signup", f"bea at {MARKET}") in backend.did)

    async def test_signing_out_forgets_it_here_even_if_the_server_is_away(self, tmp_path: Path) -> None:
        later = (NOW + timedelta(hours=1)).isoformat()
        sessions.keep(tmp_path, MARKET, {"token": "b", "handle": "bea", "expires_at": later})
        backend = FakeBackend()
        async with running(backend, size=(120, 40), home=tmp_path) as pilot:
            backend.down = True
            await press(pilot, "O", "y")
            await until(pilot, lambda: "did not hear of it" in said(pilot))
            assert sessions.find(tmp_path, MARKET) is None
            await press(pilot, "O")
            assert "No session: A signs in" in said(pilot)


class TestServerThatAsksWhoOneIs:
    async def test_a_session_begun_here_opens_it_and_its_end_closes_it(self, tmp_path: Path) -> None:
        backend = FakeBackend()
        backend.token = ""
        async with running(backend, size=(120, 40), home=tmp_path, by_session=True, loaded=False) as pilot:
            await until(pilot, lambda: "does not know who you are: A signs in" in screen_text(pilot.app))
            await press(pilot, "A")
            assert pilot.app.screen.query_one("#server", Input).value == backend.url
            await fill(pilot, handle="bea", password="correct horse")
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: "weather" in screen_text(pilot.app))
            assert "A signs in" not in screen_text(pilot.app)
            kept = sessions.find(tmp_path, backend.url)
            assert kept is not None
            assert kept["token"] == backend.token == "t0k3n"
            await press(pilot, "O", "y")
            await until(pilot, lambda: "A signs in" in screen_text(pilot.app))

    async def test_an_account_that_is_told_nothing_of_the_machine_sees_its_apis_all_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = FakeBackend()
        monkeypatch.setattr("apimarket_tui.live.POLL_S", 0.01)
        refused = ApimarketClientError("No", hint="", code="machine_owner_only", status=403, title="No")
        backend.refusals |= {"server": refused, "outbox": refused}

        async def no_events(topics: Sequence[str]) -> AsyncIterator[WireEvent]:
            raise refused
            yield

        monkeypatch.setattr(backend, "events", no_events)
        later = (NOW + timedelta(hours=1)).isoformat()
        sessions.keep(tmp_path, backend.url, {"token": "t", "handle": "bea", "expires_at": later})
        async with running(backend, size=(120, 40), home=tmp_path, by_session=True, loaded=False) as pilot:
            await until(pilot, lambda: "weather" in screen_text(pilot.app))
            assert "gateway :8080 ●  bea@127.0.0.1:8080" in screen_text(pilot.app)
            backend.known = {"other": an_api("other")}
            await until(pilot, lambda: "other" in screen_text(pilot.app) and "weather" not in screen_text(pilot.app))
            await press(pilot, "enter")
            await until(pilot, lambda: "Overview" in screen_text(pilot.app))

    async def test_a_session_with_another_server_is_kept_from_it(self, tmp_path: Path) -> None:
        backend = FakeBackend()
        backend.token = "own"
        async with running(backend, size=(120, 40), home=tmp_path, by_session=True) as pilot:
            await press(pilot, "A")
            await fill(pilot, server=MARKET, handle="bea", password="correct horse")
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: "bea@market.example" in screen_text(pilot.app))
            assert backend.token == "own"


class TestAddress:
    @pytest.mark.parametrize(
        ("typed", "url"),
        [
            ("market.example", "https://market.example"),
            (" https://market.example:8443/ ", "https://market.example:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:9000/", "http://localhost:9000"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ],
    )
    def test_is_taken(self, typed: str, url: str) -> None:
        assert address_of(typed) == url

    @pytest.mark.parametrize(
        "typed", ["", "http://market.example", "ftp://x", "https://", "https://[::1", "https://x:99999", "a b"]
    )
    def test_is_refused(self, typed: str) -> None:
        with pytest.raises(ValueError, match="https://"):
            address_of(typed)
