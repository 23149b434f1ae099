"""The five places of the app. Each is imported when one first goes there: the first frame waits for none but Local."""

from collections.abc import Callable
from typing import Any

from textual.screen import Screen

from apimarket_tui.screens.local import LocalScreen


def _market() -> Screen[Any]:
    from apimarket_tui.screens.market import MarketScreen

    return MarketScreen()


def _console() -> Screen[Any]:
    from apimarket_tui.screens.console import ConsoleScreen

    return ConsoleScreen()


def _sync() -> Screen[Any]:
    from apimarket_tui.screens.sync import SyncScreen

    return SyncScreen()


def _doctor() -> Screen[Any]:
    from apimarket_tui.screens.doctor import DoctorScreen

    return DoctorScreen()


MODES: dict[str, Callable[[], Screen[Any]]] = {
    "local": LocalScreen,
    "market": _market,
    "console": _console,
    "sync": _sync,
    "doctor": _doctor,
}
