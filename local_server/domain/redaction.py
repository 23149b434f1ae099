"""Hides secrets in what is shown of a request or an answer.

By name: the value of a header, a query parameter, a form field, a JSON member, an XML element or an assignment whose
name smells of a secret. By shape, whatever its name: API keys of ours, JSON Web Tokens, bearer tokens. Everything works
on text as it is, whole or cut off in the middle, valid or not, so that what cannot be parsed is no way out; it hides
rather too much than too little. Every pattern runs in linear time.
"""

import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote_plus

HIDDEN = "[redacted]"

Mask = Callable[[str], str]
"""The name of a secret -> what stands in its place."""

_COOKIES, _SCHEMES = ("cookie", "set-cookie"), ("basic", "bearer", "digest", "hoba", "negotiate", "scram-sha-256")
_URL_HEADERS = frozenset({"referer", "location", "content-location", "link", "x-original-url", "x-rewrite-url"})
_ONLY_SOUND_SO = frozenset({"idempotency-key", "www-authenticate", "proxy-authenticate"})

# Anywhere in a name.
_STEMS = (
    "authorization", "cardnumber", "cookie", "credential", "creditcard", "passphrase", "passwd", "password", "secret",
    "session", "signature", "token",
)  # fmt: skip
# As a word of its own: `api_key`, `apiKey`, `X-Api-Key`, but not `monkey`.
_WORDS = frozenset(
    {
        "apikey", "auth", "bearer", "csrf", "cvc", "cvv", "jwt", "key", "nonce", "otp", "pass", "pin", "privatekey",
        "pwd", "sid", "sig", "ssn", "xsrf",
    }
)  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_IN_QUERIES = frozenset({"code"})
"""What OAuth hands over in a URL; in a body it is mostly the code of an error."""

_SHAPES = (
    ("api_key", re.compile(r"am_(?:live|test)_[0-9A-Za-z]+")),
    ("jwt", re.compile(r"(?<![\w-])eyJ[\w-]{5,}+\.[\w-]++(?:\.[\w-]*+)?")),
    ("bearer", re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]+")),
)
_KEY_OF_OURS = re.compile(rb"am_(?:live|test)_[0-9A-Za-z]+")

_PIECE = re.compile(r"[^&;?#\s]+")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)("|\\?\Z)', re.DOTALL)
_COLON = re.compile(r"\s*:\s*")
_SCALAR = re.compile(r"[^\s,\]}\"]+")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_ELEMENT = re.compile(r"<([A-Za-z_][\w.:-]*+)(?:\s[^<>]*+)?>(?:<!\[CDATA\[)?([^<>]++)(?=<|>|\Z)")
_NAME = r"(?<![\w$-])([\w$-]++)"
_QUOTED_NAME = re.compile(_NAME + r"""\\?["']?\s*+[:=]\s*+(?=\\?["'])""")
_QUOTED = re.compile(r"""\\"((?:[^"\\\n]|\\(?!"))*+)|"((?:[^"\\\n]|\\.)*+)|'((?:[^'\\\n]|\\.)*+)""")
_BARE_NAME = re.compile(_NAME + r"[ \t]*+[:=][ \t]*+")
_BARE = re.compile(r"(?i)((?:(?:basic|bearer|digest)[ \t]++)?[^\s\"',;&<>{}\[\]]++)")
_IN_URL = re.compile(r"""(?:(?<=[?&"'])|(?<=&amp;)|(?<=\\u0026))([\w$.%+-]++)=([^&\s"'<>\\#;]++)""")
"""Also a query alone, where it is the whole of a string."""
_CODE = ("html", "javascript", "ecmascript", "css", "json")
"""Here `token = next()` is a statement."""
_PART_NAME = re.compile(r'(?i)\bname="([^"\r\n]*)"')
_PART_HEAD_CHARS = 2000
_PLAIN_NUMBER = re.compile(r"-?[0-9][0-9.eE+-]*\Z")


def smells(name: str) -> bool:
    """Whether a value of this name is likely to be a secret."""
    bare = name.strip()
    flat = re.sub(r"[^a-z0-9]", "", bare.lower())
    if any(stem in flat for stem in _STEMS):
        return True
    words = [word.lower() for word in _WORD.findall(bare)]
    return any(word in _WORDS or (word.endswith("s") and word[:-1] in _WORDS) for word in words)


def hide(_: str) -> str:
    """The mask of everything that is only to be read."""
    return HIDDEN


def without_keys(content: bytes | bytearray) -> bytes | bytearray:
    """`content` without API keys of ours; the very same object where there is none."""
    if b"am_live_" not in content and b"am_test_" not in content:
        return content
    return _KEY_OF_OURS.sub(b"am_REMOVED", content)


def redact_headers(headers: Iterable[tuple[str, str]], mask: Mask = hide) -> list[tuple[str, str]]:
    return [(name, redact_header(name, value, mask)) for name, value in headers]


def redact_header(name: str, value: str, mask: Mask = hide) -> str:
    lower = name.lower()
    if lower == "set-cookie":
        cookie, separator, attributes = value.partition(";")
        return cookie.partition("=")[0].strip() + "=" + mask(lower) + separator + _by_shape(attributes, mask)
    if smells(lower) and lower not in _ONLY_SOUND_SO and not lower.startswith(("sec-websocket-", "access-control-")):
        scheme, space, _ = value.partition(" ")
        shown = scheme + space if scheme.lower() in _SCHEMES and lower not in _COOKIES else ""
        return shown + mask(lower)
    if lower in _URL_HEADERS:
        value = redact_query(value, mask)
    return _by_shape(value, mask)


def redact_query(text: str, mask: Mask = hide) -> str:
    """For a query, a form, or a whole URL."""

    def replace(found: re.Match[str]) -> str:
        written, sign, value = found[0].partition("=")
        name = unquote_plus(written)
        return written + sign + mask(name) if value and (smells(name) or name.lower() in _IN_QUERIES) else found[0]

    return _by_shape(_PIECE.sub(replace, text), mask)


def redact_text(text: str, media_type: str = "", mask: Mask = hide) -> str:
    """For a body, whatever it is."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return redact_query(text, mask)
    hidden = _Hidden(mask)
    if kind.startswith("multipart/"):
        text = _redact_parts(text, media_type, hidden)
    if "<" in text:
        text = _ELEMENT.sub(lambda found: _element(found, hidden), text)
    text = _redact_json(text, hidden)
    text = _redact_assigned(text, _QUOTED_NAME, _QUOTED, hidden)
    text = _IN_URL.sub(lambda found: _parameter(found, hidden), text)
    if not any(word in kind for word in _CODE):
        text = _redact_assigned(text, _BARE_NAME, _BARE, hidden)
    return _by_shape(text, mask)


def redact_value(name: str, value: object, mask: Mask = hide) -> str:
    """A JSON value that stands under `name`, as JSON."""
    written = json.dumps(value, ensure_ascii=False)
    if smells(name) and not _is_harmless(name, written):
        return json.dumps(mask(name), ensure_ascii=False)
    return redact_text(written, "application/json", mask)


# -- One notation each ---------------------------------------------------------------------------------------------


class _Hidden:
    """A mask that knows its own work again: one text goes through several notations, and what one has hidden is not
    for the next one to hide."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._done: set[str] = set()

    def __call__(self, name: str) -> str:
        shown = self._mask(name)
        self._done.add(shown)
        return shown

    def __contains__(self, value: str) -> bool:
        return value in self._done


def _by_shape(text: str, mask: Mask) -> str:
    for name, shape in _SHAPES:
        if shape.search(text):
            text = shape.sub(mask(name).replace("\\", r"\\"), text)
    return text


def _redact_json(text: str, mask: Mask) -> str:
    parts: list[str] = []
    done = 0
    for found in _STRING.finditer(text):
        if found.start() < done:
            continue  # inside a value that is hidden already
        colon = _COLON.match(text, found.end())
        if colon is None or not smells(name := _unescaped(found[1])):
            continue
        end = _value_end(text, colon.end())
        value = text[colon.end() : end]
        if not value or _is_harmless(name, value):
            continue
        parts += (text[done : colon.end()], '"', mask(name), '"')
        done = end
    parts.append(text[done:])
    return "".join(parts)


def _value_end(text: str, start: int) -> int:
    """Where the JSON value that begins at `start` ends; the end of the text where it was cut off."""
    first = text[start : start + 1]
    if first == '"':
        found = _STRING.match(text, start)
        return found.end() if found else len(text)
    if first not in ("{", "["):
        found = _SCALAR.match(text, start)
        return found.end() if found else start
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return len(text)


def _is_harmless(name: str, value: str) -> bool:
    """What cannot be a secret: nothing, yes or no, and a number of things (`max_tokens`)."""
    if value in ("null", "true", "false", '""', "[]", "{}"):
        return True
    return bool(_PLAIN_NUMBER.match(value)) and name.lower().endswith("s")


def _unescaped(name: str) -> str:
    if "\\" not in name:
        return name
    try:
        return str(json.loads(f'"{name}"'))
    except ValueError:
        return name


def _redact_assigned(text: str, names: re.Pattern[str], values: re.Pattern[str], mask: _Hidden) -> str:
    """Only the value of a name that smells is stepped over: in any other there may be such names again."""
    parts: list[str] = []
    done = 0
    for named in names.finditer(text):
        if named.start() < done or not smells(named[1]):
            continue
        found = values.match(text, named.end())
        if found is None or found.lastindex is None:
            continue
        value = found[found.lastindex]
        if not value.strip() or value in mask or _is_harmless(named[1], value):
            continue
        parts += (text[done : found.start(found.lastindex)], mask(named[1]))
        done = found.end(found.lastindex)
    parts.append(text[done:])
    return "".join(parts)


def _element(found: re.Match[str], mask: _Hidden) -> str:
    name, value = found.groups()
    if not value.strip() or not smells(name) or _is_harmless(name, value):
        return found[0]
    start = found.start(2) - found.start()
    return found[0][:start] + mask(name) + found[0][start + len(value) :]


def _parameter(found: re.Match[str], mask: _Hidden) -> str:
    name, value = unquote_plus(found[1]), found[2]
    if value in mask or _is_harmless(name, value) or not (smells(name) or name.lower() in _IN_QUERIES):
        return found[0]
    return f"{found[1]}={mask(name)}"


def _redact_parts(text: str, media_type: str, mask: Mask) -> str:
    """multipart/form-data: the content of the parts whose names smell."""
    boundary = re.search(r'(?i)boundary="?([^";]+)', media_type)
    if boundary is None:
        return text
    edge = "--" + boundary[1].strip()
    return edge.join(_part(piece, mask) for piece in text.split(edge))


def _part(piece: str, mask: Mask) -> str:
    head, gap, content = piece.partition("\r\n\r\n")
    named = _PART_NAME.search(head[:_PART_HEAD_CHARS])
    if named is None or not smells(named[1]) or not content.strip():
        return piece
    return head + gap + mask(named[1]) + ("\r\n" if content.endswith("\r\n") else "")
