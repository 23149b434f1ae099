"""One request, whole: what passed, what it would be answered now, and by another generation."""

from apimarket_tui.exchanges import body_lines, compare_lines, exchange_lines, replay_lines
from apimarket_tui.screens.console import ConsoleScreen
from apimarket_tui.screens.exchange import ExchangeScreen
from local_server.client.errors import ApimarketClientError
from local_server.wire.exchanges import BodyView

from .fake_backend import FakeBackend, a_body, a_comparison, a_replay, an_exchange, some_requests
from .screen_text import screen_text
from .screens import press, running, said, tab, until


def plain(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


class TestScreen:
    async def test_enter_shows_headers_and_bodies(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await tab("requests", "enter")(pilot)
            await until(pilot, lambda: '"temperature": -3.5' in screen_text(pilot.app))
            text = screen_text(pilot.app)
            assert "GET /now?q=oslo" in text
            assert "authorization: [redacted]" in text
            await press(pilot, "escape")
            assert not isinstance(pilot.app.screen, ExchangeScreen)

    async def test_p_sends_it_again_to_what_serves(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "enter", "p")(pilot)
            await until(pilot, lambda: "200  41ms  g14" in screen_text(pilot.app))
            assert ("replay_exchange", "req_weather_0 to None") in backend.did

    async def test_d_proposes_the_generation_before_and_shows_the_difference(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "enter", "d", "enter")(pilot)
            await until(pilot, lambda: "- temperature: -3.5" in screen_text(pilot.app))
            assert ("compare_exchange", "req_weather_0 to 13") in backend.did

    async def test_what_an_older_one_answered_is_compared_with_that_one(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "G", "enter", "d", "enter")(pilot)
            await until(pilot, lambda: ("compare_exchange", "req_weather_23 to 13") in backend.did)

    async def test_a_word_is_no_generation(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "enter", "d", "x", "enter")(pilot)
            assert "is no generation; write its number" in screen_text(pilot.app)
            assert not [one for one in backend.did if one[0] == "compare_exchange"]

    async def test_what_cannot_be_replayed_says_why_and_is_not_sent(self) -> None:
        backend = FakeBackend()
        backend.exchange_fields = {"replayable": False, "why_not": "Its body was longer than what is kept"}
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "enter", "p")(pilot)
            assert "✗ Its body was longer than what is kept" in screen_text(pilot.app)
            assert not [one for one in backend.did if one[0] == "replay_exchange"]

    async def test_one_that_is_not_kept_any_more_says_so(self) -> None:
        backend = FakeBackend()
        backend.refusals["exchange"] = ApimarketClientError(
            "No exchange 'req_weather_0' is kept",
            hint="The newest are listed by: apimarket inspect weather",
            code="exchange_not_found",
            status=404,
            title="No such exchange is kept",
        )
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "enter")(pilot)
            assert "The newest are listed by" in screen_text(pilot.app)
            await press(pilot, "p", "d", "c")
            assert "There is no curl command for it" in said(pilot)
            await press(pilot, "t")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConsoleScreen))

    async def test_the_curl_command_has_variables_for_secrets(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await tab("requests", "c")(pilot)
            await until(pilot, lambda: "$AUTHORIZATION" in pilot.app.clipboard)

    async def test_without_the_exchange_the_log_knows_enough_for_curl(self) -> None:
        backend = FakeBackend()
        backend.refusals["exchange"] = ApimarketClientError("no", hint="", code="x", status=404, title="")
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "c")(pilot)
            await until(pilot, lambda: pilot.app.clipboard == "curl -i http://127.0.0.1:8080/ana/weather/now")

    async def test_what_a_version_answered_is_compared_with_the_directory(self) -> None:
        backend = FakeBackend()
        first = some_requests("weather", 1)[0].model_copy(update={"version": "1.2.0", "generation": 3})
        backend.request_rows = [first]
        async with running(backend, size=(120, 40)) as pilot:
            await tab("requests", "enter", "d")(pilot)
            assert "which generation answers it too" in screen_text(pilot.app)
            await press(pilot, "enter")
            await until(pilot, lambda: ("compare_exchange", f"{first.id} to 14") in backend.did)


class TestLines:
    def test_a_version_is_told_by_its_number(self) -> None:
        replay = a_replay(3).model_copy(update={"version": "1.2.0"})
        assert plain(replay_lines(replay)).splitlines()[0].endswith("  1.2.0")

    def test_a_cut_body_is_told_and_not_parsed(self) -> None:
        text = plain(body_lines(a_body('{"a": 1', truncated=True, bytes=70_000)))
        assert text == '{"a": 1\n… the beginning of 68 KB; no more is kept'

    def test_what_is_no_text_is_told_by_its_size(self) -> None:
        assert plain(body_lines(BodyView(media_type="image/png", bytes=2048, base64="AAAA"))) == (
            "2.0 KB of image/png: not text"
        )

    def test_a_websocket_counts_its_messages(self) -> None:
        exchange = an_exchange(some_requests("x", 1)[0], websocket=True, messages_in=3, messages_out=9)
        assert plain(exchange_lines(exchange)).endswith("WebSocket: 3 messages in, 9 out")

    def test_an_answer_that_broke_off_says_so(self) -> None:
        replay = a_replay(14).model_copy(update={"complete": False})
        assert "broke off" in plain(replay_lines(replay))

    def test_the_same_is_one_sentence(self) -> None:
        same = a_comparison(13).model_copy(update={"same": True})
        assert plain(compare_lines(same)).endswith("✓ Status, headers that matter and body mean the same")

    def test_each_side_has_its_sign(self) -> None:
        text = plain(compare_lines(a_comparison(13)))
        assert '- etag: "8d3c"' in text
        assert "+ etag" not in text
        assert '+ error: "KeyError: temperature"' in text
