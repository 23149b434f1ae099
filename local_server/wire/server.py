"""The server about itself."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """GET /health, open to anyone on this machine."""

    status: str
    version: str
    profile: str
    engine: str
    """docker, process or none"""
    storage: str


class Ready(BaseModel):
    """GET /ready, open to anyone on this machine."""

    ready: bool
    engine: str
    """What the engine says of itself, or why it does not answer."""


class ServerView(BaseModel):
    """GET /api/v1/server"""

    version: str
    profile: str
    pid: int
    url: str
    home: str
    owner: str
    engine: str
    engine_available: bool
    engine_detail: str
    isolated: bool
    storage: str
    uptime_s: float
    memory_bytes: int
    loop_stalls: int
    """Times the event loop stood still for more than 50 ms since the start."""
    executions_dropped: int


class Check(BaseModel):
    """One line of `apimarket doctor`."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    fix: str = ""
    """The command, or the act, that mends it."""


class Ack(BaseModel):
    """The answer of an act that goes on in the background."""

    accepted: bool = True
    detail: str = ""
