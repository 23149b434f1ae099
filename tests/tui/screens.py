"""Every screen a person sees, by name, and how to come to it: the text baselines and the pictures share this list."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from apimarket_tui.app import ApimarketApp
from apimarket_tui.panes.files import FilesPane
from apimarket_tui.screens.detail import TABS
from apimarket_tui.widgets.peek import Peek
from local_server.client.errors import ApimarketClientError
from local_server.client.results import CallResult
from local_server.wire.events import OutboxUpdated

from .fake_backend import NOW, FakeBackend, a_server
from .fake_files import some_contract
from .fake_market import MARKET_URL, a_card
from .fake_outbox import an_entry, an_outbox
from .screen_text import screen_text

Step = Callable[[Pilot[Any]], Awaitable[None]]
PACE = {"batch_s": 0.01, "heartbeat_s": 30.0, "retry_s": 0.02}


@asynccontextmanager
async def running(
    backend: FakeBackend | None = None,
    size: tuple[int, int] = (80, 24),
    home: Path | None = None,
    *,
    by_session: bool = False,
    loaded: bool = True,
    **pace: float,
) -> AsyncIterator[Pilot[Any]]:
    """The app over a fake server, its list loaded."""
    backend = backend or FakeBackend()
    app = ApimarketApp(
        backend, clock=lambda: NOW, home=home, connect=backend.connect, by_session=by_session, **(PACE | pace)
    )
    async with app.run_test(size=size, notifications=True) as pilot:
        if not backend.down and loaded:
            await until(pilot, lambda: app.live.loaded and app.live.server is not None)
        await settle(pilot)
        yield pilot


async def until(pilot: Pilot[Any], truth: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for `truth`; fails after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not truth():
            await asyncio.sleep(0.005)
    await pilot.pause()


async def settle(pilot: Pilot[Any]) -> None:
    """Let everything that was asked for arrive on the screen."""
    for _ in range(2):
        await pilot.pause(0.015)


def said(pilot: Pilot[Any]) -> str:
    """What the app told in its corner."""
    return "\n".join(note.message for note in pilot.app._notifications)


async def press(pilot: Pilot[Any], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


async def type_text(pilot: Pilot[Any], text: str) -> None:
    """Into the field that has the focus."""
    field = pilot.app.focused
    assert isinstance(field, Input)
    field.insert_text_at_cursor(text)
    await settle(pilot)


def keys(*pressed: str) -> Step:
    async def step(pilot: Pilot[Any]) -> None:
        app: ApimarketApp = pilot.app  # type: ignore[assignment]
        app.screen.choose("weather")  # type: ignore[attr-defined]
        await until(pilot, lambda: len(app.screen.query_one(Peek).requests) > 0)
        await press(pilot, *pressed)

    return step


def tab(name: str, *pressed: str) -> Step:
    """A tab of weather's screen, and keys pressed there."""

    async def step(pilot: Pilot[Any]) -> None:
        await keys("enter", *["right_square_bracket"] * TABS.index(name), *pressed)(pilot)

    return step


async def _key_shown(pilot: Pilot[Any]) -> None:
    await tab("keys", "n")(pilot)
    await type_text(pilot, "mobile app")
    await press(pilot, "ctrl+s")


def market(*pressed: str) -> Step:
    """The catalogue of a marketplace with a session, and keys pressed there."""

    async def step(pilot: Pilot[Any]) -> None:
        app: ApimarketApp = pilot.app  # type: ignore[assignment]
        await app.accounts.sign_in(MARKET_URL, "ana", "correct horse")
        await press(pilot, "2")
        await until(pilot, lambda: "found" in screen_text(app) or "✗" in screen_text(app))
        await press(pilot, *pressed)
        await until(pilot, lambda: "asking" not in screen_text(app))

    return step


async def _market_offline(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    elsewhere = app.backend.elsewhere  # type: ignore[attr-defined]
    elsewhere.down, elsewhere.copied = True, {"checked_at": NOW - timedelta(hours=5)}
    await market("slash", *"geo")(pilot)
    await until(pilot, lambda: "4 found" in screen_text(app) or "5 found" in screen_text(app))


def listing(*pressed: str) -> Step:
    async def step(pilot: Pilot[Any]) -> None:
        await market("enter")(pilot)
        await until(pilot, lambda: "Current weather and a forecast" in screen_text(pilot.app))
        await press(pilot, *pressed)

    return step


async def _reviewed(pilot: Pilot[Any]) -> None:
    await listing("w", "4", "tab")(pilot)
    pilot.app.screen.query_one(TextArea).text = "Answers at once. I miss the wind."
    await press(pilot, "ctrl+s")
    await until(pilot, lambda: "I miss the wind." in screen_text(pilot.app))


def sync(*pressed: str) -> Step:
    """What is on its way, in every state, and keys pressed there."""

    async def step(pilot: Pilot[Any]) -> None:
        app: ApimarketApp = pilot.app  # type: ignore[assignment]
        app.backend.out = an_outbox()  # type: ignore[attr-defined]
        await press(pilot, "4")
        await until(pilot, lambda: len(app.live.outgoing.all()) > 0)
        await settle(pilot)
        await press(pilot, *pressed)

    return step


def plans(*pressed: str) -> Step:
    """Weather's plans, published on a marketplace where some subscribed; and keys pressed there."""

    async def step(pilot: Pilot[Any]) -> None:
        app: ApimarketApp = pilot.app  # type: ignore[assignment]
        await app.accounts.sign_in(MARKET_URL, "ana", "correct horse")
        app.live.take_outbox(an_outbox())
        app.backend.elsewhere.cards.append(a_card("ana/weather", "Weather"))  # type: ignore[attr-defined]
        await tab("plans")(pilot)
        await until(pilot, lambda: "market.example: " in screen_text(app))
        await press(pilot, *pressed)

    return step


async def _no_plans(pilot: Pilot[Any]) -> None:
    pilot.app.backend.written_plans = []  # type: ignore[attr-defined]
    await tab("plans")(pilot)
    await until(pilot, lambda: "No plans" in screen_text(pilot.app))


def publish(*pressed: str) -> Step:
    async def step(pilot: Pilot[Any]) -> None:
        await keys("P")(pilot)
        await until(pilot, lambda: "What changes for callers" in screen_text(pilot.app))
        await press(pilot, *pressed)

    return step


async def _publish_under_way(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    await publish("enter")(pilot)
    moved = an_entry("weather", "uploading", "1.3.0", 0, sent_bytes=41_000, total_bytes=92_460)
    app.backend.emit(OutboxUpdated(entry=moved))  # type: ignore[attr-defined]
    await until(pilot, lambda: "uploading" in screen_text(app))


async def _published(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    await publish("enter")(pilot)
    app.backend.emit(OutboxUpdated(entry=an_entry("weather", "applied", "1.3.0", 0)))  # type: ignore[attr-defined]
    await until(pilot, lambda: "y copies it" in screen_text(app))


async def _publish_refused(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    app.backend.refusals["publish"] = ApimarketClientError(  # type: ignore[attr-defined]
        "No marketplace is known here",
        hint="Log in to one: apimarket login NAME --remote URL",
        code="no_remote",
        status=409,
        title="Where to?",
    )
    await keys("P")(pilot)
    await until(pilot, lambda: "No marketplace is known" in screen_text(app))


async def _login_refused(pilot: Pilot[Any]) -> None:
    await press(pilot, "A")
    await type_text(pilot, "ana")
    await press(pilot, "tab")
    await type_text(pilot, "wrong")
    await press(pilot, "ctrl+s")


def _metrics(*pressed: str) -> Step:
    async def step(pilot: Pilot[Any]) -> None:
        await tab("metrics", *pressed)(pilot)
        await until(pilot, lambda: "Busiest" in screen_text(pilot.app) or "requests" in screen_text(pilot.app))

    return step


def _files(row: str, *pressed: str, spoilt: bool = False) -> Step:
    async def step(pilot: Pilot[Any]) -> None:
        app: ApimarketApp = pilot.app  # type: ignore[assignment]
        if spoilt:
            app.backend.spoil_the_manifest()  # type: ignore[attr-defined]
        await tab("files")(pilot)
        await until(pilot, lambda: "8 files" in screen_text(app))
        pane = app.screen.query_one(FilesPane)
        pane.table.table.select(row)
        shown = "import json" if row.startswith("file") else "mistake"
        await until(pilot, lambda: shown in screen_text(app))
        await press(pilot, *pressed)
        await until(pilot, lambda: not pressed or "+CITIES" in screen_text(app))

    return step


async def _failing(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    app.screen.choose("geocode")  # type: ignore[attr-defined]
    await press(pilot, "enter")


async def _answered(pilot: Pilot[Any]) -> None:
    await press(pilot, "3")
    await type_text(pilot, "weather/now?q=oslo")
    await press(pilot, "enter")


async def _operations(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    backend: FakeBackend = app.backend  # type: ignore[assignment]
    content = [("content-type", "application/json")]
    backend.answer = CallResult(200, "OK", content, some_contract(), 5.0)
    await press(pilot, "3", "escape")
    app.screen.query_one("#url", Input).value = "weather"
    await press(pilot, "i", "enter")
    await until(pilot, lambda: "operations" in screen_text(app) and "One station" in screen_text(app))
    await press(pilot, "down")


async def _refused(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    app.backend.refusals["scaffold"] = ApimarketClientError(  # type: ignore[attr-defined]
        "An API named 'weather' is registered already, from /home/ana/code/weather",
        hint="Choose another name, or remove the first one: apimarket rm weather",
        code="name_taken",
        status=409,
        title="That name is taken",
    )
    await press(pilot, "n")
    await type_text(pilot, "weather")
    await press(pilot, "ctrl+s")


async def _gone(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    await until(pilot, lambda: bool(app.screen.query_one(Peek).requests))
    app.backend.go_down()  # type: ignore[attr-defined]
    app.live.look_now()
    await until(pilot, lambda: app.live.lost is not None)
    await settle(pilot)


async def _no_isolation(pilot: Pilot[Any]) -> None:
    app: ApimarketApp = pilot.app  # type: ignore[assignment]
    app.backend.view = a_server(engine="process", engine_detail="no Docker here", isolated=False)  # type: ignore[attr-defined]
    server = app.live.server
    app.live.look_now()
    await until(pilot, lambda: app.live.server is not server and app.live.server.engine == "process")  # type: ignore[union-attr]
    app.screen.choose("search")  # type: ignore[attr-defined]
    await settle(pilot)


SCREENS: dict[str, Step] = {
    "local": keys(),
    "local-filter": keys("slash", "g", "o"),
    "local-command": keys("colon", "l", "o", "g"),
    "local-no-isolation": _no_isolation,
    "local-server-gone": _gone,
    "detail-overview": keys("enter"),
    "detail-failing": _failing,
    "detail-logs": keys("l"),
    "detail-requests": keys("enter", "right_square_bracket", "right_square_bracket"),
    "exchange": tab("requests", "enter"),
    "exchange-replay": tab("requests", "enter", "p"),
    "exchange-difference": tab("requests", "enter", "d", "enter"),
    "detail-metrics": _metrics(),
    "detail-metrics-read": _metrics("w", *["left"] * 23),
    "detail-files": _files("file main.py"),
    "detail-files-difference": _files("file main.py", "d"),
    "detail-files-mistakes": _files("manifest ", spoilt=True),
    "detail-keys": tab("keys"),
    "detail-keys-new": tab("keys", "n"),
    "detail-keys-shown": _key_shown,
    "detail-plans": plans(),
    "detail-plans-none": _no_plans,
    "detail-settings": tab("settings"),
    "detail-settings-set": tab("settings", "enter"),
    "detail-versions": tab("versions"),
    "detail-versions-asked": tab("versions", "down", "w"),
    "diff": tab("versions", "down", "down", "equals_sign", *["down"] * 2),
    "sign-in": keys("A"),
    "sign-in-refused": _login_refused,
    "sign-up": keys("A", "ctrl+e"),
    "market": market(),
    "market-search": market("slash", *"geo"),
    "market-narrow": market("c"),
    "market-offline": _market_offline,
    "market-empty": keys("2"),
    "listing": listing(),
    "listing-endpoints": listing("right_square_bracket"),
    "listing-plans": listing(*["right_square_bracket"] * 2),
    "listing-reviews": listing(*["right_square_bracket"] * 3),
    "listing-versions": listing(*["right_square_bracket"] * 4),
    "review": listing("w", "4"),
    "reviewed": _reviewed,
    "subscriptions": market("S", "down"),
    "change-plan": market("S", "p"),
    "subscribe": listing("s"),
    "subscribed": listing("s", "enter"),
    "clone": listing("p"),
    "publish": publish(),
    "publish-under-way": _publish_under_way,
    "published": _published,
    "publish-refused": _publish_refused,
    "sync": sync(),
    "sync-there": sync("tab"),
    "sync-empty": keys("4"),
    "conflict": sync("enter"),
    "conflict-chosen": sync("enter", "m", "t"),
    "conflict-edit": sync("enter", "e"),
    "conflict-confirm": sync("enter", "K"),
    "console": keys("3"),
    "console-answer": _answered,
    "console-operations": _operations,
    "doctor": keys("5"),
    "wizard": keys("n"),
    "wizard-refused": _refused,
    "confirm": keys("ctrl+d"),
    "bulk": keys("g", "space", "space", "b"),
    "jump": keys("enter", "ctrl+o"),
    "help": keys("question_mark"),
    "palette": keys("ctrl+p"),
}
