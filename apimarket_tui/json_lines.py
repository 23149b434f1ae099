"""A line of a log that is JSON, laid out for reading: level, words, then the rest as name=value. Pure."""

import json
from functools import lru_cache

from apimarket_tui.clean import one_line
from apimarket_tui.words import Tone

LEVELS = ("level", "severity", "lvl", "levelname", "log.level")
WORDS = ("message", "msg", "event")
TIMES = frozenset({"time", "timestamp", "ts", "@timestamp", "asctime"})
"""Left out: the time stands before every line."""
_TONES: dict[str, Tone] = {
    "trace": "dim",
    "debug": "dim",
    "info": "ok",
    "notice": "ok",
    "warn": "warn",
    "warning": "warn",
    "error": "bad",
    "err": "bad",
    "critical": "bad",
    "fatal": "bad",
    "panic": "bad",
}
_NUMBERED = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
"""As pino and bunyan of Node write them."""


@lru_cache(maxsize=2_000)
def json_line(text: str) -> tuple[tuple[str, Tone], ...] | None:
    """None where the line is no JSON object. Kept for the lines that were seen last, since each is drawn many times."""
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return None
    try:
        found = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    spans: list[tuple[str, Tone]] = []
    level_key = next((key for key in LEVELS if key in found), None)
    words_key = next((key for key in WORDS if isinstance(found.get(key), str)), None)
    if level_key is not None:
        level = _level(found[level_key])
        spans.append((f"{level.upper():<5} ", _TONES.get(level.lower(), "strong")))
    if words_key is not None:
        spans.append((one_line(found[words_key]) + "  ", "text"))
    for key, value in found.items():
        if key not in (level_key, words_key) and not (key in TIMES and not isinstance(value, dict | list)):
            spans += [(f"{one_line(key)}=", "dim"), (f"{_shown(value)}  ", "accent")]
    return tuple(spans)


def _level(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return _NUMBERED.get(value, str(value))
    return one_line(str(value))


def _shown(value: object) -> str:
    if isinstance(value, str) and value and not any(sign in value for sign in ' "=\n\t'):
        return one_line(value)
    return one_line(json.dumps(value, ensure_ascii=False))
