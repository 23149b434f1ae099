"""How dependencies are installed: pip into a virtual environment, npm into node_modules."""

import re
from collections.abc import Mapping

from local_server.domain.manifest import Runtime
from local_server.executor.layers.installer import Places, Steps

_PIP = ("install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-warn-script-location")
_NPM = ("--omit=dev", "--no-fund", "--no-audit", "--no-progress", "--loglevel=http", "--no-update-notifier")

_IMPORTANT = (
    re.compile(r"(No matching distribution found for .+)"),
    re.compile(r"npm (?:ERR!|error)\s+(?:notarget )?(No matching version found for \S+)"),
    re.compile(r"npm (?:ERR!|error) 404\s+('[^']+' is not in this registry)"),
    re.compile(r"npm (?:ERR!|error) 404\s+(Not Found - .+)"),
    re.compile(r"(Cannot install .+ because these package versions have conflicting dependencies)"),
    re.compile(r"(THESE PACKAGES DO NOT MATCH THE HASHES.*)"),
    re.compile(r"(Failed building wheel for .+)"),
    re.compile(r"(Failed to build installable wheels .+)"),
    re.compile(r"(Invalid requirement: .+)"),
    re.compile(r"((?:Connection broken|Max retries exceeded|Could not fetch URL).+)"),
    re.compile(r"ERROR: (?!Could not find a version)(.+)"),
    re.compile(r"npm (?:ERR!|error) (?!code|A complete log|errno|syscall|path)(\S.+)"),
)
_FULL = re.compile(r"No space left on device|ENOSPC")
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_SHOWN = re.compile(r"^(?:Collecting|Downloading|Using cached|Building wheel|Installing|Successfully)\b[^\n]*")
_FETCHED = re.compile(r"^npm http (?:fetch|cache) (?:GET \d+ )?(\S+)")


def install_steps(runtime: Runtime, places: Places, program: str, installer: tuple[str, ...], *, locked: bool) -> Steps:
    """`program` is the interpreter, `installer` pip or npm as a command. `locked`: package-lock.json is among the
    files."""
    if runtime is Runtime.PYTHON:
        return _pip_steps(places, program, installer)
    return _npm_steps(places, installer, locked)


def _pip_steps(places: Places, python: str, pip: tuple[str, ...]) -> Steps:
    # The environment has no pip of its own: the interpreter's installs into it, and 10 MB less lie in every layer.
    return Steps(
        (
            (python, "-m", "venv", "--without-pip", places.layer),
            (*pip, "--python", places.layer, *_PIP, "-r", f"{places.source}/requirements.txt"),
        ),
        {"PIP_CACHE_DIR": f"{places.cache}/pip", "PYTHONUNBUFFERED": "1"},
        places.source,
    )


def _npm_steps(places: Places, npm: tuple[str, ...], locked: bool) -> Steps:
    verb = ("ci",) if locked else ("install", "--no-package-lock")
    return Steps(
        ((*npm, *verb, *_NPM),),
        {"npm_config_cache": f"{places.cache}/npm", "npm_config_logs_max": "0"},
        places.layer,
    )


def shown_line(line: str) -> str:
    """A line of an installer as progress for people; empty when it is not worth a look."""
    text = redact(line.strip())
    if fetched := _FETCHED.match(text):
        return f"fetching {fetched[1].rsplit('/', 1)[-1]}"
    return text.split(" (from ")[0] if _SHOWN.match(text) else ""


def reason(log: list[str]) -> str:
    """The one line of a failed installation that matters."""
    for pattern in _IMPORTANT:
        for line in log:
            if found := pattern.search(line):
                return redact(found[1].strip())
    return redact(next((line.strip() for line in reversed(log) if line.strip()), "the installer said nothing"))


def is_disk_full(log: list[str]) -> bool:
    return any(_FULL.search(line) for line in log)


def redact(text: str) -> str:
    """Without the user names and passwords in addresses."""
    return _CREDENTIALS.sub("//***@", text)


def without(environment: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    """The environment without the names that begin with one of these."""
    return {name: value for name, value in environment.items() if not name.startswith(prefixes)}
