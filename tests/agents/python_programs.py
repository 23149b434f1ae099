"""Small Python APIs, and the ways tests start them and look at their processes."""

import os
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

from tests.agents.driver import AgentProcess, Message, eventually

ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan here")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"VERSION"})
"""
SITE_PACKAGES = Path(sysconfig.get_paths()["purelib"])
"""Stands for a dependency layer: it has FastAPI, and needs no network."""


def asgi(version: str) -> dict[str, str]:
    return {"main.py": ASGI.replace("VERSION", version)}


def function(body: str, argument: str = "request") -> dict[str, str]:
    return {"main.py": f"def handler({argument}):\n" + textwrap.indent(textwrap.dedent(body), "    ")}


def serve(agent: AgentProcess, gen: int, directory: Path, entry: str = "main:app", **fields: Any) -> int:
    """Start a generation that must become ready; answers its port."""
    agent.start(gen, directory, entry=entry, **fields)
    message = agent.expect_either("ready", "failed", gen=gen)
    assert message["t"] == "ready", message
    port: int = message["port"]
    return port


def failure(agent: AgentProcess, gen: int, directory: Path, entry: str | None = "main:app", **fields: Any) -> Message:
    """Start a generation that must fail; answers what is said of it."""
    agent.start(gen, directory, entry=entry, **fields)
    message = agent.expect_either("ready", "failed", gen=gen)
    assert message["t"] == "failed", message
    return message


def template_pid(agent: AgentProcess) -> int:
    """The template process; waits for one to be there."""
    found: list[int] = []

    def look() -> list[int]:
        # A generation has the template's command line too, but is in the template's session.
        found[:] = [pid for pid in _children(agent.pid) if _session(pid) == pid and b"--template" in _command(pid)]
        return found

    eventually(look)
    return found[0]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def _children(pid: int) -> list[int]:
    return [int(place.parent.name) for place in Path("/proc").glob("[0-9]*/stat") if _parent(place) == pid]


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def descendants(pid: int) -> list[int]:
    children = _children(pid)
    return children + [found for child in children for found in descendants(child)]
