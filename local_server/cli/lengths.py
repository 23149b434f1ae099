"""Lengths of time on the command line."""

import re
from datetime import timedelta

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Length(click.ParamType[timedelta]):
    """`30s`, `10m`, `2h`, `30d`; at most `longest`"""

    name = "LENGTH"

    def __init__(self, longest: timedelta | None = None) -> None:
        self._longest = longest

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no length of time; allowed: a number and s, m, h or d, as 30d", param, ctx)
        length = timedelta(**{_UNITS[found[2]]: int(found[1])})
        if self._longest is not None and length > self._longest:
            self.fail(f"{value!r} is too long; allowed: up to {self._longest.days}d", param, ctx)
        return length
