"""The Versions tab: where the traffic is, and what can be done about it."""

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from local_server.client.errors import ApimarketClientError
from local_server.wire.events import LogsWritten

from .fake_backend import FakeBackend, some_logs
from .fake_versions import ShareView, TrafficSplitView
from .screen_text import screen_text
from .screens import press, running, said, tab, type_text, until


def shows(pilot: Pilot[Any], text: str) -> bool:
    return text in screen_text(pilot.app)


async def answer(pilot: Pilot[Any], text: str) -> None:
    pilot.app.screen.query_one("#typed", Input).value = ""
    await type_text(pilot, text)
    await press(pilot, "enter")


def did(backend: FakeBackend, method: str) -> list[str]:
    return [name for done, name in backend.did if done == method]


class TestShown:
    async def test_where_the_traffic_is_and_goes(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await tab("versions")(pilot)
            assert shows(pilot, "traffic  1.2.0 90 %   1.1.4 10 %   ◐ 100 % to 1.3.0 once it is ready")
            lines = {line.split()[0].lstrip("▸"): line for line in screen_text(pilot.app).splitlines() if line.strip()}
            assert "@latest" in lines["1.2.0"]
            assert "! ends in 20d" in lines["1.1.4"]
            assert "✗ SyntaxError" in lines["1.1.0"]
            assert "✗ yanked" in lines["1.0.0"]
            assert "✗ ended" in lines["0.9.0"]

    async def test_the_log_of_one_is_followed(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("versions", "down", "down", "L")(pilot)
            assert ("logs", "weather@1.2.0") in backend.did
            topic = "log:api_weather@1.2.0"
            await until(pilot, lambda: backend.listeners(topic) == 1 and shows(pilot, "cache hit oslo"))
            line = some_logs("weather", 2)[0].model_copy(update={"text": "said by the version"})
            backend.emit(LogsWritten(api_id="api_weather", lines=[line]), version="1.2.0")
            await until(pilot, lambda: shows(pilot, "said by the version"))
            await press(pilot, "f")
            assert shows(pilot, "frozen")
            await press(pilot, "escape")
            assert shows(pilot, "traffic  1.2.0 90 %")

    async def test_all_of_it_has_room(self) -> None:
        backend = FakeBackend()
        backend.split = TrafficSplitView(shares=[ShareView(target="1.2.0", weight=100)], earlier=[], revision=1)
        async with running(backend) as pilot:
            await tab("versions")(pilot)
            assert shows(pilot, "███████ 100 %")

    async def test_without_any_it_says_how_to_make_one(self) -> None:
        backend = FakeBackend()
        backend.version_list = []
        async with running(backend) as pilot:
            await tab("versions")(pilot)
            assert shows(pilot, "No versions yet")
            await press(pilot, "v")
            await answer(pilot, "v1.0.0")
            assert did(backend, "deploy_version") == ["weather 1.0.0"]

    async def test_a_refusal_is_shown_where_nothing_else_is(self) -> None:
        backend = FakeBackend()
        backend.refusals["traffic"] = ApimarketClientError("Not yours", hint="x", code="x", status=403, title="No")
        async with running(backend) as pilot:
            await tab("versions")(pilot)
            assert shows(pilot, "✗ Not yours")


class TestTraffic:
    async def test_all_of_it_goes_to_the_selected(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("versions", "down", "d")(pilot)
            assert did(backend, "move_traffic") == ["1.3.0 100"]
            await press(pilot, "up", "d")
            assert did(backend, "move_traffic")[1:] == ["dev 100"]

    async def test_some_of_it_as_a_canary(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("versions", "down", "w")(pilot)
            await answer(pilot, "five")
            assert shows(pilot, "is no share; give 1 to 100 percent")
            await answer(pilot, "5%")
            assert did(backend, "move_traffic") == ["1.3.0 5"]

    async def test_a_roll_back_says_where_to_and_asks(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("versions", "b")(pilot)
            assert shows(pilot, "Roll weather back?")
            assert shows(pilot, "100 % dev")
            await press(pilot, "escape")
            assert did(backend, "roll_back") == []
            await press(pilot, "b", "y")
            await until(pilot, lambda: did(backend, "roll_back") == ["weather None"])

    async def test_without_a_before_there_is_no_way_back(self) -> None:
        backend = FakeBackend()
        backend.split = TrafficSplitView(shares=[], earlier=[], revision=0)
        async with running(backend) as pilot:
            await tab("versions", "b")(pilot)
            assert "never anywhere else" in said(pilot)

    async def test_what_the_server_refuses_is_told(self) -> None:
        backend = FakeBackend()
        backend.refusals["move_traffic"] = ApimarketClientError(
            "1.0.0 is yanked", hint="Choose another.", code="yanked", status=409, title="No"
        )
        async with running(backend) as pilot:
            await tab("versions", "down", "d")(pilot)
            await until(pilot, lambda: "1.0.0 is yanked" in said(pilot))


class TestMarks:
    async def test_deprecated_with_an_end_and_without(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("versions", "down", "D")(pilot)
            await answer(pilot, "soon")
            assert shows(pilot, "is no length of time")
            await answer(pilot, "30d")
            assert "'deprecated': True" in did(backend, "mark_version")[0]
            assert "2026, 4, 13" in did(backend, "mark_version")[0]
            await press(pilot, "D")
            await answer(pilot, "")
            assert did(backend, "mark_version")[1] == "1.3.0 {'deprecated': True}"

    async def test_what_was_deprecated_or_yanked_is_taken_back(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("versions", "down", "down", "down", "D")(pilot)
            assert did(backend, "mark_version") == ["1.1.4 {'deprecated': False}"]
            await press(pilot, "down", "down", "X")
            assert did(backend, "mark_version")[1:] == ["1.0.0 {'yanked': False}"]

    async def test_a_yank_wants_its_reason(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("versions", "down", "X", "enter")(pilot)
            assert shows(pilot, "say why")
            await answer(pilot, "leaks")
            assert did(backend, "mark_version") == ["1.3.0 {'yanked': True, 'reason': 'leaks'}"]

    async def test_a_channel_leads_to_it(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await tab("versions", "down", "c")(pilot)
            await answer(pilot, "@beta")
            assert did(backend, "put_channel") == ["beta 1.3.0"]

    async def test_its_own_url_is_copied(self) -> None:
        async with running() as pilot:
            await tab("versions", "down", "u")(pilot)
            assert pilot.app.clipboard == "http://127.0.0.1:8080/ana/weather@1.3.0/"

    @pytest.mark.parametrize("key", ["D", "X", "c", "u"])
    async def test_the_directory_is_no_version(self, key: str) -> None:
        async with running() as pilot:
            await tab("versions", key)(pilot)
            assert "Choose a version" in said(pilot)
