"""Secrets of an API: values that its program sees in its environment, and that nobody is ever shown again.

They are kept encrypted with AES-256-GCM (NIST SP 800-38D) under a key that is not in the database. What is kept names,
as associated data, whose it is and what it is called: a value cannot be moved to another API, or to another name, by
who can write to the database.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, quote_plus

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from local_server.domain.ids import ApiId
from local_server.domain.manifest_values import Wrong, env_name
from local_server.domain.redaction import HIDDEN
from local_server.domain.secret_errors import SecretNameRefused, SecretValueRefused

KEY_BYTES = 32
MAX_VALUE_BYTES = 32 * 1024
"""A program's whole environment has room for some of these on any system."""
MAX_SECRETS = 100
"""Of one API."""
_NONCE_BYTES = 12
_FIRST = b"\x01"
"""How it is sealed, so that another way can be told from it."""
SHORTEST_HIDDEN = 6
"""Characters of a value that is hidden where it is printed: a shorter one stands in half of all lines by chance."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    api_id: ApiId
    name: str
    sealed: bytes
    updated_at: datetime


def check_name(name: str) -> str:
    """Raises SecretNameRefused."""
    try:
        return env_name(name)
    except Wrong as error:
        raise SecretNameRefused(str(error)) from None


def check_value(name: str, value: str) -> str:
    """Raises SecretValueRefused, which says nothing of the value but its length."""
    size = len(value.encode("utf-8", "surrogatepass"))
    if not value:
        raise SecretValueRefused(name, "is empty; allowed: 1 byte and more")
    if size > MAX_VALUE_BYTES:
        raise SecretValueRefused(name, f"has {size:,} bytes; allowed: {MAX_VALUE_BYTES:,}")
    if "\0" in value:
        raise SecretValueRefused(name, "holds the character NUL, which no environment can")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SecretValueRefused(name, "is not valid UTF-8") from None
    return value


class SecretBox:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, api_id: ApiId, name: str, value: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FIRST + nonce + self._cipher.encrypt(nonce, value.encode(), _whose(api_id, name))

    def open(self, secret: SealedSecret) -> str | None:
        """None: it was sealed with another key, or is not what was sealed."""
        if secret.sealed[:1] != _FIRST or len(secret.sealed) < 1 + _NONCE_BYTES:
            return None
        nonce, content = secret.sealed[1 : 1 + _NONCE_BYTES], secret.sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, content, _whose(secret.api_id, secret.name)).decode()
        except InvalidTag:
            return None


def _whose(api_id: ApiId, name: str) -> bytes:
    return f"apimarket-secret-v1\0{api_id}\0{name}".encode()


def concealing(values: Iterable[str]) -> Sequence[str]:
    """What to look for so that these values are found, longest first: each as it is, as JSON and URLs write it, and
    each line of one that has several, since a program prints lines."""
    lines = {line for value in values for line in (value, *value.splitlines())}
    parts = {part for line in lines for part in (line, json.dumps(line)[1:-1], quote(line, safe=""), quote_plus(line))}
    return sorted((part for part in parts if len(part) >= SHORTEST_HIDDEN), key=lambda part: (-len(part), part))


def conceal(text: str, parts: Sequence[str]) -> str:
    """`text` without any of what `concealing` found."""
    for part in parts:
        if part in text:
            text = text.replace(part, HIDDEN)
    return text
