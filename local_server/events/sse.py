"""Server-Sent Events to any number of followers, which may break off and resume.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

from local_server.events.bus import Lost, Subscription
from local_server.wire.events import Resync, WireEvent

KEEP_ALIVE_S = 15.0
KEPT_EVENTS = 1000
KEPT_BYTES = 8 * 1024 * 1024
RETRY_MS = 1000
LINGER_S = 60.0
EVERYBODY = "resync"
"""The channel that every follower gets."""

_KEEP_ALIVE = b": keep-alive\n\n"


def format_event(topic: str, data: str, event_id: str = "") -> bytes:
    """One event as it is streamed. Raises ValueError if the topic or the id cannot stand on one line."""
    for value in (topic, event_id):
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(f"{value!r} does not fit on a line of an event")
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fields = [f"event: {topic}", *([f"id: {event_id}"] if event_id else []), *(f"data: {line}" for line in lines)]
    return "\n".join([*fields, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class _Sent:
    number: int
    channel: str
    text: bytes


@dataclass(slots=True)
class _Channel:
    """What is known of a channel that somebody follows, or followed lately."""

    recorded_from: int
    """Every event with a higher number was kept, as long as it is in the ring."""
    followers: int = 0
    left_at: float = 0.0


class Stream:
    """`send` events into channels; `follow` some channels. The event names its topic itself; a channel may be finer
    (`log:ID`). Use on one event loop."""

    def __init__(
        self,
        keep_alive_s: float = KEEP_ALIVE_S,
        kept_events: int = KEPT_EVENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_alive_s = keep_alive_s
        self._kept_events = kept_events
        self._clock = clock
        # Numbers begin anew with every start of the server; the epoch tells an id from an earlier one.
        self._epoch = os.urandom(4).hex()
        self._number = 0
        self._ring: deque[_Sent] = deque()
        self._ring_bytes = 0
        self._fell_out = 0
        """The highest number that is not in the ring any more."""
        self._channels: dict[str, _Channel] = {}
        self._followers: dict[Subscription[_Sent], frozenset[str]] = {}
        self._closed = False

    def wanted(self, channel: str) -> bool:
        """Whether sending into it makes sense: somebody follows, or broke off within the last minute and may resume."""
        known = self._channels.get(channel)
        if known is None:
            return False
        if known.followers == 0 and self._clock() - known.left_at > LINGER_S:
            del self._channels[channel]
            return False
        return True

    def send(self, channel: str, event: WireEvent) -> None:
        """To every follower of the channel; costs next to nothing if it is not wanted."""
        if channel != EVERYBODY and not self.wanted(channel):
            return
        self._number += 1
        sent = _Sent(self._number, channel, format_event(event.topic, event.model_dump_json(), self._id()))
        self._keep(sent)
        for follower, channels in self._followers.items():
            if channel == EVERYBODY or channel in channels:
                follower.put(sent)

    async def follow(self, channels: Collection[str], last_event_id: str | None = None) -> AsyncIterator[bytes]:
        """What is sent into `channels` from now on, or after `last_event_id`, as chunks of an event stream. Where
        events are missing (the id is too old, or of an earlier server; the reader is too slow) stands a `resync`."""
        if self._closed:
            return
        wanted = frozenset(channels)
        missed = None if last_event_id is None else self._after(last_event_id, wanted)
        follower: Subscription[_Sent] = Subscription(self._kept_events)
        self._join(follower, wanted)
        try:
            if last_event_id is not None and missed is None:
                yield self._resync(self._id())
            else:
                # An id without data: who breaks off before the first event can resume too.
                yield f"retry: {RETRY_MS}\nid: {self._id(missed[0].number - 1 if missed else None)}\n\n".encode()
            for sent in missed or ():
                yield sent.text
            while (chunk := await self._next(follower)) is not None:
                yield chunk
        finally:
            self._leave(follower)

    def close(self) -> None:
        """End every follower's stream, so that the server can end. May be called twice."""
        self._closed = True
        for follower in self._followers:
            follower.close()

    async def _next(self, follower: Subscription[_Sent]) -> bytes | None:
        try:
            first = await follower.next(self._keep_alive_s)
        except TimeoutError:
            return _KEEP_ALIVE
        if first is None:
            return None
        items = [first, *follower.waiting()]
        return b"".join(self._resync() if isinstance(item, Lost) else item.text for item in items)

    def _after(self, last_event_id: str, channels: frozenset[str]) -> Sequence[_Sent] | None:
        """What was sent into `channels` after that event; None if that is not known in full."""
        epoch, _, text = last_event_id.partition("-")
        if epoch != self._epoch or not (text.isascii() and text.isdecimal()) or len(text) > 18:
            return None
        number = int(text)
        if not self._fell_out <= number <= self._number:
            return None
        for channel in channels:
            # A channel that nobody wanted meanwhile was not recorded.
            if not self.wanted(channel) or self._channels[channel].recorded_from > number:
                return None
        return [sent for sent in self._ring if sent.number > number and sent.channel in channels | {EVERYBODY}]

    def _join(self, follower: Subscription[_Sent], channels: frozenset[str]) -> None:
        self._followers[follower] = channels
        for channel in channels:
            if not self.wanted(channel):
                # A number of its own: ids from before, when nothing was recorded, then stay below it.
                self._number += 1
                self._channels[channel] = _Channel(self._number)
            self._channels[channel].followers += 1

    def _leave(self, follower: Subscription[_Sent]) -> None:
        for channel in self._followers.pop(follower):
            known = self._channels[channel]
            known.followers -= 1
            known.left_at = self._clock()

    def _keep(self, sent: _Sent) -> None:
        self._ring.append(sent)
        self._ring_bytes += len(sent.text)
        while len(self._ring) > self._kept_events or self._ring_bytes > KEPT_BYTES:
            oldest = self._ring.popleft()
            self._ring_bytes -= len(oldest.text)
            self._fell_out = oldest.number

    def _id(self, number: int | None = None) -> str:
        return f"{self._epoch}-{self._number if number is None else number}"

    def _resync(self, event_id: str = "") -> bytes:
        return format_event("resync", Resync().model_dump_json(), event_id)
