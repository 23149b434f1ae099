"""Which request is being worked on, for the lines of the server's log. Every request is a task of its own, and so has a
context of its own; what it starts beside has a copy."""

from contextvars import ContextVar
from typing import NamedTuple


class Current(NamedTuple):
    request_id: str = ""
    trace_id: str = ""
    """Of the W3C trace it is part of, if it is part of one."""


current: ContextVar[Current] = ContextVar("current", default=Current())  # noqa: B039 - a NamedTuple cannot be changed
