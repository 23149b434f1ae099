"""Where the data directory is, which server to talk to, and with which token. Reads two small files at most."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

DEFAULT_PORT = 8080


class Endpoint(NamedTuple):
    url: str
    token: str
    home: Path
    chosen: bool
    """The user named the URL (APIMARKET_URL): no server is started in its place."""
    pid: int | None
    """Of the server that wrote `server.json`, when it is alive."""


def home() -> Path:
    """The data directory: APIMARKET_HOME, else the platform's user data directory. It may not exist yet."""
    if given := os.environ.get("APIMARKET_HOME", "").strip():
        return Path(given).expanduser().absolute()
    if sys.platform == "linux":
        # What platformdirs answers here, without the 15 ms of importing it; a test compares the two.
        base = os.environ.get("XDG_DATA_HOME", "").strip()
        return Path(base if os.path.isabs(base) else Path.home() / ".local/share") / "apimarket"
    from platformdirs import user_data_path

    return user_data_path("apimarket", appauthor=False)


def find(data_directory: Path | None = None) -> Endpoint:
    """The server to talk to; whether it answers is not asked. Where its process is gone (`pid` None, `chosen` False)
    the token is left out: another user's program may listen there by now."""
    directory = data_directory or home()
    written = _server_file(directory)
    pid = written.get("pid")
    living = pid if isinstance(pid, int) and alive(pid) else None
    chosen = os.environ.get("APIMARKET_URL", "").strip()
    url = chosen or str(written.get("url") or _default_url())
    token = os.environ.get("APIMARKET_TOKEN", "").strip()
    if not token and (chosen or living is not None):
        token = _token(directory, url)
    return Endpoint(url.rstrip("/"), token, directory, bool(chosen), living)


def alive(pid: int) -> bool:
    """Whether a process with this id runs. One that has ended and was not reaped yet does not count, be it a child of
    ours or of the terminal UI that started it; it is not reaped here."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        from psutil import pid_exists

        return pid_exists(pid)
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return False
    with contextlib.suppress(OSError):  # where there is no /proc, the signal decides
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _default_url() -> str:
    """Where one that is started here will listen, as long as nobody says otherwise on its command line."""
    port = os.environ.get("APIMARKET_PORT", "").strip().lstrip("0")
    return f"http://127.0.0.1:{port if port.isdecimal() else DEFAULT_PORT}"


def _server_file(directory: Path) -> dict[str, object]:
    try:
        written = json.loads((directory / "server.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def _token(directory: Path, url: str) -> str:
    """The local bearer token, for servers on this machine only: it is never sent to another one."""
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    if host not in ("127.0.0.1", "::1", "localhost") and not host.endswith(".localhost"):
        return ""
    try:
        return (directory / "token").read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""
