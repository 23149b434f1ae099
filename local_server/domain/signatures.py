"""Who made a version: an Ed25519 signature (RFC 8032) of its account's key.

What is signed names the marketplace beside the version, so that a signed version of one marketplace says nothing in
another; and it begins with its own purpose, so that no signature made for something else can pass for one.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from local_server.domain.ids import Digest, UserId
from local_server.domain.sync_errors import InvalidSigningKey

SignerId = NewType("SignerId", str)
"""Names a public key: the first 16 bytes of its SHA-256, in hexadecimal."""

DOMAIN = b"apimarket-version-v1\0"
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An account's public key, as the marketplace knows it."""

    id: SignerId
    user_id: UserId
    name: str
    """What it is on: `laptop`."""
    public_key: bytes
    created_at: datetime
    revoked_at: datetime | None = None
    token_id: str | None = None
    """The access token it was registered with, and ends with; None: a session's, or the machine's own."""


def version_message(marketplace_id: str, version_id: Digest) -> bytes:
    """The bytes that are signed."""
    return DOMAIN + marketplace_id.encode() + b"\0" + version_id.encode()


def signer_id(public_key: bytes) -> SignerId:
    return SignerId(hashlib.sha256(public_key).hexdigest()[:32])


def new_private_key() -> bytes:
    """32 bytes, to be kept by whoever signs."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key_of(private_key: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def sign(private_key: bytes, marketplace_id: str, version_id: Digest) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private_key).sign(version_message(marketplace_id, version_id))


def is_signed(public_key: bytes, signature: bytes, marketplace_id: str, version_id: Digest) -> bool:
    """Whether `signature` is that of the key's holder on this version, for this marketplace."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, version_message(marketplace_id, version_id))
    except (InvalidSignature, ValueError):
        return False
    return True


def encoded(raw: bytes) -> str:
    """Keys and signatures as they are written: base64 (RFC 4648, section 4)."""
    return base64.b64encode(raw).decode()


def decoded(text: str, size_bytes: int) -> bytes | None:
    """What `encoded` wrote, if it is that and has so many bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == size_bytes and encoded(raw) == text else None


def check_public_key(text: str) -> bytes:
    """Raises InvalidSigningKey."""
    raw = decoded(text, PUBLIC_KEY_BYTES)
    if raw is None:
        raise InvalidSigningKey(f"{text[:100]!r} is not 32 bytes in base64")
    try:
        Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise InvalidSigningKey(f"{text!r} is no Ed25519 public key: {error}") from None
    return raw
