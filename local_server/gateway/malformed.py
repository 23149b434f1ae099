"""What is wrong with a request that cannot be read, in words: what the parser found, and what its first line asks for
that is not done here.

llhttp gives its reasons as texts. A test sends each mistake and reads the answer, so that a new version of it that
says something else is found out; what is not in the table is quoted as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httptools

from local_server.domain.gateway_errors import MalformedRequest, MethodUnknown, VersionNotSpoken

if TYPE_CHECKING:
    from local_server.domain.errors import ApimarketError
    from local_server.gateway.asgi_types import RawHeaders

_LENGTH = "has a Content-Length that is not a number written in digits alone"
_WORDS = {
    "Expected CRLF after version": "has a first line that does not end with CR LF right after its version",
    "Missing expected CR after header value": "has a header line that ends with a bare line feed; lines end with CR LF",
    "Missing expected LF after header value": "has a carriage return within a header; lines end with CR LF",
    "Unexpected whitespace after header value": "has a header line that begins with a blank; a value is one line",
    "Invalid header token": "has a header whose name holds a character, or a blank, that names may not have",
    "Invalid header value char": "has a control character in the value of a header",
    "Transfer-Encoding can't be present with Content-Length": "has both Content-Length and Transfer-Encoding",
    "Content-Length can't be present with Transfer-Encoding": "has both Content-Length and Transfer-Encoding",
    "Duplicate Content-Length": "has more than one Content-Length",
    "Invalid character in Content-Length": _LENGTH,
    "Empty Content-Length": _LENGTH,
    "Content-Length overflow": "has a Content-Length beyond any number that is counted in",
    "Invalid `Transfer-Encoding` header value": "has a Transfer-Encoding that goes on after 'chunked'",
    "Request has invalid `Transfer-Encoding`": "has a Transfer-Encoding other than 'chunked'",
    "Invalid character in chunk size": "has a chunk whose size is not a hexadecimal number",
    "Chunk size overflow": "has a chunk whose size is beyond any number that is counted in",
    "Missing expected CR after chunk size": "has a chunk whose size ends with a bare line feed; lines end with CR LF",
    "Expected LF after chunk size": "has a carriage return behind the size of a chunk; lines end with CR LF",
    "Expected LF after chunk data": "has a chunk that does not end where its size says",
    "Missing expected CR after chunk data": "has a chunk that does not end where its size says",
    "Expected HTTP/, RTSP/ or ICE/": "has a first line that is not METHOD, TARGET and HTTP/1.1 with one blank between",
    "Expected dot": "names its version otherwise than HTTP/1.1 is written",
    "Invalid major version": "names its version otherwise than HTTP/1.1 is written",
    "Invalid minor version": "names its version otherwise than HTTP/1.1 is written",
}
_TARGET = "has a target with a character that must be percent-encoded there, or that is no path and no address"
_EXTENSION = "has a chunk with an extension that is not NAME or NAME=VALUE"
_NOT_SPOKEN = {"Invalid HTTP version", "Pause on PRI/Upgrade"}
_METHOD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}) ")
_VERSION = re.compile(rb" HTTP/([0-9]\.[0-9])\r?\n")
_AUTHORITY = re.compile(rb"(https?)://([^/?#]*)", re.IGNORECASE)
_PORTS = {b"http": b":80", b"https": b":443"}


def parser_refusal(error: BaseException | None, data: bytes) -> ApimarketError:
    """Of what the parser raised. `data` is what it was given, if it began with the first line; else empty."""
    reason = str(error)
    if reason in _NOT_SPOKEN:
        version = _VERSION.search(data[:8192])
        return VersionNotSpoken(version[1].decode() if version else "")
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return _no_method(data)
    if isinstance(error, httptools.HttpParserInvalidURLError):
        return MalformedRequest(_TARGET)
    if reason.startswith("Invalid character in chunk extensions"):
        return MalformedRequest(_EXTENSION)
    return MalformedRequest(_WORDS.get(reason) or f"is not valid HTTP/1.1 ({reason[:100]})")


def line_refusal(method: bytes, target: bytes, version: str, headers: RawHeaders) -> ApimarketError | None:
    """Why the first line of a request that could be read is not obeyed, if it is not."""
    if version not in ("1.1", "1.0"):
        return VersionNotSpoken(version)
    if method == b"CONNECT":
        return MethodUnknown("CONNECT", "No tunnels begin here: this server is no proxy.")
    if target.startswith(b"/"):
        return None
    if target == b"*":
        return None if method == b"OPTIONS" else MalformedRequest("has the target '*', which OPTIONS alone may have")
    return _absolute_refusal(target, headers)


def _absolute_refusal(target: bytes, headers: RawHeaders) -> MalformedRequest | None:
    """RFC 9112, 3.2.2: the target's host goes before the header. Where both say the same there is nothing to decide;
    what they differ in may have been checked by the other one."""
    parts = _AUTHORITY.match(target)
    if parts is None:
        return MalformedRequest("has a target that is neither a path nor an http:// address")
    scheme, named = parts[1].lower(), parts[2].lower()
    hosts = [value.strip().lower() for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0].removesuffix(_PORTS[scheme]) == named.removesuffix(_PORTS[scheme]):
        return None  # not exactly one Host: `Edge` refuses it
    said = [each.decode("latin-1")[:100] for each in (named, hosts[0])]
    return MalformedRequest(f"is for {said[0]!r} by its target, and for {said[1]!r} by its Host header")


def _no_method(data: bytes) -> ApimarketError:
    if data.startswith(b"\x16\x03"):  # the beginning of a TLS handshake
        return MalformedRequest("begins as HTTPS does, and this port speaks HTTP", "Use http:// in place of https://.")
    method = _METHOD.match(data)
    if method is None or not _VERSION.search(data[:8192]):
        return MalformedRequest("does not begin with a method, as GET, and a blank")
    name = method[1].decode()
    hint = f"Methods are in capitals: {name.upper()}" if name != name.upper() else "Use one of those in RFC 9110."
    return MethodUnknown(name, hint)
