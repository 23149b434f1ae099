"""A curl command as a request: what one copies from a browser or from documentation. Pure."""

import base64
import re
import shlex
from dataclasses import dataclass, field

TAKES = {
    "-X": "method", "--request": "method",
    "-H": "header", "--header": "header",
    "-A": "agent", "--user-agent": "agent",
    "-e": "referer", "--referer": "referer",
    "-b": "cookie", "--cookie": "cookie",
    "-u": "user", "--user": "user",
    "-d": "data", "--data": "data", "--data-raw": "data", "--data-ascii": "data", "--data-binary": "data",
    "--json": "json",
    "--url": "url",
}  # fmt: skip
HAS_A_VALUE = frozenset(
    ("-o", "--output", "-m", "--max-time", "--connect-timeout", "--retry", "-x", "--proxy", "--cacert", "-w",
     "--write-out", "-c", "--cookie-jar", "--resolve", "--limit-rate", "-F", "--form", "-T", "--upload-file")
)  # fmt: skip
"""Options that say nothing of the request itself, or what is not taken over; with what follows them."""
NAMED = {"agent": "User-Agent", "referer": "Referer", "cookie": "Cookie"}


_ANSI_C = re.compile(r"(?<=\s)\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
"""`$'…'` of bash, in which browsers write what has quotes or breaks in it."""
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\", "!": "!"}


@dataclass(slots=True)
class Request:
    url: str = ""
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    json: bool = False

    def has(self, name: str) -> bool:
        return any(known.lower() == name for known, _ in self.headers)


@dataclass(frozen=True, slots=True)
class Pasted:
    method: str
    url: str
    headers: str
    """One `Name: value` a line."""
    body: str


def is_curl(text: str) -> bool:
    return text.lstrip().removeprefix("$ ").startswith("curl ")


def request_of(text: str) -> Pasted:
    """Raises ValueError saying what is missing or cannot be read."""
    command = text.strip().removeprefix("$ ").replace("\\\r\n", " ").replace("\\\n", " ")
    words = shlex.split(_ANSI_C.sub(lambda found: shlex.quote(_unescaped(found[1])), command))[1:]
    found = Request()
    words.reverse()
    while words:
        _take(words.pop(), words, found)
    if not found.url:
        raise ValueError("That curl command names no URL")
    body = "&".join(found.data)
    if found.data and not found.has("content-type"):
        kind = "application/json" if found.json else "application/x-www-form-urlencoded"
        found.headers.append(("Content-Type", kind))
    method = found.method or ("POST" if found.data else "GET")
    url = found.url if "://" in found.url else f"http://{found.url}"
    return Pasted(method.upper(), url, "\n".join(f"{name}: {value}" for name, value in found.headers), body)


def _take(word: str, rest: list[str], found: Request) -> None:
    name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    if not word.startswith("--") and len(word) > 2 and word[:2] in TAKES:
        name, equals, value = word[:2], "=", word[2:]  # -XPOST
    what = TAKES.get(name)
    if what is None:
        if word in ("-I", "--head"):
            found.method = found.method or "HEAD"
        elif name in HAS_A_VALUE and not equals:
            _value(name, rest)
        elif not word.startswith("-"):
            found.url = found.url or word
        return
    value = value if equals else _value(name, rest)
    match what:
        case "method":
            found.method = value
        case "url":
            found.url = value
        case "header":
            header, _, text = value.partition(":")
            found.headers.append((header.strip(), text.strip()))
        case "user":
            found.headers.append(("Authorization", "Basic " + base64.b64encode(value.encode()).decode()))
        case "data" | "json":
            if value.startswith("@"):
                raise ValueError(f"{name} {value} sends a file; paste what is in it as the body")
            found.data.append(value)
            found.json = found.json or what == "json"
        case _:
            found.headers.append((NAMED[what], value))


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        return chr(int(found[2], 16)) if found[2] else _ESCAPES.get(found[1], found[0])

    return re.sub(r"\\(u([0-9a-fA-F]{4})|.)", one, text)


def _value(name: str, rest: list[str]) -> str:
    if not rest:
        raise ValueError(f"{name} of that curl command says nothing")
    return rest.pop()
