"""What a single value of an `apimarket.toml` may be. Each function takes text and returns what it means, or raises
`Wrong` with what was found and what is allowed."""

import re
import shlex
from decimal import Decimal
from difflib import get_close_matches

from local_server.domain.manifest import RateLimit, Runtime
from local_server.domain.money import CURRENCIES, exponent
from local_server.domain.names import check_slug
from local_server.domain.registry_errors import InvalidName
from local_server.domain.semver import is_semver


class Wrong(Exception):
    """A value that may not stand there. `where` goes on from the key: the index in a list, the name in a table."""

    def __init__(self, message: str, where: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.where = where


_RUNTIME = re.compile(r"(python|node|go)(\d{1,3}(?:\.\d{1,3}){0,2})?", re.ASCII)
OLDEST = {Runtime.PYTHON: (3, 9), Runtime.NODE: (18,), Runtime.GO: (1, 21)}
_RUNTIME_NAMES = {
    "py": "python",
    "python3": "python3.12",
    "js": "node",
    "nodejs": "node",
    "javascript": "node",
    "typescript": "node",
    "golang": "go",
}
_RATE = re.compile(r"(\d{1,9}) ?/ ?([a-z]+)", re.ASCII)
WINDOWS_S = {"s": 1, "min": 60, "h": 3600, "day": 86400}
_PRICE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ([A-Za-z]{3})/([a-z]+)", re.ASCII)
# Fifteen decimals are what the column of a unit price holds.
_UNIT_PRICE = re.compile(r"(\d{1,12}(?:\.\d{1,15})?) ([A-Za-z]{3})", re.ASCII)
_QUOTA = re.compile(r"(\d{1,15})/([a-z]+)", re.ASCII)
_PLAN_CODE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_TAG = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", re.ASCII)
_ATTRIBUTE = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_PYTHON_ENTRY = re.compile(rf"{_ATTRIBUTE}:{_ATTRIBUTE}")
_NODE_ENTRY = re.compile(r"[^:]+\.[mc]?[jt]s(?::[A-Za-z_$][\w$]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# The server chooses these two for every start.
SET_BY_SERVER = frozenset({"PORT", "HOST"})
MAX_SUMMARY = 200


def shown(value: object) -> str:
    """The value as a message quotes it; never more than a line's worth."""
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to write out the largest
        return "a number of more than 38 digits"
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def meant(word: str, allowed: list[str]) -> str:
    """` Did you mean …?` when something allowed is close, else nothing."""
    close = get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def slug(text: str) -> str:
    try:
        return check_slug(text)
    except InvalidName as error:
        raise Wrong(f"{error.detail}. {error.hint}") from None


def runtime(text: str) -> tuple[Runtime, str | None]:
    found = _RUNTIME.fullmatch(text)
    if not found:
        close = f'; did you mean "{_RUNTIME_NAMES[text]}"?' if text in _RUNTIME_NAMES else ""
        close = close or meant(text, ["python", "node", "go"])
        raise Wrong(
            f'found {shown(text)}; allowed: "python", "node" or "go", with or without a version, as "python3.12"{close}'
        )
    language = Runtime(found[1])
    if found[2] is None:
        return language, None
    numbers = tuple(int(part) for part in found[2].split("."))
    oldest = OLDEST[language]
    if len(numbers) < len(oldest) or numbers < oldest or numbers[0] > 99:
        named = ".".join(map(str, oldest))
        raise Wrong(f'found {shown(text)}; allowed: {language} {named} and later, as "{language}{named}"')
    if language in (Runtime.PYTHON, Runtime.GO) and numbers[0] != oldest[0]:
        raise Wrong(f'found {shown(text)}; allowed: {language} {oldest[0]}.x, as "{language}{oldest[0]}.{oldest[1]}"')
    return language, ".".join(map(str, numbers))


def semver(text: str) -> str:
    if not is_semver(text):
        raise Wrong(f'found {shown(text)}; allowed: three numbers, as "1.4.0", and a mark if need be, as "1.4.0-rc.1"')
    return text


def one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise Wrong(f"found {shown(text)}; allowed: one line, without control characters")
    if len(text) > MAX_SUMMARY:
        raise Wrong(f"found {len(text)} characters; allowed: up to {MAX_SUMMARY}")
    return text


def word(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise Wrong(f"found {shown(text)}; allowed: up to 32 of a-z, 0-9 and '-', not '-' first")
    return text


def entry_of(language: Runtime, text: str) -> str:
    if language is Runtime.PYTHON:
        if not _PYTHON_ENTRY.fullmatch(text):
            raise Wrong(f'found {shown(text)}; allowed for python: "module:name", as "main:app"')
        return text
    _relative(text)
    if language is Runtime.NODE and not _NODE_ENTRY.fullmatch(text):
        raise Wrong(f'found {shown(text)}; allowed for node: a .js, .mjs, .cjs or .ts file, as "server.js"')
    if language is Runtime.GO and (text.endswith(".go") or (text != "." and not text.startswith("./"))):
        raise Wrong(f'found {shown(text)}; allowed for go: a package directory, as "." or "./cmd/server"')
    return text


def _relative(text: str) -> None:
    if not text or text.startswith("/") or "\\" in text or ".." in text.split("/") or _CONTROL.search(text):
        raise Wrong(f"found {shown(text)}; allowed: a path below the project's directory, with /")


def path(text: str) -> str:
    if not text.startswith("/") or text.startswith("//") or len(text) > 200 or re.search(r"[\s#]", text):
        raise Wrong(f'found {shown(text)}; allowed: a path that begins with "/", as "/health"')
    if _CONTROL.search(text):
        raise Wrong(f"found {shown(text)}; allowed: a path without control characters")
    return text


def env_name(text: str) -> str:
    if not _ENV_NAME.fullmatch(text):
        raise Wrong(f"found {shown(text)}; allowed: letters, digits and '_', not a digit first, as API_TOKEN")
    if text in SET_BY_SERVER:
        raise Wrong(f"found {shown(text)}, which apimarket sets itself; allowed: any other name")
    return text


def env_value(text: str) -> str:
    if "\0" in text:
        raise Wrong(f"found {shown(text)}; allowed: text without the character NUL")
    return text


def argument(text: str) -> str:
    if "\0" in text:
        raise Wrong(f"found {shown(text)}; allowed: text without the character NUL")
    return text


def command_hint(text: str) -> str:
    """The list that a command written as one text means."""
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = text.split()
    return "[" + ", ".join(f'"{part}"' for part in parts) + "]"


def rate(text: str) -> RateLimit:
    found = _RATE.fullmatch(text)
    if not found or found[2] not in WINDOWS_S or int(found[1]) < 1:
        raise Wrong(f'found {shown(text)}; allowed: 1 to 999999999 and s, min, h or day, as "60/min"')
    return RateLimit(int(found[1]), WINDOWS_S[found[2]])


def origin(text: str) -> str:
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise Wrong(
            f'found {shown(text)}; allowed: "*", or scheme://host[:port] without a path, as "https://a.example"'
        )
    return text


def plan_code(text: str) -> str:
    if not _PLAN_CODE.fullmatch(text):
        raise Wrong(f"found {shown(text)}; allowed: up to 32 of a-z, 0-9 and '-', a letter first, as \"free\"")
    return text


def price(text: str) -> tuple[int, str, str]:
    """(minor units, currency, interval)"""
    found = _PRICE.fullmatch(text)
    if not found or found[3] not in ("month", "year"):
        raise Wrong(f'found {shown(text)}; allowed: amount, currency and month or year, as "4.50 EUR/month"')
    currency = _currency(found[2], text)
    minor = Decimal(found[1]).scaleb(exponent(currency))
    if minor != minor.to_integral_value():
        decimals = exponent(currency)
        allowed = f"at most {decimals} decimals" if decimals else "whole amounts only"
        raise Wrong(f"found {shown(text)}; allowed for {currency}: {allowed}")
    return int(minor), currency, found[3]


def unit_price(text: str) -> tuple[Decimal, str]:
    """(price of one request, currency)"""
    found = _UNIT_PRICE.fullmatch(text)
    if not found:
        raise Wrong(f'found {shown(text)}; allowed: the price of one request and its currency, as "0.002 EUR"')
    return Decimal(found[1]).normalize() + 0, _currency(found[2], text)


def _currency(code: str, text: str) -> str:
    currency = code.upper()
    if code != currency or currency not in CURRENCIES:
        close = meant(currency, sorted(CURRENCIES))
        raise Wrong(f'found {shown(text)}; allowed: a currency of ISO 4217, as "EUR" or "USD"{close}')
    return currency


def quota(text: str) -> tuple[int, str]:
    """(requests, interval)"""
    found = _QUOTA.fullmatch(text)
    if not found or found[2] not in ("day", "month") or int(found[1]) < 1:
        raise Wrong(f'found {shown(text)}; allowed: 1 to 999999999999999 and day or month, as "1000/month"')
    return int(found[1]), found[2]
