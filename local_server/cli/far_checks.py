"""`doctor --remote`: the way to another server, step by step. Where one step fails the later ones are not asked."""

import http.client
import json
import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from local_server.client.documents import CheckDocument

PATIENCE_S = 10
MOST_BYTES = 1024 * 1024
EXPIRES_SOON_S = 14 * 86_400
CLOCKS_APART_S = 60
"""Sessions and signatures carry times; the server allows about a minute."""
API = "1"


class _Answer(NamedTuple):
    status: int
    date: str
    body: Any
    """JSON, or None."""
    certificate: dict[str, Any]


def checks_of(url: str, token: str, version: str) -> list[CheckDocument]:
    """Of the server at `url` (https, or on this machine), with the session there is for it or ''. `version` is ours."""
    checks: list[CheckDocument] = []
    began = time.monotonic()
    try:
        health = _get(url, "/health", "")
    except ssl.SSLCertVerificationError as error:
        fix = "Is it the right name? A company's own authority is named with SSL_CERT_FILE=FILE"
        return [_check("tls", "failed", f"its certificate is not accepted: {error.verify_message}", fix)]
    except ssl.SSLError as error:
        return [_check("tls", "failed", f"it does not speak TLS as we do: {error.reason}", "Is the port right?")]
    except (OSError, http.client.HTTPException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return [
            _check("server", "failed", f"{url} does not answer: {reason}", "Is the address right, and the network up?")
        ]
    took_ms = (time.monotonic() - began) * 1000
    checks.append(_reachable(url, health, took_ms))
    if urlsplit(url).scheme == "https":
        checks.append(_tls(health.certificate))
    checks.append(_clock(health.date))
    if checks[0]["status"] == "ok":
        checks += _compatible(health.body, version)
        checks += _session(url, token)
    return checks


def _reachable(url: str, answer: _Answer, took_ms: float) -> CheckDocument:
    if answer.status == 200 and isinstance(answer.body, dict) and answer.body.get("status") == "ok":
        told = f"{url} answered in {took_ms:.0f} ms: {answer.body.get('profile')}, {answer.body.get('storage')}"
        return _check("server", "ok", told)
    fix = "Is the address that of an apimarket server, without a path behind it?"
    return _check(
        "server", "failed", f"{url}/health answered {answer.status}, and not as an apimarket server does", fix
    )


def _tls(certificate: dict[str, Any]) -> CheckDocument:
    left_s = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    until = f"its certificate is valid until {certificate['notAfter']}"
    if left_s < EXPIRES_SOON_S:
        return _check("tls", "warning", until, "Whoever runs the server should renew it")
    return _check("tls", "ok", until)


def _clock(date: str) -> CheckDocument:
    try:
        apart_s = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return _check("clock", "warning", "the server does not tell the time", "")
    if abs(apart_s) > CLOCKS_APART_S:
        way = "behind" if apart_s > 0 else "ahead of"
        detail = (
            f"this machine's clock is {abs(apart_s):.0f} s {way} the server's; sessions and signatures may be refused"
        )
        return _check("clock", "failed", detail, "Set the clock: sudo timedatectl set-ntp true")
    return _check("clock", "ok", f"within {max(abs(apart_s), 1):.0f} s of the server's")


def _compatible(health: dict[str, Any], version: str) -> list[CheckDocument]:
    theirs = str(health.get("version", ""))
    if theirs.split(".")[0] != version.split(".")[0]:
        fix = "pip install --upgrade apimarket, or ask whoever runs the server to"
        return [_check("version", "failed", f"the server is {theirs}, this is {version}", fix)]
    if theirs.split(".")[:2] != version.split(".")[:2]:
        return [_check("version", "warning", f"the server is {theirs}, this is {version}; what both know works")]
    return [_check("version", "ok", f"the server is {theirs}, this is {version}")]


def _session(url: str, token: str) -> list[CheckDocument]:
    login = f"apimarket login HANDLE --remote {url}"
    if not token:
        return [_check("login", "warning", "you are not logged in there", login)]
    try:
        answer = _get(url, "/api/v1/sync", token)
    except (OSError, http.client.HTTPException) as error:
        return [_check("login", "failed", f"it broke off: {error}", "Try again.")]
    if answer.status in (401, 403):
        return [_check("login", "failed", "your session there is over", login)]
    if answer.status != 200 or not isinstance(answer.body, dict):
        return [_check("marketplace", "warning", f"it takes nothing that is published ({answer.status})")]
    found = [_check("login", "ok", f"you are {answer.body.get('account')} there")]
    if answer.body.get("api") != API:
        detail = f"it speaks version {answer.body.get('api')} of publishing, this is {API}"
        return [*found, _check("marketplace", "failed", detail, "pip install --upgrade apimarket")]
    return [*found, _check("marketplace", "ok", f"its id is {answer.body.get('marketplace_id')}")]


def _get(url: str, path: str, token: str) -> _Answer:
    """Raises OSError (of TLS too) and HTTPException."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=PATIENCE_S, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        certificate = connection.sock.getpeercert() if isinstance(connection.sock, ssl.SSLSocket) else None
        response = connection.getresponse()
        content = response.read(MOST_BYTES)
    except socket.gaierror as error:
        raise OSError(error.errno, f"there is no {parts.hostname}") from error
    finally:
        connection.close()
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    return _Answer(response.status, response.getheader("Date", ""), body, dict(certificate or {}))


def _check(name: str, status: Any, detail: str, fix: str = "") -> CheckDocument:
    return {"name": name, "status": status, "detail": detail, "fix": fix}
