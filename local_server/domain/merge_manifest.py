"""Three-way merge of `apimarket.toml` by what it says, key by key, whatever its layout.

A key is `api.summary`, `run.env.UNITS`, or `plan.free` for the whole plan of that code. What only one side changed is
taken over; what both changed differently is a conflict of that key alone. The merged text keeps comments and layout
wherever a text with the merged meaning can be had from the two sides.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_server.domain.manifest_render import toml_value
from local_server.domain.merge_choices import Edited, Side, merge_value
from local_server.domain.merge_text import Clash, MergedText, merge_text

Key = str
Document = Mapping[str, Any]
_SECTIONS = ("api", "run", "gateway")


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A key that both sides changed differently. None: the key is not there."""

    key: Key
    base: Any
    mine: Any
    theirs: Any


@dataclass(frozen=True, slots=True)
class MergedManifest:
    text: str
    """With mine wherever there is a conflict."""
    conflicts: tuple[FieldConflict, ...] = ()
    settled: Mapping[Key, Any] = field(default_factory=dict)


def merge_manifest(
    base: str, mine: str, theirs: str, choices: Mapping[Key, Side | Edited] | None = None
) -> MergedManifest | None:
    """None when one of the texts is no TOML, or has another shape than an `apimarket.toml`: then it is text like any
    other."""
    documents = [_fields(text) for text in (base, mine, theirs)]
    if any(document is None for document in documents):
        return None
    of_base, of_mine, of_theirs = (document or {} for document in documents)
    merged: dict[Key, Any] = {}
    conflicts = []
    for key in dict.fromkeys([*of_mine, *of_theirs, *of_base]):
        values = of_base.get(key), of_mine.get(key), of_theirs.get(key)
        value, settled = merge_value(*values, (choices or {}).get(key))
        if not settled:
            conflicts.append(FieldConflict(key, *values))
            value = of_mine.get(key)
        if value is not None:
            merged[key] = value
    return MergedManifest(_written(merged, base, mine, theirs), tuple(conflicts), merged)


def _fields(text: str) -> dict[Key, Any] | None:
    try:
        document = tomllib.loads(text.removeprefix("\ufeff")) if text else {}
    except (ValueError, RecursionError):
        return None
    fields: dict[Key, Any] = {}
    for section, content in document.items():
        if section == "plan":
            if not _is_plans(content):
                return None
            fields |= {f"plan.{plan['code']}": plan for plan in content}
        elif section in _SECTIONS and isinstance(content, dict):
            fields |= dict(_pairs(section, content))
        else:
            return None
    return fields


def _is_plans(content: Any) -> bool:
    if not isinstance(content, list):
        return False
    codes = [plan.get("code") if isinstance(plan, dict) else None for plan in content]
    return all(isinstance(code, str) for code in codes) and len(set(codes)) == len(codes)


def _pairs(section: str, content: Document) -> Iterator[tuple[Key, Any]]:
    for name, value in content.items():
        if name == "env" and isinstance(value, dict):
            for variable, its in value.items():
                yield f"{section}.env.{variable}", its
        else:
            yield f"{section}.{name}", value


def _written(wanted: Mapping[Key, Any], base: str, mine: str, theirs: str) -> str:
    """A text that says `wanted`: one of the sides or a merge of their lines if one does, else a plain new one."""
    for candidate in _candidates(base, mine, theirs):
        if _fields(candidate) == wanted:
            return candidate
    return _plain(wanted)


def _candidates(base: str, mine: str, theirs: str) -> Iterator[str]:
    merged = merge_text(base, mine, theirs)
    if merged is not None:
        yield _resolved(merged, Side.MINE)
        yield _resolved(merged, Side.THEIRS)
    yield mine
    yield theirs


def _resolved(merged: MergedText, side: Side) -> str:
    def lines(part: str | Clash) -> str:
        if isinstance(part, str):
            return part
        return "".join(part.mine if side is Side.MINE else part.theirs)

    return "".join(lines(part) for part in merged.parts)


def _plain(fields: Mapping[Key, Any]) -> str:
    blocks = []
    for section in _SECTIONS:
        plain = {key.split(".", 1)[1]: value for key, value in fields.items() if key.startswith(f"{section}.")}
        env = {key.removeprefix("env."): value for key, value in plain.items() if key.startswith("env.")}
        lines = [f"{name} = {toml_value(value)}" for name, value in plain.items() if not name.startswith("env.")]
        lines += [f"env = {toml_value(env)}"] if env else []
        blocks += ["\n".join([f"[{section}]", *lines])] if lines else []
    for key, plan in fields.items():
        if key.startswith("plan."):
            blocks.append("\n".join(["[[plan]]", *(f"{name} = {toml_value(value)}" for name, value in plan.items())]))
    return "\n\n".join(blocks) + "\n"
