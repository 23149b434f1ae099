"""Identifiers, told apart by type so that one is never passed for another."""

from typing import NewType

UserId = NewType("UserId", str)
ApiId = NewType("ApiId", str)
GenerationId = NewType("GenerationId", str)
RequestId = NewType("RequestId", str)
KeyId = NewType("KeyId", str)
"""Names an API key; the key itself cannot be told from it."""
OpId = NewType("OpId", str)
"""Names one act of publishing, from the machine that wants it to the marketplace that does it, once."""
PlanId = NewType("PlanId", str)
"""One version of one plan."""
SubscriptionId = NewType("SubscriptionId", str)
Digest = NewType("Digest", str)
"""64 lower-case hexadecimal characters: a SHA-256."""


def uuid7(unix_ms: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) from a time in milliseconds and ten random bytes: sorts by time of creation."""
    if len(random) != 10:
        raise ValueError(f"uuid7 takes 10 random bytes, not {len(random)}")
    text = (unix_ms & 0xFFFF_FFFF_FFFF).to_bytes(6, "big").hex() + random.hex()
    variant = "89ab"[random[2] >> 4 & 0b11]
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
