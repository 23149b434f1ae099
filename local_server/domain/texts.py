"""What can be read of a body that passed through the gateway as it was: unpacked, and decoded where it is text."""

import codecs
import zlib

from local_server.domain.exchanges import BODY_BYTES, Body, Headers, header

MOST_UNPACKED_BYTES = 4 * BODY_BYTES
"""A few kilobytes can be packed gigabytes."""

_ENCODINGS = frozenset(
    {
        "ascii", "big5", "cp1251", "cp1252", "euc-jp", "euc-kr", "gb18030", "gb2312", "gbk", "iso-8859-1",
        "iso-8859-15", "koi8-r", "latin-1", "shift_jis", "us-ascii", "utf-16", "utf-16be", "utf-16le", "utf-8", "utf8",
        "windows-1251", "windows-1252",
    }
)  # fmt: skip
_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
"""How zlib is told the format; some servers send deflate without the wrapping that the name stands for."""
_NEVER_TEXT = ("image/", "audio/", "video/", "font/", "application/zip", "application/gzip", "application/pdf")
_MOSTLY_TEXT = 0.7


def content_coding(headers: Headers) -> str:
    """How a body is packed; empty where it is not."""
    coding = header(headers, "content-encoding").strip().lower()
    return "" if coding == "identity" else coding


def unpacked(body: Body, headers: Headers) -> bytes | None:
    """The body's content, as far as it was kept. None where it is packed in a way that cannot be undone here."""
    coding = content_coding(headers)
    if not coding:
        return body.content
    for window in _WINDOWS.get(coding, ()):
        try:
            return zlib.decompressobj(window).decompress(body.content, MOST_UNPACKED_BYTES)
        except zlib.error:
            continue
    return None


def text_of(body: Body, headers: Headers) -> str | None:
    """The body as text; None where it is none. What was cut off in the middle of a character ends before it."""
    content = unpacked(body, headers)
    if content is None:
        return None
    kind = header(headers, "content-type")
    if kind.strip().lower().startswith(_NEVER_TEXT) and "svg" not in kind:
        return None
    cut = not body.whole or bool(content_coding(headers))
    try:
        text = codecs.getincrementaldecoder(_encoding(kind))("strict").decode(content, not cut)
    except UnicodeDecodeError:
        return None
    readable = sum(char.isprintable() or char in "\n\r\t\x1b" for char in text)
    return text if "\0" not in text and readable >= _MOSTLY_TEXT * len(text) else None


def _encoding(media_type: str) -> str:
    _, _, parameters = media_type.lower().partition("charset=")
    name = parameters.partition(";")[0].strip(" \"'")
    return name if name in _ENCODINGS else "utf-8"
