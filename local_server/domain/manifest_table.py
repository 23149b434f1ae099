"""Takes the values out of one table of an `apimarket.toml`, and notes every mistake on the way instead of stopping at
the first."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from local_server.domain import manifest_values as values
from local_server.domain.manifest_values import Wrong, shown
from local_server.domain.registry_errors import ManifestProblem
from local_server.domain.toml_places import KeyPath, Places

T = TypeVar("T")

KEYS: Mapping[str, tuple[str, ...]] = {
    "api": ("name", "runtime", "version", "summary", "tags", "category", "visibility"),
    "run": (
        "entry",
        "command",
        "health",
        "env",
        "secrets",
        "memory_mb",
        "cpus",
        "timeout_s",
        "replicas",
        "egress",
    ),
    "gateway": ("auth", "rate_limit", "cache_ttl_s", "cors", "max_body_mb"),
    "plan": ("code", "price", "quota", "overage", "overage_price"),
}
_KINDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a table"}
_EXAMPLES = {str: 'text in quotes, as "…"', list: 'a list, as ["…"]', dict: "a table", bool: "true or false"}


def name_of(path: KeyPath) -> str:
    """`plan.price` for the price of any plan: the line tells which."""
    return ".".join(part for part in path if isinstance(part, str)) or "file"


class Mistakes:
    def __init__(self, places: Places) -> None:
        self._places = places
        self.found: list[ManifestProblem] = []

    def add(self, path: KeyPath, message: str) -> None:
        self.found.append(ManifestProblem(self._places.line(path), name_of(path), message))


class Table:
    """One table on its way to becoming a value: each read takes a key, checks it, and notes what is wrong."""

    def __init__(self, data: Mapping[str, Any], path: KeyPath, mistakes: Mistakes) -> None:
        self._data = data
        self._path = path
        self._mistakes = mistakes

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def wrong(self, key: str, message: str) -> None:
        self._mistakes.add((*self._path, key), message)

    def text(self, key: str, check: Callable[[str], T], default: T) -> T:
        return self._checked(key, str, check, default)

    def needed(self, key: str, check: Callable[[str], T], example: str) -> T | None:
        if key not in self._data:
            self.wrong(key, f"is missing; write {key} = {example}")
            return None
        return self._checked(key, str, check, None)

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        def check(text: str) -> str:
            if text in allowed:
                return text
            listed = " or ".join(f'"{one}"' for one in allowed)
            raise Wrong(f"found {shown(text)}; allowed: {listed}{values.meant(text, list(allowed))}")

        return self.text(key, check, default)

    def flag(self, key: str, default: bool) -> bool:
        return self._checked(key, bool, lambda value: bool(value), default)

    def number(self, key: str, low: float, high: float, default: T, unit: str = "") -> T:
        """An int or a float, as `default` is; the limits belong to it."""
        kind = type(default)
        found = self._data.get(key, default)
        whole = isinstance(found, int) and not isinstance(found, bool)
        fits = whole or (kind is float and isinstance(found, float) and math.isfinite(found))
        if not fits or not low <= found <= high:
            said = described(found)
            of = f" {unit}" if unit else ""
            self.wrong(key, f"found {said}; allowed: {_KINDS[kind]} from {low:g} to {high:g}{of}")
            return default
        return kind(found)  # type: ignore[call-arg]

    def texts(self, key: str, check: Callable[[str], str], limit: int = 100) -> tuple[str, ...]:
        """A list of different texts."""

        def check_all(found: list[Any]) -> tuple[str, ...]:
            items = [self._item(key, index, item, check) for index, item in enumerate(found[:limit])]
            kept = [item for item in items if item is not None]
            if len(found) > limit:
                raise Wrong(f"found {len(found)}; allowed: up to {limit}")
            for index, item in enumerate(items):
                if item is not None and item in items[:index]:
                    raise Wrong(f"found {shown(item)} twice; allowed: each once", (index,))
            return tuple(kept)

        return self._checked(key, list, check_all, ())

    def command(self) -> tuple[str, ...] | None:
        found = self._data.get("command")
        if isinstance(found, str):
            self.wrong("command", f"found {shown(found)}; allowed: a list, as {values.command_hint(found)}")
            return None

        def check_all(parts: list[Any]) -> tuple[str, ...]:
            items = [self._item("command", index, part, values.argument) for index, part in enumerate(parts)]
            if not items or not items[0]:
                raise Wrong('found no program; allowed: a program and its arguments, as ["python", "server.py"]')
            return tuple(item for item in items if item is not None)

        return self._checked("command", list, check_all, None)

    def env(self) -> dict[str, str]:
        def check_all(found: dict[str, Any]) -> dict[str, str]:
            env: dict[str, str] = {}
            for name, value in found.items():
                path = (*self._path, "env", name)
                try:
                    values.env_name(name)
                    if not isinstance(value, str):
                        quoted = f', as "{described(value)}"' if isinstance(value, bool | int | float) else ""
                        raise Wrong(f"found {described(value)}; allowed: text in quotes{quoted}")
                    env[name] = values.env_value(value)
                except Wrong as wrong:
                    self._mistakes.add(path, str(wrong))
            return env

        return self._checked("env", dict, check_all, {})

    def unknown(self, section: str) -> None:
        """Note every key that `section` does not have."""
        for key in self._data:
            if key in KEYS[section]:
                continue
            home = next((other for other, keys in KEYS.items() if key in keys), None)
            if home:
                header = "[[plan]]" if home == "plan" else f"[{home}]"
                self.wrong(key, f"is not a key of [{section}]; it belongs in {header}")
            else:
                listed = ", ".join(KEYS[section])
                self.wrong(key, f"is not a key; allowed: {listed}{values.meant(key, list(KEYS[section]))}")

    def _item(self, key: str, index: int, item: object, check: Callable[[str], str]) -> str | None:
        try:
            if not isinstance(item, str):
                raise Wrong(f"found {described(item)}; allowed: text in quotes")
            return check(item)
        except Wrong as wrong:
            self._mistakes.add((*self._path, key, index), str(wrong))
            return None

    def _checked(self, key: str, kind: type, check: Callable[[Any], T], default: T) -> T:
        if key not in self._data:
            return default
        found = self._data[key]
        try:
            if not isinstance(found, kind):
                raise Wrong(f"found {described(found)}; allowed: {_EXAMPLES[kind]}")
            return check(found)
        except Wrong as wrong:
            self._mistakes.add((*self._path, key, *wrong.where), str(wrong))
            return default


def described(value: object) -> str:
    """A value of the wrong kind, in a message."""
    match value:
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return shown(value)
