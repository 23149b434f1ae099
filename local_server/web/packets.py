"""What the page's process and this one say to each other, as Textual's web driver has it.

A packet is a letter (`D`: what a terminal sends or is sent; `M`: JSON about it; `P`: files, which we do not offer),
the length of its payload in four bytes, the highest first, and the payload. Before its first packet the process says
on a line of its own that it is one that talks like this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import StreamReader

_GREETING = b"__GANGLION__\n"
DATA, META = b"D", b"M"


class NotGreeted(Exception):
    """The process ended, or said something else, before it drew anything."""


def data_packet(text: str) -> bytes:
    """Keys, pasted text, and what the mouse did."""
    return _packet(DATA, text.encode(errors="replace"))


def meta_packet(**said: Any) -> bytes:
    return _packet(META, json.dumps(said).encode())


async def read_greeting(stream: StreamReader) -> None:
    """Raises NotGreeted."""
    try:
        if await stream.readline() != _GREETING:
            raise NotGreeted
    except ValueError:  # a line without end
        raise NotGreeted from None


async def read_packet(stream: StreamReader) -> tuple[bytes, bytes]:
    """The next packet's letter and payload. Raises IncompleteReadError at the end."""
    head = await stream.readexactly(5)
    return head[:1], await stream.readexactly(int.from_bytes(head[1:], "big"))


def _packet(kind: bytes, payload: bytes) -> bytes:
    return b"%b%b%b" % (kind, len(payload).to_bytes(4, "big"), payload)
