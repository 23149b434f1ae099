"""The file `apimarket.toml` in a user's directory: reading, creating, and changing single keys of it. Blocking."""

import contextlib
import copy
import os
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local_server.domain.manifest import MANIFEST_NAME
from local_server.domain.manifest_render import toml_value
from local_server.domain.manifest_toml import MAX_BYTES
from local_server.domain.registry_errors import InvalidManifest, ManifestProblem, UnusableDirectory
from local_server.domain.toml_places import Place, Places

TomlValue = str | bool | int | float | Sequence[str]


def read(root: Path) -> str | None:
    """The text as it is, its kind of newlines included; None when there is no such file. Raises InvalidManifest,
    UnusableDirectory."""
    file = _real(root)
    try:
        content = file.read_bytes()[: MAX_BYTES * 2]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableDirectory(
            str(root), f"holds an {MANIFEST_NAME} that cannot be read: {error.strerror}", f"Allow it: chmod u+r {file}"
        ) from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidManifest(
            [ManifestProblem(line, "file", "found bytes that are not UTF-8; allowed: UTF-8")], str(file)
        ) from None


def create(root: Path, text: str) -> None:
    """Write a new file. Raises FileExistsError rather than touch one that is there."""
    with open(root / MANIFEST_NAME, "x", encoding="utf-8", newline="") as file:
        file.write(text)


def replace(root: Path, text: str) -> None:
    """Write the file whole or not at all."""
    file = _real(root)
    unfinished = file.with_name(f".{file.name}.tmp")  # a name that every snapshot leaves out
    try:
        with open(unfinished, "w", encoding="utf-8", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        if file.exists():
            shutil.copymode(file, unfinished)
        os.replace(unfinished, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise UnusableDirectory(
            str(root),
            f"does not let {MANIFEST_NAME} be written: {error.strerror}",
            f"Allow it: chmod u+w {root} {file}",
        ) from None


def _real(root: Path) -> Path:
    file = root / MANIFEST_NAME
    if file.is_symlink():
        target = file.resolve()
        if not target.is_relative_to(root.resolve()):
            raise UnusableDirectory(
                str(root),
                f"holds a link that leads out of it: {MANIFEST_NAME} -> {target}",
                "Put the file itself there.",
            )
        return target
    return file


def edit(text: str, changes: Mapping[str, TomlValue | None]) -> str:
    """Change single keys, as `{"api.summary": "…"}`; None takes a key out. Comments and layout stay.

    Raises InvalidManifest when `text` is no TOML, or so unusual a layout that the change would do more than asked.
    """
    for name, value in changes.items():
        section, key = name.split(".", 1)
        before = _load(text)
        edited = _edited(text, section, key, value)
        if _load(edited) != _expected(before, section, key, value):
            problem = ManifestProblem(
                Places(text).line((section, key)), name, "cannot be changed for you in this layout; change it by hand"
            )
            raise InvalidManifest([problem])
        text = edited
    return text


def _edited(text: str, section: str, key: str, value: TomlValue | None) -> str:
    places = Places(text)
    place = places.places.get((section, key))
    if value is None:
        return _without(text, place) if place else text
    if place and place.value_end > place.value_start:
        return text[: place.value_start] + toml_value(value) + text[place.value_end :]
    newline = "\r\n" if "\r\n" in text else "\n"
    around = places.places.get((section,))
    if around is None:
        gap = "" if not text or text.endswith(newline * 2) else newline if text.endswith("\n") else newline * 2
        return f"{text}{gap}[{section}]{newline}{key} = {toml_value(value)}{newline}"
    pair = f"{key} = {toml_value(value)}"
    if around.value_end > around.value_start:
        if text[around.value_start] == "{":  # api = { name = "…" }
            inside = text[around.value_start + 1 : around.value_end - 1].rstrip()
            comma = ", " if inside.strip() else " "
            return f"{text[: around.value_start + 1]}{inside}{comma}{pair} {text[around.value_end - 1 :]}"
        pair = f"{section}.{pair}"  # api.name = "…"
    end = _line_end(text, _last_pair_end(places, section, around))
    return f"{text[:end]}{newline}{pair}{text[end:] or newline}"


def _last_pair_end(places: Places, section: str, around: Place) -> int:
    """Where the last key of the table itself ends; tables below it (`[run.env]`) come later."""
    nested = [place.start for path, place in places.places.items() if path[0] == section and _is_header(place, around)]
    limit = min(nested, default=len(places.text))
    ends = [
        place.value_end
        for path, place in places.places.items()
        if path[0] == section and len(path) >= 2 and around.start <= place.start < limit
    ]
    return max(ends, default=around.value_end)


def _is_header(place: Place, around: Place) -> bool:
    return place.value_start == place.value_end and place.start > around.start


def _without(text: str, place: Place) -> str:
    start = text.rfind("\n", 0, place.start) + 1
    return text[:start] + text[_line_end(text, place.value_end) :].removeprefix("\r\n").removeprefix("\n")


def _line_end(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end


def _load(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise InvalidManifest([ManifestProblem(1, "syntax", f"found text that is not TOML: {error}")]) from None


def _expected(document: dict[str, Any], section: str, key: str, value: TomlValue | None) -> dict[str, Any]:
    expected = copy.deepcopy(document)
    if value is None:
        if isinstance(expected.get(section), dict):
            expected[section].pop(key, None)
        return expected
    plain = value if isinstance(value, str | bool | int | float) else list(value)
    table = expected.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = plain
    return expected
