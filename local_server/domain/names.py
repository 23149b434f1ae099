"""Which names an API and an owner may have (they become URL segments and host names)."""

import re
import unicodedata

from local_server.domain.registry_errors import InvalidName

SLUG = re.compile(r"[a-z][a-z0-9-]{1,62}")
RESERVED_OWNERS = frozenset(
    {"api", "executor", "analytics", "docs", "openapi.json", "health", "ready", "metrics", "static", "admin", "www"}
)
OF_SERVICES = {
    "executor": frozenset({"deploy", "stop", "restart", "status"}),
    "analytics": frozenset({"log", "stats", "history"}),
}
"""What a server of that role, which is one part of a marketplace, has at the root of its own port beside them."""
# A slug also becomes `{slug}.localhost`, beside the hosts the server itself answers to.
RESERVED_SLUGS = RESERVED_OWNERS | {"localhost", "apimarket"}
# Letters that have no decomposition in Unicode, as they are commonly written without their marks.
_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i"})


def slugify(text: str, fallback: str = "my-api") -> str:
    """The nearest valid name: `Wetter für Köln` becomes `wetter-fur-koln`."""
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS)).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-").lstrip("0123456789-")[:63].rstrip("-")
    if len(slug) < 2:
        slug = fallback
    return f"{slug}-api" if slug in RESERVED_SLUGS else slug


def check_slug(name: str) -> str:
    """Return `name` if an API may have it. Raises InvalidName, with a suggestion."""
    if not SLUG.fullmatch(name):
        raise InvalidName(name, "is not a valid name: 2 to 63 of a-z, 0-9 and '-', a letter first", slugify(name))
    if name in RESERVED_SLUGS:
        raise InvalidName(name, "is reserved", slugify(name))
    return name


def check_owner(handle: str) -> str:
    """Return `handle` if a user may have it. Raises InvalidName, with a suggestion."""
    if not SLUG.fullmatch(handle):
        raise InvalidName(handle, "is not a valid owner: 2 to 63 of a-z, 0-9 and '-', a letter first", slugify(handle))
    if handle in RESERVED_OWNERS:
        raise InvalidName(handle, "is reserved", slugify(handle))
    return handle
