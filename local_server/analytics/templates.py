"""Paths that differ only in what they name: `/users/17` and `/users/18` are both `/users/{id}`."""

import re

# A number, a UUID, a long run of hexadecimal digits, or a long token with a digit in it.
_IDENTIFIER = re.compile(
    r"\d+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}|(?=[^/]*\d)[A-Za-z0-9_-]{20,}"
)


def template_of(path: str) -> str:
    """`path` with `{id}` for each segment that looks like an identifier."""
    return "/".join("{id}" if _IDENTIFIER.fullmatch(segment) else segment for segment in path.split("/"))
