"""What a program finds in its environment as rows: variables with their values, secrets without. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column
from apimarket_tui.words import NONE, Spans, ago

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_server.wire.secrets import SecretView, VariableView

COLUMNS = (
    Column("name", "NAME", 16, 36),
    Column("value", "VALUE", 28, 60),
    Column("set", "SET", 8, 10, right=True),
    Column("from", "IN APIMARKET.TOML", 17, 30, rank=1),
)


@dataclass(frozen=True, slots=True)
class Known:
    variables: "Sequence[VariableView]"
    secrets: "Sequence[SecretView]"


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A variable, or a secret."""

    name: str
    value: str = ""
    secret: "SecretView | None" = None

    @property
    def key(self) -> str:
        return f"{'variable' if self.secret is None else 'secret'} {self.name}"


def rows_of(known: Known) -> list[SettingRow]:
    """Secrets that lack a value first: the program does not start without them."""
    secrets = sorted(known.secrets, key=lambda one: not (one.used and one.updated_at is None))
    return [
        *(SettingRow(one.name, secret=one) for one in secrets),
        *(SettingRow(one.name, one.value) for one in known.variables),
    ]


def told(known: Known) -> Content:
    missing = sum(one.used and one.updated_at is None for one in known.secrets)
    variables = len(known.variables)
    parts = [
        (f"{missing} without a value", "$error") if missing else (_number(len(known.secrets), "secret"), "$foreground"),
        (f"   {_number(variables, 'variable')}", "$dim"),
    ]
    return Content.assemble(*parts)


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def cell_of(row: SettingRow, column: str, now: datetime) -> Spans:
    secret = row.secret
    match column:
        case "name":
            return [(one_line(row.name), "strong" if secret is None or secret.used else "dim")]
        case "value" if secret is None:
            return [(one_line(row.value) or "empty", "text" if row.value else "dim")]
        case "value":
            return _state(secret) if secret is not None else []
        case "set":
            return [(_since(secret, now), "dim")]
        case _:
            return [(_written(secret), "dim")]


def _state(secret: "SecretView") -> Spans:
    if secret.updated_at is None:
        return [("✗ no value", "bad"), ("  enter gives one", "dim")]
    return [("● set", "ok"), ("  nobody sees it", "dim")] if secret.used else [("○ not used", "dim")]


def _since(secret: "SecretView | None", now: datetime) -> str:
    if secret is None:
        return NONE
    return ago(secret.updated_at, now) if secret.updated_at else "never"


def _written(secret: "SecretView | None") -> str:
    if secret is None:
        return "[run] env"
    return "[run] secrets" if secret.used else "no"
