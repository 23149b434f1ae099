"""Lengths of time as people write them: `30s`, `10m`, `2h`, `30d`."""

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def length_of(text: str) -> timedelta:
    """Raises ValueError saying what is allowed."""
    found = re.fullmatch(r"(\d{1,6})\s*([smhd])", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no length of time; write a number and s, m, h or d, as: 30d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
