"""The calls that were made from the Try-it console: `calls.json` in the data directory, for its owner's eyes.

Secrets are not kept: what a header, a query or a body has that looks like one is written as `[redacted]`.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TypedDict, cast

from local_server.domain.redaction import HIDDEN, redact_header, redact_query, redact_text

__all__ = ["HIDDEN", "MOST", "KeptCall", "add", "read"]

MOST = 200
LARGEST_BODY = 64 * 1024
"""Characters; of a longer body the beginning is kept."""
NAME = "calls.json"


class KeptCall(TypedDict):
    at: str
    """ISO 8601."""
    method: str
    url: str
    headers: list[list[str]]
    """Pairs of name and value."""
    body: str
    status: int | None
    """None: no answer came."""
    elapsed_ms: float
    bytes: int
    """Of the answer, which itself is not kept."""


def read(directory: Path) -> list[KeptCall]:
    """Newest first; none where nothing is kept, or it cannot be read."""
    try:
        kept = json.loads((directory / NAME).read_bytes())
    except (OSError, ValueError):
        return []
    return [cast("KeptCall", one) for one in kept if _is_call(one)] if isinstance(kept, list) else []


def add(directory: Path, call: KeptCall) -> None:
    """Keep one more without its secrets; the oldest beyond the limit go. Raises OSError."""
    kept = [_without_secrets(call), *read(directory)][:MOST]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = directory / f".{NAME}.{os.getpid()}"
    with suppress(FileNotFoundError):
        unfinished.unlink()
    # Never readable by others, not even for a moment.
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(kept, file, ensure_ascii=False)
    unfinished.replace(directory / NAME)


def _without_secrets(call: KeptCall) -> KeptCall:
    media_type = next((value for name, value in call["headers"] if name.lower() == "content-type"), "")
    return {
        **call,
        "url": redact_query(_without_user(call["url"])),
        "headers": [[name, redact_header(name, value)] for name, value in call["headers"]],
        "body": redact_text(call["body"][:LARGEST_BODY], media_type),
    }


def _without_user(url: str) -> str:
    """`http://ana:secret@host/` names a password before its host."""
    scheme, sign, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    return f"{scheme}{sign}{HIDDEN}@{host}{slash}{path}" if at and user else url


def _is_call(found: object) -> bool:
    if not isinstance(found, dict):
        return False
    texts = all(isinstance(found.get(name), str) for name in ("at", "method", "url", "body"))
    headers = found.get("headers")
    pairs = isinstance(headers, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in headers
    )
    numbers = all(isinstance(found.get(name), int | float) for name in ("elapsed_ms", "bytes"))
    return texts and pairs and numbers and isinstance(found.get("status"), int | None)
