"""A request as it is written in the Try-it console, and what of it goes out. Pure."""

import base64
import re
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import quote_plus

from apimarket_tui.answers import parse_headers
from apimarket_tui.clean import one_line

AuthKind = Literal["none", "bearer", "basic", "x-api-key"]
AUTH_KINDS: tuple[AuthKind, ...] = get_args(AuthKind)
HINTS: dict[AuthKind, str] = {
    "none": "",
    "bearer": "a token, or a key to the API",
    "basic": "user:password",
    "x-api-key": "a key, sent as X-API-Key",
}
HIDDEN = "[redacted]"
"""What stands in a kept request in the place of a secret."""
_UNFILLED = re.compile(r"\{([^{}/]*)\}")


@dataclass(frozen=True, slots=True)
class Draft:
    method: str
    url: str
    query: str = ""
    """One `name=value` a line, beside what the URL has of it already."""
    headers: str = ""
    """One `Name: value` a line."""
    body: str = ""
    auth: AuthKind = "none"
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Outgoing:
    method: str
    url: str
    headers: list[tuple[str, str]]
    body: str


def outgoing(draft: Draft) -> Outgoing:
    """What is sent, given a URL that is whole. Raises ValueError saying what is missing or wrong."""
    headers = parse_headers(draft.headers)
    url = with_query(draft.url, draft.query)
    if unfilled := _UNFILLED.search(url.partition("://")[2]):
        raise ValueError(f"The URL still has {{{one_line(unfilled[1])}}} in it: write a value in its place")
    found = _authorization(draft)
    if found is not None:
        if any(name.lower() == found[0].lower() for name, _ in headers):
            raise ValueError(f"{found[0]} stands in the headers and in auth: take one of them out")
        headers.append(found)
    if any(HIDDEN in part for part in (url, draft.body, *(value for _, value in headers))):
        raise ValueError(f"A secret was not kept, and {HIDDEN} stands in its place: write it again")
    return Outgoing(draft.method, url, headers, draft.body)


def with_query(url: str, query: str) -> str:
    """`url` with further parameters. Raises ValueError naming the line that is none."""
    pairs = []
    for number, line in enumerate(query.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, sign, value = line.partition("=")
        if not name.strip() or not sign:
            raise ValueError(f"Query line {number} is {one_line(line)!r}; write it as name=value")
        pairs.append(f"{quote_plus(name.strip())}={quote_plus(value.strip())}")
    if not pairs:
        return url
    base, hash_sign, fragment = url.partition("#")
    sign = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{sign}{'&'.join(pairs)}{hash_sign}{fragment}"


def _authorization(draft: Draft) -> tuple[str, str] | None:
    secret = draft.secret.strip()
    if draft.auth == "none":
        return None
    if not secret or "\n" in secret:
        raise ValueError(f"Auth is {draft.auth}, and has no value; write {HINTS[draft.auth]}, or choose none")
    match draft.auth:
        case "bearer":
            return "Authorization", f"Bearer {secret}"
        case "basic":
            return "Authorization", "Basic " + base64.b64encode(secret.encode()).decode()
        case _:
            return "X-API-Key", secret
