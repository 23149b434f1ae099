"""The Keys tab: who may call, made and shown once, replaced, revoked."""

import gc
from datetime import timedelta

import pytest
from rich import cells
from textual.widgets import Input

from apimarket_tui.lengths import length_of
from apimarket_tui.screens.confirm import ConfirmScreen
from apimarket_tui.screens.detail import DetailScreen
from apimarket_tui.screens.new_key import KeyShownScreen, NewKeyScreen
from local_server.client.errors import ApimarketClientError, ServerUnreachableError

from .fake_backend import NOW, FakeBackend
from .screen_text import screen_text
from .screens import press, running, said, tab, type_text, until


def holders(text: str) -> list[str]:
    """What in this process refers to a string with `text` in it."""
    gc.collect()
    return [
        f"{type(holder).__name__}: {ascii(part)[:120]}"
        for holder in gc.get_objects()
        for part in gc.get_referents(holder)
        if type(part) is str and part is not text and text in part
    ]


class TestMaking:
    async def test_the_key_is_shown_once_copied_and_forgotten(self) -> None:
        backend = FakeBackend()
        backend.key_text = ""
        async with running(backend) as pilot:
            await tab("keys", "n")(pilot)
            assert isinstance(pilot.app.screen, NewKeyScreen)
            await type_text(pilot, "phone")
            # Made here, so that no constant of this file holds it.
            backend.key_text = "".join(reversed("elohw eht si siht".replace(" ", "9")))
            text = backend.key_text
            await press(pilot, "ctrl+s")
            assert isinstance(pilot.app.screen, KeyShownScreen)
            assert f"am_{text}" in screen_text(pilot.app)
            await press(pilot, "y")
            assert pilot.app.clipboard == f"am_{text}"
            assert "copied the key" in said(pilot)
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, DetailScreen)
            await until(pilot, lambda: "phone" in screen_text(pilot.app))
            assert text not in screen_text(pilot.app)
            assert pilot.app.clipboard == ""
            backend.key_text = ""
            # Rich remembers how wide texts were.
            cells.cached_cell_len.cache_clear()
            assert holders(f"am_{text}") == []

    async def test_what_was_typed_is_what_is_asked_for(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("keys", "n")(pilot)
            for field, text in {"name": "acme", "scopes": "read", "ends": "30d", "limit": "9/s"}.items():
                pilot.app.screen.query_one(f"#{field}", Input).value = text
            pilot.app.screen.query_one("#cidrs", Input).value = "10.0.0.0/8, 192.0.2.1/32"
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: backend.wished is not None)
            wished = backend.wished
            assert wished is not None
            assert (wished.name, wished.scopes, wished.rate_limit) == ("acme", ["read"], "9/s")
            assert wished.expires_at == NOW + timedelta(days=30)
            assert wished.cidrs == ["10.0.0.0/8", "192.0.2.1/32"]

    async def test_what_is_wrong_stands_by_its_field(self) -> None:
        backend = FakeBackend()
        backend.refusals["create_key"] = ApimarketClientError(
            "rate_limit: 'fast' is none",
            hint="What keys can be given: docs/keys.md",
            code="invalid_key_field",
            status=422,
            title="The key cannot be made so",
            extra={"field": "rate_limit"},
        )
        async with running(backend) as pilot:
            await tab("keys", "n")(pilot)
            pilot.app.screen.query_one("#ends", Input).value = "soon"
            await press(pilot, "ctrl+s")
            assert "'soon' is no length of time" in screen_text(pilot.app)
            assert pilot.app.focused is pilot.app.screen.query_one("#ends")
            pilot.app.screen.query_one("#ends", Input).value = ""
            await press(pilot, "ctrl+s")
            assert pilot.app.focused is pilot.app.screen.query_one("#limit")
            assert "'fast' is none" in screen_text(pilot.app)


class TestActs:
    async def test_revoking_asks_first(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("keys", "d")(pilot)
            assert isinstance(pilot.app.screen, ConfirmScreen)
            await press(pilot, "escape")
            assert not [one for one in backend.did if one[0] == "revoke_key"]
            await press(pilot, "d", "y")
            await until(pilot, lambda: ("revoke_key", "key_mobile app") in backend.did)
            await until(pilot, lambda: "2 in force of 5" in screen_text(pilot.app))

    async def test_a_replaced_key_shows_its_successor_once(self) -> None:
        async with running() as pilot:
            await tab("keys", "R", "y")(pilot)
            await until(pilot, lambda: isinstance(pilot.app.screen, KeyShownScreen))

    async def test_what_is_not_active_is_not_replaced(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("keys", "G", "R")(pilot)
            assert "Only an active key is replaced; this one is revoked" in said(pilot)
            assert not [one for one in backend.did if one[0] == "rotate_key"]

    async def test_sent_again_after_a_lost_answer_it_is_the_same_request(self) -> None:
        backend = FakeBackend()
        backend.refusals["create_key"] = ServerUnreachableError("http://127.0.0.1:8080", "it did not answer in time")
        async with running(backend) as pilot:
            await tab("keys", "n")(pilot)
            await type_text(pilot, "mobile app")
            pilot.app.screen.query_one("#ends", Input).value = "30d"
            await press(pilot, "ctrl+s")
            del backend.refusals["create_key"]
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: isinstance(pilot.app.screen, KeyShownScreen))
            (first, one), (second, other) = backend.asked_once
            assert one is not None
            assert (first, one) == (second, other)

    async def test_replacing_it_again_after_a_lost_answer_is_the_same_request(self) -> None:
        backend = FakeBackend()
        backend.refusals["rotate_key"] = ServerUnreachableError("http://127.0.0.1:8080", "it did not answer in time")
        async with running(backend) as pilot:
            await tab("keys", "R", "y")(pilot)
            await until(pilot, lambda: len(backend.rotated) == 1)
            del backend.refusals["rotate_key"]
            backend.key_list[0] = backend.key_list[0].model_copy(update={"state": "grace"})  # it had been replaced
            await press(pilot, "R", "y")
            await until(pilot, lambda: isinstance(pilot.app.screen, KeyShownScreen))
        first, second = backend.rotated
        assert first == second
        assert first[1] is not None

    async def test_no_keys_say_what_they_are_for(self) -> None:
        backend = FakeBackend()
        backend.key_list = []
        async with running(backend) as pilot:
            await tab("keys")(pilot)
            assert "Calls from this machine need none." in screen_text(pilot.app)
            await press(pilot, "d", "R")
            assert not [one for one in backend.did if one[0] in ("revoke_key", "rotate_key")]


class TestLengths:
    @pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), (" 2 h ", 7200), ("30d", 2_592_000)])
    def test_are_read(self, text: str, seconds: int) -> None:
        assert length_of(text).total_seconds() == seconds

    @pytest.mark.parametrize("text", ["", "d", "-1d", "1w", "1.5h", "9999999s", "٣d\x00"])
    def test_others_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="write a number and s, m, h or d"):
            length_of(text)
