"""The server's own log: what its lines look like, and what never stands in them.

A line begins where the server begins one: whatever a caller put into a path or a header stays within its line, and
controls no terminal. API keys, tokens and what else looks like a secret are hidden; bodies are never logged.
"""

import json
import logging
import re
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal, TextIO

from local_server.domain.redaction import HIDDEN, redact_text
from local_server.gateway.current import current

LogFormat = Literal["text", "json"]
MOST_CHARS = 16_384
"""Of a message, and of an error; what is longer is cut off, at the end that tells less."""
_NOISY = ("uvicorn.error", "watchfiles", "httpx2", "httpcore2", "urllib3", "docker")
# All that ends a line for some reader, or means something to a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def configure(form: LogFormat, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Log to standard error from now on, in place of whatever was set up before. `secrets` are hidden wherever they
    stand."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(secrets) if form == "json" else TextLines(secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Lines(logging.Formatter):
    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if secret]

    def said(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the arguments do not fit: better half a line than none
            message = f"{record.msg} {record.args!r}"
        return self._safe(message[:MOST_CHARS])

    def failed(self, record: logging.LogRecord) -> str:
        """The traceback, if there is one."""
        if not record.exc_info or record.exc_info[0] is None:
            return ""
        return self._safe(self.formatException(record.exc_info)[-MOST_CHARS:])

    def _safe(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return redact_text(text, "application/json")


class TextLines(_Lines):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        request_id = current.get().request_id
        about = f" [{request_id}]" if request_id else ""
        line = f"{at:%Y-%m-%d %H:%M:%S},{record.msecs:03.0f} {record.levelname} {record.name}{about}: "
        error = "".join(f"\n    {_escaped(each)}" for each in self.failed(record).splitlines())
        return line + _escaped(self.said(record)) + error


class JsonLines(_Lines):
    """One JSON object a line, of ASCII alone: time (RFC 3339, UTC), level, logger, message; where they apply also
    request_id, trace_id, and error with its type, message and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        now = current.get()
        at = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.said(record),
        }
        if now.request_id:
            fields["request_id"] = now.request_id
        if now.trace_id:
            fields["trace_id"] = now.trace_id
        if record.exc_info and record.exc_info[1] is not None:
            kind, error = type(record.exc_info[1]), record.exc_info[1]
            fields["error"] = {
                "type": f"{kind.__module__}.{kind.__qualname__}",
                "message": self._safe(str(error)[:MOST_CHARS]),
                "traceback": self.failed(record),
            }
        return json.dumps(fields)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
