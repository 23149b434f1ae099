"""Server-Sent Events, read back with the product's own decoder."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_server.client.sse import Decoder, Received
from local_server.events.sse import KEPT_BYTES, LINGER_S, Stream, format_event
from local_server.wire.events import ApiGone, EngineUpdated, Resync

# Time limits on an example fail on a busy machine, and tell nothing about the code.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def gone(number: int) -> ApiGone:
    return ApiGone(id=str(number), name=f"api-{number}")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Follower:
    """A client of one stream."""

    def __init__(self, stream: Stream, *channels: str, resume: str | None = None) -> None:
        self.chunks: AsyncIterator[bytes] = stream.follow(channels, resume)
        self.decoder = Decoder(resume or "")
        self.raw = b""

    async def begin(self) -> "Follower":
        """Until the first chunk has come: from then on nothing is missed."""
        await self.more()
        return self

    async def more(self) -> list[Received]:
        """What the next chunk holds; nothing for a keep-alive."""
        chunk = await asyncio.wait_for(anext(self.chunks), 5)
        self.raw += chunk
        return list(self.decoder.feed(chunk))

    async def names(self) -> list[str]:
        return [
            ApiGone.model_validate_json(event.data).name if event.topic == "api-removed" else event.topic
            for event in await self.more()
        ]

    @property
    def last_id(self) -> str:
        return self.decoder.last_id

    async def leave(self) -> str:
        await cast("asyncio.StreamWriter", self.chunks).aclose()  # type: ignore[attr-defined]
        return self.last_id


class TestFormat:
    def test_is_as_the_standard_says(self) -> None:
        assert format_event("api", '{"a":1}', "x-1") == b'event: api\nid: x-1\ndata: {"a":1}\n\n'
        assert format_event("api", "one\ntwo\r\nthree\rfour") == (
            b"event: api\ndata: one\ndata: two\ndata: three\ndata: four\n\n"
        )

    @pytest.mark.parametrize(("topic", "event_id"), [("a\nb", ""), ("a", "1\n2"), ("a\r", ""), ("a", "\0")])
    def test_nobody_smuggles_in_a_field(self, topic: str, event_id: str) -> None:
        with pytest.raises(ValueError, match="does not fit"):
            format_event(topic, "", event_id)

    @unhurried
    @given(st.text())
    def test_any_data_comes_through(self, data: str) -> None:
        (received,) = Decoder().feed(format_event("topic", data, "7"))
        assert received == Received("topic", data.replace("\r\n", "\n").replace("\r", "\n"), "7")


class TestFollow:
    async def test_brings_what_is_sent_into_its_channels_in_order(self) -> None:
        stream = Stream()
        follower = await Follower(stream, "api", "log:7").begin()
        other = await Follower(stream, "engine").begin()
        for number in range(3):
            stream.send("api", gone(number))
        stream.send("engine", EngineUpdated(engine="docker", available=True, detail=""))
        stream.send("log:7", gone(7))
        stream.send("log:8", gone(8))
        assert await follower.names() == ["api-0", "api-1", "api-2", "api-7"]
        assert await other.names() == ["engine"]
        await follower.leave()
        await other.leave()

    async def test_a_resync_reaches_everybody(self) -> None:
        stream = Stream()
        followers = [await Follower(stream, channel).begin() for channel in ("api", "log:1")]
        stream.send("resync", Resync())
        for follower in followers:
            assert await follower.names() == ["resync"]
            await follower.leave()

    async def test_keeps_a_quiet_connection_alive(self) -> None:
        follower = await Follower(Stream(keep_alive_s=0.01), "api").begin()
        assert await follower.more() == []
        assert follower.raw.endswith(b": keep-alive\n\n")
        await follower.leave()

    async def test_a_slow_reader_is_told_to_read_anew_and_goes_on(self) -> None:
        stream = Stream(kept_events=5)
        follower = await Follower(stream, "api").begin()
        for number in range(12):
            stream.send("api", gone(number))
        assert (await follower.names())[0] == "resync"
        stream.send("api", gone(99))
        assert await follower.names() == ["api-99"]
        await follower.leave()

    async def test_close_ends_every_stream_and_refuses_new_ones(self) -> None:
        stream = Stream()
        follower = await Follower(stream, "api").begin()
        waiting = asyncio.create_task(follower.more())
        await asyncio.sleep(0)
        stream.close()
        stream.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        with pytest.raises(StopAsyncIteration):
            await Follower(stream, "api").more()


class TestResume:
    async def test_brings_exactly_what_was_missed(self) -> None:
        stream = Stream()
        first = await Follower(stream, "api").begin()
        stream.send("api", gone(1))
        assert await first.names() == ["api-1"]
        last_id = await first.leave()
        stream.send("api", gone(2))
        stream.send("engine", EngineUpdated(engine="docker", available=True, detail=""))
        stream.send("api", gone(3))
        second = Follower(stream, "api", resume=last_id)
        names = [name for _ in range(3) for name in await second.names()]
        stream.send("api", gone(4))
        assert names + await second.names() == ["api-2", "api-3", "api-4"]
        await second.leave()

    async def test_works_before_the_first_event_and_when_nothing_was_missed(self) -> None:
        stream = Stream()
        last_id = await (await Follower(stream, "api").begin()).leave()
        assert last_id
        second = await Follower(stream, "api", resume=last_id).begin()
        assert await second.leave() == last_id
        stream.send("api", gone(1))
        third = await Follower(stream, "api", resume=last_id).begin()
        assert await third.names() == ["api-1"]
        await third.leave()

    async def test_an_interruption_within_a_replay_repeats_nothing_and_skips_nothing(self) -> None:
        stream = Stream()
        last_id = await (await Follower(stream, "api").begin()).leave()
        for number in range(3):
            stream.send("api", gone(number))
        seen: list[str] = []
        for _ in range(3):
            follower = await Follower(stream, "api", resume=last_id).begin()
            seen += await follower.names()
            last_id = await follower.leave()
        assert seen == ["api-0", "api-1", "api-2"]

    async def test_what_fell_out_of_the_ring_is_a_resync(self) -> None:
        stream = Stream(kept_events=3)
        last_id = await (await Follower(stream, "api").begin()).leave()
        for number in range(4):
            stream.send("api", gone(number))
        follower = Follower(stream, "api", resume=last_id)
        assert await follower.names() == ["resync"]
        last_id = await follower.leave()
        stream.send("api", gone(9))
        again = await Follower(stream, "api", resume=last_id).begin()
        assert await again.names() == ["api-9"]
        await again.leave()

    @pytest.mark.parametrize(
        "last_id", ["", "7", "deadbeef-0", "-", "-1", "x" * 10_000, "EPOCH-", "EPOCH-99", "EPOCH--1", "EPOCH-٣"]
    )
    async def test_an_id_of_another_server_or_of_nobody_is_a_resync(self, last_id: str) -> None:
        stream = Stream()
        own = await (await Follower(stream, "api").begin()).leave()
        follower = Follower(stream, "api", resume=last_id.replace("EPOCH", own.split("-")[0]))
        assert await follower.names() == ["resync"]
        await follower.leave()

    async def test_a_channel_that_nobody_recorded_meanwhile_is_a_resync(self) -> None:
        clock = Clock()
        stream = Stream(clock=clock)
        last_id = await (await Follower(stream, "log:1").begin()).leave()
        clock.now_s += LINGER_S + 1
        stream.send("log:1", gone(1))  # nobody wants it any more
        newcomer = await Follower(stream, "log:1").begin()
        follower = Follower(stream, "log:1", resume=last_id)
        assert await follower.names() == ["resync"]
        await newcomer.leave()
        await follower.leave()

    async def test_memory_is_bounded_in_bytes_too(self) -> None:
        stream = Stream()
        last_id = await (await Follower(stream, "api").begin()).leave()
        for _ in range(3):
            stream.send("api", ApiGone(id="1", name="x" * (KEPT_BYTES // 2)))
        follower = Follower(stream, "api", resume=last_id)
        assert await follower.names() == ["resync"]
        await follower.leave()


class TestWanted:
    async def test_is_what_is_followed_or_was_lately(self) -> None:
        clock = Clock()
        stream = Stream(clock=clock)
        assert not stream.wanted("api")
        one = await Follower(stream, "api").begin()
        other = await Follower(stream, "api").begin()
        await one.leave()
        clock.now_s += LINGER_S * 2
        assert stream.wanted("api")
        assert not stream.wanted("log:1")
        await other.leave()
        assert stream.wanted("api")
        clock.now_s += LINGER_S + 1
        assert not stream.wanted("api")
