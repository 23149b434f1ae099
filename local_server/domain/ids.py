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


_VARIANT = {digit: "89ab"[int(digit, 16) & 0b11] for digit in "0123456789abcdef"}


def uuid7(unix_ms: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) from a time in milliseconds and ten random bytes: sorts by time of creation."""
    if len(random) != 10:
        raise ValueError(f"uuid7 takes 10 random bytes, not {len(random)}")
    return uuid7_start(unix_ms) + uuid7_end(random.hex())


def uuid7_start(unix_ms: int) -> str:
    """What all ids of one millisecond begin with."""
    text = f"{unix_ms & 0xFFFF_FFFF_FFFF:012x}"
    return f"{text[:8]}-{text[8:]}"


def uuid7_end(random: str) -> str:
    """What follows, from ten random bytes in hexadecimal."""
    return f"-7{random[1:4]}-{_VARIANT[random[4]]}{random[5:8]}-{random[8:]}"
