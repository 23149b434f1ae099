"""Where every key of a TOML document stands, which `tomllib` does not tell.

Meant for text that `tomllib` has accepted: nothing is checked again here, and on other text the answer is merely
less useful.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property

KeyPath = tuple[str | int, ...]
"""`("plan", 1, "price")` is the price in the second `[[plan]]`."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}")


@dataclass(frozen=True, slots=True)
class Place:
    """Offsets into the text. A table's header has an empty value, at the end of the header."""

    start: int
    value_start: int
    value_end: int


class Places:
    """The keys and tables of one document."""

    def __init__(self, text: str) -> None:
        self.text = text
        scanner = _Scanner(text)
        scanner.document()
        self.places = scanner.places

    def line(self, path: KeyPath) -> int:
        """The line, counted from 1, of the key, or of the nearest table around it that is written down."""
        for length in range(len(path), 0, -1):
            place = self.places.get(path[:length])
            if place is not None:
                return self.line_at(place.start)
        return 1

    def line_at(self, offset: int) -> int:
        return self._newlines_before(offset) + 1

    def _newlines_before(self, offset: int) -> int:
        low, high = 0, len(self._newlines)
        while low < high:
            middle = (low + high) // 2
            if self._newlines[middle] < offset:
                low = middle + 1
            else:
                high = middle
        return low

    @cached_property
    def _newlines(self) -> list[int]:
        return [offset for offset, char in enumerate(self.text) if char == "\n"]


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[KeyPath, Place] = {}
        self._lengths: dict[KeyPath, int] = {}
        """How many `[[…]]` of each name came so far."""

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip() < len(self.text):
            before = self.at
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            if self.at == before:  # not TOML after all
                return

    def _header(self) -> KeyPath:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        keys = self._keys()
        self._skip()
        self.at += 2 if is_array else 1
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._last((*path, key))
            self._note(path, Place(start, self.at, self.at))
        path = (*path, *keys[-1:])
        if is_array:
            count = self._lengths.get(path, 0)
            self._lengths[path] = count + 1
            self._note(path, Place(start, self.at, self.at))
            path = (*path, count)
        else:
            path = self._last(path)
        self.places[path] = Place(start, self.at, self.at)
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        keys = self._keys()
        self._skip()
        self.at += 1  # the equals sign
        value_start = self._skip()
        path = (*table, *keys)
        self._value(path)
        for length in range(len(table) + 1, len(path)):
            self._note(path[:length], Place(start, value_start, self.at))
        self.places[path] = Place(start, value_start, self.at)

    def _keys(self) -> tuple[str, ...]:
        keys: list[str] = []
        while True:
            self._skip()
            quoted = _BASIC.match(self.text, self.at) or _LITERAL.match(self.text, self.at)
            found = quoted or _BARE.match(self.text, self.at)
            if found is None:
                return tuple(keys)
            keys.append(_unquoted(found[0]) if quoted else found[0])
            self.at = found.end()
            self._skip()
            if not self.text.startswith(".", self.at):
                return tuple(keys)
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        match self.text[self.at : self.at + 1]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"':
                self._match(_LONG_BASIC) or self._match(_BASIC)
            case "'":
                self._match(_LONG_LITERAL) or self._match(_LITERAL)
            case _:
                found = _SCALAR.match(self.text, self.at)
                self.at += len(found[0].rstrip()) if found else 0

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self._skip() < len(self.text) and self.text[self.at] != "]":
            start = self.at
            self._value((*path, index))
            self.places[(*path, index)] = Place(start, start, self.at)
            index += 1
            if not self._comma(start):
                break
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self._skip() < len(self.text) and self.text[self.at] != "}":
            start = self.at
            self._pair(path)
            if not self._comma(start):
                break
        self.at += 1

    def _comma(self, start: int) -> bool:
        """Step over what separates two items; False when nothing moved, so that no text can hold the loop."""
        self._skip()
        if self.text.startswith(",", self.at):
            self.at += 1
        return self.at > start

    def _last(self, path: KeyPath) -> KeyPath:
        """`[plan.x]` speaks of the latest `[[plan]]`."""
        count = self._lengths.get(path, 0)
        return (*path, count - 1) if count else path

    def _note(self, path: KeyPath, place: Place) -> None:
        self.places.setdefault(path, place)

    def _match(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self.text, self.at)
        if found is None:
            return False
        self.at = found.end()
        return True

    def _skip(self) -> int:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at


def _unquoted(key: str) -> str:
    """What a quoted key says, escapes resolved."""
    try:
        return next(iter(tomllib.loads(f"{key} = 0")))
    except (tomllib.TOMLDecodeError, StopIteration):
        return key[1:-1]
