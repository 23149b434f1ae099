"""Publish, Sync and the two sides of a conflict: what is asked, what is shown, and that nothing local waits."""

import asyncio
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from apimarket_tui.app import ApimarketApp
from apimarket_tui.conflict_rows import detail_lines, rows_of
from apimarket_tui.outgoing import Outgoing, progress
from apimarket_tui.screens.conflict import ConflictScreen
from apimarket_tui.screens.detail import DetailScreen
from apimarket_tui.screens.edit import EditScreen
from apimarket_tui.screens.local import LocalScreen
from apimarket_tui.screens.publish import PublishScreen
from apimarket_tui.screens.sync import SyncScreen
from local_server.client.errors import ApimarketClientError
from local_server.wire.events import OutboxUpdated
from local_server.wire.outbox import OutboxEntryView, PublishApi, PublishView

from .fake_backend import FakeBackend
from .fake_market import MARKET_URL
from .fake_outbox import CONFLICT, DRAFT, a_conflict, an_entry, an_outbox, some_entries
from .screen_text import screen_text
from .screens import keys, press, publish, running, said, settle, sync, until


def shows(pilot: Pilot[Any], text: str) -> bool:
    return text in screen_text(pilot.app)


def refusal(detail: str, code: str = "x", status: int = 409, hint: str = "Do this.") -> ApimarketClientError:
    return ApimarketClientError(detail, hint=hint, code=code, status=status, title="No")


class TestPublish:
    async def test_it_is_shown_first_and_sent_once_however_often_enter_is_pressed(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await publish()(pilot)
            assert [one.dry_run for one in backend.asked] == [True]
            assert shows(pilot, "Nothing is sent yet")
            await press(pilot, "enter", "enter", "enter")
            assert [one.dry_run for one in backend.asked] == [True, False]
            assert "on its way already" in said(pilot)

    async def test_it_moves_on_as_the_server_tells(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await publish("enter")(pilot)
            await until(pilot, lambda: shows(pilot, "◐ waiting"))
            backend.emit(OutboxUpdated(entry=an_entry("weather", "uploading", "1.3.0", sent_bytes=1_700_000)))
            await until(pilot, lambda: shows(pilot, "↑ uploading  ██████░░░░░░ 1.6 MB of 3.2 MB"))
            backend.emit(OutboxUpdated(entry=an_entry("weather", "applied", "1.3.0")))
            await until(pilot, lambda: shows(pilot, "● published"))
            await press(pilot, "y")
            assert pilot.app.clipboard == f"{MARKET_URL}/ana/weather@1.3.0/"

    async def test_nothing_waits_for_it_and_leaving_stops_nothing(self) -> None:
        backend = FakeBackend()
        gate = asyncio.Event()
        answered = backend.publish

        async def slow(name: str, request: PublishApi) -> PublishView:
            await gate.wait()
            return await answered(name, request)

        backend.publish = slow  # type: ignore[method-assign]
        async with running(backend) as pilot:
            await keys("P")(pilot)
            assert shows(pilot, "⟳ comparing with what is published…")
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, LocalScreen)
            gate.set()
            backend.publish = answered  # type: ignore[method-assign]
            await publish("enter", "escape")(pilot)
            backend.emit(OutboxUpdated(entry=an_entry("weather", "uploading", "1.3.0")))
            await until(pilot, lambda: shows(pilot, "↑1"))
            assert not any(method == "cancel_outgoing" for method, _ in backend.did)

    async def test_another_version_number_is_tried_first(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await publish("v")(pilot)
            assert pilot.app.screen.query_one("#typed", Input).value == "2.0.0"
            await press(pilot, "enter")
            await until(pilot, lambda: shows(pilot, "ana/weather 2.0.0"))
            assert [(one.version, one.dry_run) for one in backend.asked] == [(None, True), ("2.0.0", True)]
            await press(pilot, "enter")
            await until(pilot, lambda: len(backend.asked) == 3)
            assert (backend.asked[2].version, backend.asked[2].dry_run) == ("2.0.0", False)

    async def test_giving_up_asks_first(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await publish("enter", "c")(pilot)
            assert shows(pilot, "Give up publishing ana/weather 1.3.0?")
            await press(pilot, "escape")
            assert not any(method == "cancel_outgoing" for method, _ in backend.did)
            await press(pilot, "c", "y")
            await until(pilot, lambda: shows(pilot, "○ canceled"))
            assert ("cancel_outgoing", "op-weather-1.3.0") in backend.did

    @pytest.mark.parametrize(("code", "told"), [("not_logged_in", "A signs in"), ("nothing_served", "Do this.")])
    async def test_why_it_cannot_be_published(self, code: str, told: str) -> None:
        backend = FakeBackend()
        backend.refusals["publish"] = refusal("Not like this", code)
        async with running(backend) as pilot:
            await keys("P")(pilot)
            await until(pilot, lambda: shows(pilot, "✗ Not like this"))
            assert shows(pilot, told)
            await press(pilot, "enter")
            assert "Nothing can be published" in said(pilot)
            del backend.refusals["publish"]
            await press(pilot, "r")
            await until(pilot, lambda: shows(pilot, "Nothing is sent yet"))

    async def test_a_conflict_is_settled_from_there(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await publish("enter")(pilot)
            backend.emit(OutboxUpdated(entry=an_entry("weather", "conflict", "1.3.0", trouble=CONFLICT)))
            await until(pilot, lambda: shows(pilot, "enter shows both sides"))
            await press(pilot, "enter")
            assert isinstance(pilot.app.screen, ConflictScreen)

    async def test_from_the_apis_own_screen_too(self) -> None:
        async with running() as pilot:
            await keys("enter", "P")(pilot)
            assert isinstance(pilot.app.screen, PublishScreen)
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, DetailScreen)


class TestSync:
    async def test_what_needs_a_person_comes_first_and_says_why(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await sync()(pilot)
            lines = screen_text(pilot.app).splitlines()
            first = next(number for number, line in enumerate(lines) if line.startswith("▸ana/weather"))
            assert "✗ conflict" in lines[first]
            assert "✗ rejected" in lines[first + 1]
            assert shows(pilot, "enter shows both sides, and settles it")
            assert shows(pilot, "↑2  ✗2  ↓1")

    async def test_a_version_is_tried_again_and_given_up(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync("down", "r")(pilot)
            await until(pilot, lambda: ("retry_outgoing", "op-search-0.2.0") in backend.did)
            await until(pilot, lambda: shows(pilot, "◐ waiting"))
            await press(pilot, "c", "y")
            await until(pilot, lambda: ("cancel_outgoing", "op-search-0.2.0") in backend.did)

    async def test_what_is_done_is_not_tried_again(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync("G", "k", "r", "c")(pilot)
            assert "It is published already" in said(pilot)
            assert "Nothing is on its way there" in said(pilot)

    async def test_the_newest_is_fetched_into_the_directory(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync("tab", "u")(pilot)
            await until(pilot, lambda: ("pull", "weather write=True") in backend.did)
            assert "ana/weather 1.3.0 is in /home/ana/code/weather" in said(pilot)

    async def test_a_pull_that_finds_two_sides_says_so(self) -> None:
        backend = FakeBackend()
        backend.pulled_fields = {"conflict": True, "written": False}
        async with running(backend) as pilot:
            await sync("tab", "u")(pilot)
            await until(pilot, lambda: "made apart from what is here" in said(pilot))

    async def test_every_marketplace_is_asked(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync("a")(pilot)
            await until(pilot, lambda: "asked every marketplace" in said(pilot))

    async def test_enter_opens_both_sides_or_the_api(self) -> None:
        async with running() as pilot:
            await sync("enter")(pilot)
            assert isinstance(pilot.app.screen, ConflictScreen)
            await press(pilot, "escape", "G", "k", "enter")
            assert isinstance(pilot.app.screen, DetailScreen)

    async def test_a_marketplace_that_does_not_answer_is_told_with_when_it_last_did(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await sync()(pilot)
            app: ApimarketApp = pilot.app  # type: ignore[assignment]
            out = an_outbox()
            trouble = some_entries()[2].trouble
            remote = out.remotes[0].model_copy(update={"reachable": False, "trouble": trouble})
            app.live.take_outbox(out.model_copy(update={"remotes": [remote]}))
            await until(pilot, lambda: shows(pilot, "no route, answered now"))

    async def test_who_is_not_the_machines_owner_is_told(self) -> None:
        backend = FakeBackend()
        backend.refusals["outbox"] = refusal("The outbox is the owner's", status=403)
        async with running(backend) as pilot:
            await press(pilot, "4")
            await until(pilot, lambda: shows(pilot, "✗ The outbox is the owner's"))

    async def test_a_lost_event_is_healed_by_reading_again(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync()(pilot)
            backend.out = backend.out.model_copy(update={"entries": [an_entry("notes", "applied", "9.9.9")]})
            backend.come_back()
            await until(pilot, lambda: shows(pilot, "9.9.9"))


class TestConflict:
    async def test_choices_go_into_one_version_of_both(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await sync("enter", "m", "t", "t", "b")(pilot)
            assert shows(pilot, "all chosen: M merges")
            await press(pilot, "M", "y")
            await until(pilot, lambda: isinstance(pilot.app.screen, SyncScreen))
            wanted = backend.resolved[0]
            assert wanted.how == "merge"
            assert [(one.path, one.field, one.take) for one in wanted.choices] == [
                ("main.py", None, "mine"),
                ("apimarket.toml", "api.summary", "theirs"),
                ("apimarket.toml", "run.memory_mb", "theirs"),
                ("logo.png", None, "base"),
            ]
            assert "weather is settled, as 1.3.1" in said(pilot)
            await until(pilot, lambda: shows(pilot, "1.3.1"))

    async def test_a_text_is_edited_by_hand_and_taken_once_no_mark_is_left(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await sync("enter", "e")(pilot)
            area = pilot.app.screen.query_one(TextArea)
            assert area.text == DRAFT
            assert area.cursor_location == (1, 0)
            await press(pilot, "ctrl+s")
            assert shows(pilot, "Line 2 still marks two sides")
            area.text = "def now(q):\n    return metric(read(q, timeout_s=5))\n"
            await press(pilot, "ctrl+s")
            assert isinstance(pilot.app.screen, ConflictScreen)
            assert shows(pilot, "✓ edited")

    async def test_edited_files_and_keys_go_with_the_merge(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await sync("enter", "e")(pilot)
            pilot.app.screen.query_one(TextArea).text = "one\n"
            await press(pilot, "ctrl+s", "e")
            pilot.app.screen.query_one(TextArea).text = "Weather at"
            await press(pilot, "ctrl+s")
            assert shows(pilot, "That is no value")
            pilot.app.screen.query_one(TextArea).text = '"Weather at sea and on land"'
            await press(pilot, "ctrl+s", "t", "m", "M", "y")
            await until(pilot, lambda: bool(backend.resolved))
            assert [(one.path, one.take, one.text, one.value) for one in backend.resolved[0].choices] == [
                ("main.py", "edited", "one\n", None),
                ("apimarket.toml", "edited", None, "Weather at sea and on land"),
                ("apimarket.toml", "theirs", None, None),
                ("logo.png", "mine", None, None),
            ]

    async def test_what_was_typed_is_not_thrown_away_by_one_key(self) -> None:
        async with running() as pilot:
            await sync("enter", "e", "x", "escape")(pilot)
            assert isinstance(pilot.app.screen, EditScreen)
            assert shows(pilot, "esc again throws it away")
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, ConflictScreen)
            assert not shows(pilot, "✓ edited")

    async def test_what_is_no_text_is_not_edited(self) -> None:
        async with running() as pilot:
            await sync("enter", "down", "down", "down", "e")(pilot)
            assert isinstance(pilot.app.screen, ConflictScreen)
            assert "take a side" in said(pilot)

    async def test_what_is_not_chosen_is_not_merged_over(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync("enter", "m", "M")(pilot)
            assert "3 to choose still" in said(pilot)
            assert isinstance(pilot.app.screen, ConflictScreen)
            assert backend.resolved == []

    @pytest.mark.parametrize(("key", "how"), [("K", "mine"), ("T", "theirs")])
    async def test_one_side_is_kept_after_asking(self, key: str, how: str) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync("enter", key, "escape")(pilot)
            assert backend.resolved == []
            await press(pilot, key, "y")
            await until(pilot, lambda: [one.how for one in backend.resolved] == [how])
            assert backend.resolved[0].remote == MARKET_URL

    async def test_mine_goes_on_under_another_name(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await sync("enter", "F")(pilot)
            assert pilot.app.screen.query_one("#typed", Input).value == "weather-fork"
            await press(pilot, "enter")
            await until(pilot, lambda: [(one.how, one.name) for one in backend.resolved] == [("fork", "weather-fork")])

    async def test_a_refusal_leaves_the_choices_as_they_are(self) -> None:
        backend = FakeBackend()
        backend.refusals["resolve_conflict"] = refusal("The directory holds what was not published")
        async with running(backend, size=(120, 40)) as pilot:
            await sync("enter", "m", "K", "y")(pilot)
            await until(pilot, lambda: "not published" in said(pilot))
            assert isinstance(pilot.app.screen, ConflictScreen)
            assert shows(pilot, "3 of 4 to choose")

    async def test_settled_elsewhere_it_says_so(self) -> None:
        backend = FakeBackend()
        backend.refusals["conflict"] = refusal("weather has no conflict", hint="")
        async with running(backend) as pilot:
            await sync("enter")(pilot)
            await until(pilot, lambda: shows(pilot, "✗ weather has no conflict"))
            await press(pilot, "M", "K", "m")
            await settle(pilot)
            assert isinstance(pilot.app.screen, ConflictScreen)

    def test_the_markers_of_a_draft_become_words(self) -> None:
        lines = ["".join(text for text, _ in line) for line in detail_lines(rows_of(a_conflict())[0])]
        assert lines[1].startswith("── mine")
        assert not any(line.startswith(("<<<<<<<", ">>>>>>>", "=======")) for line in lines)


class TestOutgoing:
    def test_order_and_marks(self) -> None:
        outgoing = Outgoing()
        outgoing.replace(an_outbox())
        assert [entry.state for entry in outgoing.all()] == [
            "conflict", "rejected", "uploading", "queued", "applied", "canceled",
        ]  # fmt: skip
        assert outgoing.marks == (2, 2, 1)

    @pytest.mark.parametrize(
        ("fields", "shown"),
        [
            ({"sent_bytes": 0, "total_bytes": 0}, "nothing sent yet"),
            ({"sent_bytes": 50, "total_bytes": 100}, "██████░░░░░░ 50 B of 100 B"),
            ({"sent_bytes": 900, "total_bytes": 100}, "████████████ 100 B of 100 B"),
        ],
        ids=["nothing", "half", "more than all"],
    )
    def test_progress(self, fields: dict[str, int], shown: str) -> None:
        entry: OutboxEntryView = an_entry("weather", "uploading", **fields)
        assert "".join(text for text, _ in progress(entry)) == shown
