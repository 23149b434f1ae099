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
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random, "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
