"""The registry: every action can be done, no two share a key in one place, and the docs say what it says."""

from pathlib import Path

import pytest

from apimarket_tui import actions
from apimarket_tui.acts import ApiActs
from apimarket_tui.app import ApimarketApp
from apimarket_tui.offers import Offer
from apimarket_tui.panes.files import FilesPane
from apimarket_tui.panes.keys import KeysPane
from apimarket_tui.panes.metrics import MetricsPane
from apimarket_tui.panes.plans import PlansPane
from apimarket_tui.panes.requests import RequestsPane
from apimarket_tui.panes.settings import SettingsPane
from apimarket_tui.panes.versions import VersionsPane
from apimarket_tui.screens.conflict import ConflictScreen
from apimarket_tui.screens.console import ConsoleScreen
from apimarket_tui.screens.detail import DetailScreen
from apimarket_tui.screens.diff import DiffScreen
from apimarket_tui.screens.doctor import DoctorScreen
from apimarket_tui.screens.exchange import ExchangeScreen
from apimarket_tui.screens.frame import FrameScreen
from apimarket_tui.screens.help import help_lines
from apimarket_tui.screens.listing import ListingScreen
from apimarket_tui.screens.local import LocalScreen
from apimarket_tui.screens.market import MarketScreen
from apimarket_tui.screens.publish import PublishScreen
from apimarket_tui.screens.subscriptions import SubscriptionsScreen
from apimarket_tui.screens.sync import SyncScreen

OWNERS: dict[str, type] = {
    "local": LocalScreen,
    "row": ApiActs,
    "detail": DetailScreen,
    "logs": DetailScreen,
    "requests": RequestsPane,
    "exchange": ExchangeScreen,
    "metrics": MetricsPane,
    "files": FilesPane,
    "keys": KeysPane,
    "plans": PlansPane,
    "settings": SettingsPane,
    "versions": VersionsPane,
    "diff": DiffScreen,
    "market": MarketScreen,
    "offer": Offer,
    "listing": ListingScreen,
    "subscription": SubscriptionsScreen,
    "publish": PublishScreen,
    "sync": SyncScreen,
    "conflict": ConflictScreen,
    "console": ConsoleScreen,
    "doctor": DoctorScreen,
}
DOCS = Path(__file__).parents[2] / "docs" / "tui.md"


@pytest.mark.parametrize("action", actions.ACTIONS, ids=lambda action: action.id)
def test_every_action_has_its_method(action: actions.Action) -> None:
    owners = [OWNERS[action.scope]] if action.scope in OWNERS else [ApimarketApp, FrameScreen]
    assert any(callable(getattr(owner, action.method, None)) for owner in owners)


@pytest.mark.parametrize(
    "scopes",
    [
        ("local", "row"),
        ("logs", "detail", "row"),
        ("requests", "detail", "row"),
        ("metrics", "detail", "row"),
        ("files", "detail"),  # `e` is the file there, rather than the API
        ("keys", "detail", "row"),
        ("plans", "detail"),  # there `e` is the manifest, as in the next
        ("settings", "detail"),
        ("versions", "detail", "row"),
        ("exchange",),
        ("market", "offer"),
        ("listing", "offer"),
        ("subscription",),
        ("publish",),
        ("sync",),
        ("conflict",),
        ("console",),
        ("doctor",),
    ],
)
def test_no_two_actions_of_one_place_share_a_key(scopes: tuple[str, ...]) -> None:
    keys = [key for action in actions.ACTIONS if action.scope in scopes for key in action.keys]
    assert len(keys) == len(set(keys))


def test_ids_are_unique_and_titles_short() -> None:
    assert len(actions.BY_ID) == len(actions.ACTIONS)
    assert all(len(action.title) <= 12 for action in actions.ACTIONS)


def test_keys_that_move_in_lists_are_left_to_them() -> None:
    assert not {"j", "k", "g", "G"} & {key for action in actions.ACTIONS for key in action.keys}


def test_keys_that_terminals_cannot_tell_apart_are_not_used() -> None:
    assert not {"ctrl+m", "ctrl+i", "ctrl+h"} & {key for action in actions.ACTIONS for key in action.keys}


def test_commands_name_every_action_of_the_palette() -> None:
    named = actions.commands()
    assert all(named[action.id] is action for action in actions.ACTIONS if action.palette)
    assert named["q"].id == "quit"
    assert named["reload"].id == "restart"


def test_the_docs_hold_the_registrys_table() -> None:
    assert actions.table() in DOCS.read_text(encoding="utf-8")


def test_help_shows_every_action() -> None:
    text = "\n".join("".join(part for part, _ in line) for line in help_lines())
    assert all(action.help in text for action in actions.ACTIONS)
