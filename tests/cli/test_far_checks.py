"""`doctor --remote`, against servers of every kind."""

import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local_server import __version__
from local_server.cli.far_checks import checks_of
from local_server.client.documents import CheckDocument

HEALTH = {"status": "ok", "version": __version__, "profile": "hosted", "engine": "docker", "storage": "postgresql 18.4"}
INFO = {"api": "1", "marketplace_id": "m1", "account": "ana"}


@contextmanager
def serving(
    answers: dict[str, tuple[int, Any]], *, apart: timedelta = timedelta(), tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that gives these answers, and tells a time that far from ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, "no"))
            if self.path != "/health" and self.headers["Authorization"] != "Bearer right":
                status, body = 401, {"code": "session_invalid"}
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + apart, usegmt=True))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def by_name(checks: list[CheckDocument]) -> dict[str, CheckDocument]:
    return {check["name"]: check for check in checks}


class TestChecks:
    def test_all_is_well(self) -> None:
        with serving({"/health": (200, HEALTH), "/api/v1/sync": (200, INFO)}) as url:
            checks = checks_of(url, "right", __version__)
        assert [check["status"] for check in checks] == ["ok"] * 5
        found = by_name(checks)
        assert "m1" in found["marketplace"]["detail"]
        assert "ana" in found["login"]["detail"]

    @pytest.mark.parametrize(("token", "status"), [("", "warning"), ("wrong", "failed")])
    def test_who_is_not_logged_in_is_told_how(self, token: str, status: str) -> None:
        with serving({"/health": (200, HEALTH)}) as url:
            login = by_name(checks_of(url, token, __version__))["login"]
        assert login["status"] == status
        assert login["fix"] == f"apimarket login HANDLE --remote {url}"

    @pytest.mark.parametrize(("hours", "way"), [(1, "behind"), (-1, "ahead of"), (24 * 365, "behind")])
    def test_a_clock_that_is_wrong(self, hours: int, way: str) -> None:
        with serving({"/health": (200, HEALTH)}, apart=timedelta(hours=hours)) as url:
            clock = by_name(checks_of(url, "", __version__))["clock"]
        assert clock["status"] == "failed"
        assert way in clock["detail"]

    @pytest.mark.parametrize(
        ("theirs", "status"), [("0.1.9", "ok"), ("0.2.0", "warning"), ("1.0.0", "failed"), ("", "failed")]
    )
    def test_versions(self, theirs: str, status: str) -> None:
        with serving({"/health": (200, HEALTH | {"version": theirs})}) as url:
            assert by_name(checks_of(url, "", "0.1.0"))["version"]["status"] == status

    @pytest.mark.parametrize("answer", [(200, "hello"), (404, "no"), (200, {"status": "ill"}), (200, [1]), (500, "")])
    def test_what_is_no_apimarket_is_asked_nothing_more(self, answer: tuple[int, Any]) -> None:
        with serving({"/health": answer}) as url:
            checks = checks_of(url, "right", __version__)
        assert checks[0]["status"] == "failed"
        assert [check["name"] for check in checks] == ["server", "clock"]

    def test_nobody_there(self) -> None:
        (check,) = checks_of("http://127.0.0.1:1", "", __version__)
        assert (check["name"], check["status"]) == ("server", "failed")

    def test_no_such_name(self) -> None:
        (check,) = checks_of("https://no-such-host.invalid", "", __version__)
        assert "no-such-host.invalid" in check["detail"]

    def test_a_certificate_that_nobody_vouches_for(self, tmp_path: Path) -> None:
        with serving({"/health": (200, HEALTH)}, tls=a_context(tmp_path, 365)) as url:
            (check,) = checks_of(url, "right", __version__)
        assert (check["name"], check["status"]) == ("tls", "failed")

    @pytest.mark.parametrize(("days", "status"), [(365, "ok"), (3, "warning")])
    def test_one_that_somebody_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, status: str
    ) -> None:
        with serving({"/health": (200, HEALTH)}, tls=a_context(tmp_path, days)) as url:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
            checks = by_name(checks_of(url, "", __version__))
        assert checks["tls"]["status"] == status
        assert checks["server"]["status"] == "ok"

    def test_http_where_https_was_asked_for(self) -> None:
        with serving({"/health": (200, HEALTH)}) as url:
            (check,) = checks_of(url.replace("http:", "https:"), "", __version__)
        assert (check["name"], check["status"]) == ("tls", "failed")


def a_context(directory: Path, days: int) -> ssl.SSLContext:
    """With a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    return context
