"""The answer of a user's API, as it came."""

from typing import NamedTuple

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A larger answer is refused: it would fill a terminal's memory; curl streams it."""


class CallResult(NamedTuple):
    status: int
    reason: str
    headers: list[tuple[str, str]]
    """In the order and spelling they came in; a name may repeat."""
    body: bytes
    elapsed_ms: float
    """From sending to the last byte."""
