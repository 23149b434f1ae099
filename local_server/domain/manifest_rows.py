"""Every key of a manifest with the value that holds, also where nobody wrote one: to be read, not to be parsed."""

from dataclasses import dataclass
from typing import Any

from local_server.domain.manifest import Manifest, PlanSpec
from local_server.domain.manifest_render import toml_value
from local_server.domain.manifest_table import KEYS
from local_server.domain.manifest_values import WINDOWS_S
from local_server.domain.money import format_minor, format_unit_price


@dataclass(frozen=True, slots=True)
class ManifestRow:
    key: str
    """`run.memory_mb`; a plan's keys with its code, as `plan.free.price`."""
    value: str
    """As TOML writes it; empty: nothing is set, and the product finds it out or does without."""
    default: bool
    """It is what holds where the key does not stand there."""


def manifest_rows(manifest: Manifest) -> list[ManifestRow]:
    """In the order of docs/manifest.md."""
    fresh = Manifest("", manifest.runtime)
    rows = []
    for section, holder, usual in (
        ("api", manifest, fresh),
        ("run", manifest.run, fresh.run),
        ("gateway", manifest.gateway, fresh.gateway),
    ):
        rows += [_row(section, key, holder, usual) for key in KEYS[section]]
    for plan in manifest.plans:
        rows += _plan_rows(plan)
    return rows


def _row(section: str, key: str, holder: Any, usual: Any) -> ManifestRow:
    value, default = getattr(holder, key), getattr(usual, key)
    if value in (None, (), {}, ""):
        text = ""
    elif key == "runtime":
        text = toml_value(f"{value}{holder.runtime_version or ''}")
    elif key == "rate_limit":
        text = f'"{value.requests}/{next(name for name, s in WINDOWS_S.items() if s == value.window_s)}"'
    else:
        text = toml_value(value)
    needed = section == "api" and key in ("name", "runtime")
    return ManifestRow(f"{section}.{key}", text, value == default and not needed)


def _plan_rows(plan: PlanSpec) -> list[ManifestRow]:
    quota = f'"{plan.quota}/{plan.quota_interval or "month"}"' if plan.quota is not None else ""
    beyond = toml_value(format_unit_price(plan.overage_price, plan.currency)) if plan.overage_price is not None else ""
    price = f'"{format_minor(plan.price_minor, plan.currency)}/{plan.interval}"'
    return [
        ManifestRow(f"plan.{plan.code}.price", price, False),
        ManifestRow(f"plan.{plan.code}.quota", quota, not quota),
        ManifestRow(f"plan.{plan.code}.overage", toml_value(plan.overage), plan.overage == "block"),
        ManifestRow(f"plan.{plan.code}.overage_price", beyond, not beyond),
    ]
