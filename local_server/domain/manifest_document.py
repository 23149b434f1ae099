"""A manifest as JSON knows it: what is stored, and what a version's document holds.

Keys that a document lacks take the dataclass's default, so that a field may be added without touching older ones.
"""

from dataclasses import fields
from decimal import Decimal
from typing import Any

from local_server.domain.manifest import GatewaySpec, Manifest, PlanSpec, RateLimit, RunSpec, Runtime, Visibility


def flat(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are (`dataclasses.asdict` cannot copy every kind of mapping)."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def manifest_document(manifest: Manifest) -> dict[str, Any]:
    rate_limit = manifest.gateway.rate_limit
    return {
        **flat(manifest),
        "run": {**flat(manifest.run), "env": dict(manifest.run.env)},
        "gateway": {**flat(manifest.gateway), "rate_limit": flat(rate_limit) if rate_limit else None},
        "plans": [_plan_document(plan) for plan in manifest.plans],
    }


def manifest_from(document: dict[str, Any]) -> Manifest:
    given = document | _tuples(document, "tags")
    given["runtime"] = Runtime(document["runtime"])
    given["visibility"] = Visibility(document["visibility"])
    given["run"] = RunSpec(**document["run"] | _tuples(document["run"], "command", "secrets"))
    given["gateway"] = _gateway_from(document["gateway"])
    given["plans"] = tuple(_plan_from(plan) for plan in document.get("plans", []))
    return Manifest(**given)


def _plan_document(plan: PlanSpec) -> dict[str, Any]:
    price = plan.overage_price
    return {**flat(plan), "overage_price": None if price is None else f"{price:f}"}


def _plan_from(document: dict[str, Any]) -> PlanSpec:
    price = document.get("overage_price")
    return PlanSpec(**document | {"overage_price": None if price is None else Decimal(price)})


def _gateway_from(document: dict[str, Any]) -> GatewaySpec:
    given = document | _tuples(document, "cors")
    if document.get("rate_limit") is not None:
        given["rate_limit"] = RateLimit(**document["rate_limit"])
    return GatewaySpec(**given)


def _tuples(document: dict[str, Any], *names: str) -> dict[str, tuple[Any, ...]]:
    """JSON knows lists only."""
    return {name: tuple(document[name]) for name in names if document.get(name) is not None}
