"""Writes manifests, and single values, as TOML."""

import json
import re
from collections.abc import Mapping, Sequence

from local_server.domain import manifest_values as values
from local_server.domain.manifest import GatewaySpec, Manifest, PlanSpec, RunSpec, Runtime
from local_server.domain.manifest_table import KEYS
from local_server.domain.money import format_minor, format_unit_price


def render(manifest: Manifest) -> str:
    """The text of a new `apimarket.toml`: what must stand there and what differs from the defaults, with a word on
    each. `parse(render(manifest)) == manifest`."""
    blocks = [_api_lines(manifest), _run_lines(manifest.run, manifest.runtime), _gateway_lines(manifest.gateway)]
    blocks += [_plan_lines(plan) for plan in manifest.plans]
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks if block)


def toml_text(text: str) -> str:
    """A basic string of TOML. JSON's escapes are TOML's too, but JSON leaves DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: str | bool | int | float | Sequence[str] | Mapping[str, str]) -> str:
    match value:
        case str():
            return toml_text(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {toml_text(item)}" for key, item in value.items()) + " }"
        case _:
            return "[" + ", ".join(toml_text(item) for item in value) + "]"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name, re.ASCII) else toml_text(name)


def _api_lines(manifest: Manifest) -> list[str]:
    fresh = Manifest(manifest.name, manifest.runtime)
    runtime = f"{manifest.runtime}{manifest.runtime_version or ''}"
    lines = ["[api]", f"name = {toml_text(manifest.name)}", f"runtime = {toml_text(runtime)}"]
    lines.append(f"version = {toml_text(manifest.version)}")
    for key in ("summary", "tags", "category"):
        if getattr(manifest, key) != getattr(fresh, key):
            lines.append(f"{key} = {toml_value(getattr(manifest, key))}")
    if manifest.visibility != fresh.visibility:
        lines.append(f"visibility = {toml_text(manifest.visibility)}")
    return lines


def _run_lines(run: RunSpec, runtime: Runtime) -> list[str]:
    fresh = RunSpec()
    lines = ["[run]"]
    for key in KEYS["run"]:
        value = getattr(run, key)
        if value is not None and value != getattr(fresh, key):
            comment = "  # any program that listens on $PORT" if key == "command" else ""
            lines.append(f"{key} = {toml_value(value)}{comment}")
    if run.entry is None and run.command is None:
        example = {Runtime.PYTHON: "main:app", Runtime.NODE: "server.js", Runtime.GO: "."}[runtime]
        lines.insert(1, f'# entry = "{example}"  # found at each save; name it here to settle it')
    return lines


def _gateway_lines(gateway: GatewaySpec) -> list[str]:
    fresh = GatewaySpec()
    lines = []
    if gateway.auth != fresh.auth:
        lines.append(f"auth = {toml_text(gateway.auth)}  # anyone may call")
    if gateway.rate_limit:
        window = next(name for name, seconds in values.WINDOWS_S.items() if seconds == gateway.rate_limit.window_s)
        lines.append(f'rate_limit = "{gateway.rate_limit.requests}/{window}"')
    for key in ("cache_ttl_s", "cors", "max_body_mb"):
        if getattr(gateway, key) != getattr(fresh, key):
            lines.append(f"{key} = {toml_value(getattr(gateway, key))}")
    return ["[gateway]", *lines] if lines else []


def _plan_lines(plan: PlanSpec) -> list[str]:
    lines = ["[[plan]]", f"code = {toml_text(plan.code)}"]
    lines.append(f'price = "{format_minor(plan.price_minor, plan.currency)}/{plan.interval}"')
    if plan.quota is not None:
        lines.append(f'quota = "{plan.quota}/{plan.quota_interval or "month"}"')
    if plan.overage != "block":
        lines.append(f"overage = {toml_text(plan.overage)}")
    if plan.overage_price is not None:
        lines.append(f"overage_price = {toml_text(format_unit_price(plan.overage_price, plan.currency))}")
    return lines
