"""Server-Sent Events, decoded from bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from collections.abc import Iterator
from typing import NamedTuple

MAX_EVENT_BYTES = 16 * 1024 * 1024
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0


class Received(NamedTuple):
    topic: str
    data: str
    id: str
    """The last id seen, of this event or an earlier one: what a reconnection sends as `Last-Event-ID`."""


class TooLarge(ValueError):
    """One event exceeds MAX_EVENT_BYTES: the peer is not the server of this contract."""


class Decoder:
    """Feed it chunks in order; it yields whole events. Lines end with LF or CRLF, and with nothing else: JSON may hold
    U+2028 and U+0085, at which `str.splitlines` would cut an event in two."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._tail = b""
        self._topic = ""
        self._data: list[str] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Received]:
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r")
            self._data_bytes += len(line)
            if self._data_bytes > MAX_EVENT_BYTES:
                raise TooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")
            if line:
                self._field(line.decode("utf-8", "replace"))
            elif event := self._dispatch():
                yield event
        if len(self._tail) > MAX_EVENT_BYTES:
            raise TooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._topic = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value

    def _dispatch(self) -> Received | None:
        topic, data = self._topic or "message", "\n".join(self._data)
        had_data = bool(self._data)
        self._topic, self._data, self._data_bytes = "", [], 0
        return Received(topic, data, self.last_id) if had_data or topic == "resync" else None


def next_wait_s(wait_s: float) -> float:
    """How long to wait before connecting again, after having waited `wait_s`."""
    return min(max(wait_s * 2, FIRST_WAIT_S), LONGEST_WAIT_S)
