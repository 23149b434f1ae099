"""The Date header, formatted once a second."""

import time
from email.utils import formatdate

_second = -1
_text = b""


def http_date() -> bytes:
    """Now, as RFC 9110 (5.6.7) writes it."""
    global _second, _text
    second = int(time.time())
    if second != _second:
        _text = formatdate(second, usegmt=True).encode()
        _second = second
    return _text
