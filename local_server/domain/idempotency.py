"""Requests that may be sent twice and count once (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from local_server.domain.market_errors import IdempotencyKeyRefused

KEPT_FOR = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,100}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the first of them was answered with. Never holds a secret."""

    status: int
    response: Mapping[str, Any]


def check_key(key: str) -> str:
    """Raises IdempotencyKeyRefused."""
    if not _KEY.fullmatch(key):
        raise IdempotencyKeyRefused(key)
    return key


def request_hash(act: str, body: Mapping[str, Any]) -> str:
    """Two requests with the same are the same request."""
    written = json.dumps([act, body], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(written.encode()).hexdigest()
