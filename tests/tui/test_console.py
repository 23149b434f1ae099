"""Try it: sends what was typed, shows what came, can be cancelled, remembers."""

import asyncio

import pytest
from textual.widgets import Input, TextArea

from apimarket_tui.answers import body_lines, json_spans, parse_headers
from apimarket_tui.screens.console import ConsoleScreen
from apimarket_tui.widgets.lines import LineView
from apimarket_tui.widgets.method import MethodPicker
from apimarket_tui.widgets.requests import curl
from apimarket_tui.widgets.table import LineTable
from local_server.client.errors import ServerUnreachableError
from local_server.client.results import CallResult

from .fake_backend import FakeBackend
from .screen_text import screen_text
from .screens import press, running, said, until


def plain(answer: CallResult) -> list[str]:
    return ["".join(text for text, _ in line) for line in body_lines(answer)]


def an_answer(body: bytes, kind: str = "application/json") -> CallResult:
    return CallResult(200, "OK", [("Content-Type", kind)], body, 1.0)


class TestSending:
    async def test_a_name_and_path_mean_our_api(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "3")
            pilot.app.screen.query_one("#url", Input).value = "weather/now?q=oslo"
            pilot.app.screen.query_one("#headers", TextArea).text = "X-Units: metric\n# not sent"
            pilot.app.screen.query_one("#body", TextArea).text = '{"a": 1}'
            pilot.app.screen.query_one(MethodPicker).choose("POST")
            await pilot.press("ctrl+s")
            await until(pilot, lambda: '"temperature": -3.5' in screen_text(pilot.app))
            text = screen_text(pilot.app)
        url = "http://127.0.0.1:8080/ana/weather/now?q=oslo"
        assert backend.called == [("POST", url, {"X-Units": "metric"}, b'{"a": 1}')]
        assert "200 OK  38ms  154 B" in text
        assert "gen 8d3cb1a09f2e" in text

    async def test_t_fills_in_the_api_under_the_cursor(self) -> None:
        async with running() as pilot:
            await pilot.press("t")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConsoleScreen))
            field = pilot.app.screen.query_one("#url", Input)
            await until(pilot, lambda: field.value == "http://127.0.0.1:8080/ana/billing/")

    async def test_replay_takes_the_request_over(self) -> None:
        async with running() as pilot:
            await press(pilot, "enter", "right_square_bracket", "right_square_bracket")
            await until(pilot, lambda: "/forecast/oslo" in screen_text(pilot.app))
            await press(pilot, "down", "down", "T")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConsoleScreen))
            field = pilot.app.screen.query_one("#url", Input)
            await until(pilot, lambda: field.value == "http://127.0.0.1:8080/ana/billing/forecast/oslo")

    async def test_escape_cancels_what_runs(self) -> None:
        backend = FakeBackend()
        backend.gate = asyncio.Event()
        async with running(backend) as pilot:
            await press(pilot, "3")
            pilot.app.screen.query_one("#url", Input).value = "weather"
            await press(pilot, "enter")
            assert "esc cancels" in screen_text(pilot.app)
            await press(pilot, "escape")
            await until(pilot, lambda: "cancelled" in screen_text(pilot.app))
            assert not pilot.app.screen.query_one("#history", LineTable).rows

    async def test_no_answer_says_why_and_is_not_a_lost_server(self) -> None:
        backend = FakeBackend()
        backend.refusals["call"] = ServerUnreachableError("http://127.0.0.1:9", "connection refused")
        async with running(backend) as pilot:
            await press(pilot, "3")
            pilot.app.screen.query_one("#url", Input).value = "http://127.0.0.1:9"
            await press(pilot, "enter")
            await until(pilot, lambda: "no answer" in screen_text(pilot.app))
            assert "connection" in screen_text(pilot.app)
            assert "server gone" not in screen_text(pilot.app)

    @pytest.mark.parametrize(
        ("url", "headers", "told"),
        [("", "", "Type a URL"), ("nope/x", "", "no API is named 'nope'"), ("weather", "no colon", "Header line 1")],
    )
    async def test_what_cannot_be_sent_is_refused_in_place(self, url: str, headers: str, told: str) -> None:
        backend = FakeBackend()
        async with running(backend, size=(140, 30)) as pilot:
            await press(pilot, "3")
            pilot.app.screen.query_one("#url", Input).value = url
            pilot.app.screen.query_one("#headers", TextArea).text = headers
            await press(pilot, "ctrl+s")
            assert told in screen_text(pilot.app)
        assert backend.called == []


class TestTheAnswer:
    async def test_h_shows_its_headers(self) -> None:
        async with running() as pilot:
            await press(pilot, "3")
            pilot.app.screen.query_one("#url", Input).value = "weather"
            await press(pilot, "enter")
            await until(pilot, lambda: pilot.app.screen.query_one("#content", LineView).has_focus)
            await press(pilot, "h")
            assert "content-type: application/json" in screen_text(pilot.app)

    async def test_history_brings_a_request_back(self) -> None:
        async with running() as pilot:
            await press(pilot, "3")
            screen = pilot.app.screen
            history = screen.query_one("#history", LineTable)
            for count, path in enumerate(("weather/one", "weather/two"), start=1):
                screen.query_one("#url", Input).value = path
                screen.query_one("#url", Input).focus()
                await pilot.press("enter")
                await until(pilot, lambda count=count: len(history.rows) == count)
            history.focus()
            await press(pilot, "down")
            assert screen.query_one("#url", Input).value.endswith("/ana/weather/one")

    async def test_y_copies_it_as_curl(self) -> None:
        async with running() as pilot:
            await press(pilot, "3")
            pilot.app.screen.query_one("#url", Input).value = "weather/now?a=1&b=2"
            await press(pilot, "escape", "y")
            assert pilot.app.clipboard == "curl -i 'http://127.0.0.1:8080/ana/weather/now?a=1&b=2'"
            assert "copied" in said(pilot)

    def test_json_is_printed_whole(self) -> None:
        assert plain(an_answer(b'{"a":[1,{"b":null}]}')) == [
            "{",
            '  "a": [',
            "    1,",
            "    {",
            '      "b": null',
            "    }",
            "  ]",
            "}",
        ]

    def test_broken_json_is_shown_as_it_came(self) -> None:
        assert plain(an_answer(b'{"a": ')) == ['{"a": ']

    def test_deep_json_is_shown_as_it_came(self) -> None:
        assert plain(an_answer(b"[" * 100_000))[0].startswith("[[[[")

    def test_binary_is_told_by_its_size(self) -> None:
        assert plain(an_answer(b"\x89PNG\0\0", "image/png")) == ["6 B of image/png: not text"]

    def test_tokens_have_tones(self) -> None:
        tones = [(text, tone) for text, tone in json_spans('  "a\\"b": [true, -1.5e3, "x: y"]') if tone != "dim"]
        assert tones == [('"a\\"b"', "primary"), ("true", "warn"), ("-1.5e3", "accent"), ('"x: y"', "ok")]


def test_headers_with_a_bad_name_are_named() -> None:
    with pytest.raises(ValueError, match="Header line 2 is 'b ad: 1'"):
        parse_headers("a: 1\nb ad: 1")


def test_curl_quotes_for_the_shell() -> None:
    said = curl("POST", "http://x/a b", [("X-A", "it's")], "{}\n")
    assert said == "curl -i -X POST -H 'X-A: it'\"'\"'s' --data-binary '{}\n' 'http://x/a b'"


async def test_letters_choose_the_method() -> None:
    async with running() as pilot:
        await press(pilot, "3")
        picker = pilot.app.screen.query_one(MethodPicker)
        picker.focus()
        await press(pilot, "p", "p", "d")
        assert picker.method == "DELETE"
