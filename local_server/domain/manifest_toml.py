"""Reads an `apimarket.toml`, and tells every mistake in it at once.

    manifest = parse(text)
    text = render(manifest)

The keys stand in `KEYS`; docs/manifest.md explains each.
"""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from local_server.domain import manifest_values as values
from local_server.domain.manifest import (
    MOST_REPLICAS,
    GatewaySpec,
    Manifest,
    PlanSpec,
    RunSpec,
    Runtime,
    Visibility,
)
from local_server.domain.manifest_render import render
from local_server.domain.manifest_table import KEYS, Mistakes, Table, described, name_of
from local_server.domain.manifest_values import shown
from local_server.domain.registry_errors import InvalidManifest, ManifestProblem
from local_server.domain.toml_places import KeyPath, Places

__all__ = ["KEYS", "MAX_BYTES", "parse", "problem_at", "render"]

MAX_BYTES = 64 * 1024
MAX_TAGS = 10
MAX_MISTAKES = 100
# Reading a key takes time with the square of its parts: thousands of dots in one line would take minutes.
MAX_DOTS = 400


def parse(text: str, path: str = "apimarket.toml") -> Manifest:
    """The manifest that `text` is. Raises InvalidManifest with all mistakes, by line; `path` names the file in it."""
    text = text.removeprefix("\ufeff")
    document, problem = _read(text)
    if problem:
        raise InvalidManifest([problem], path)
    mistakes = Mistakes(Places(text))
    manifest = _manifest(document, mistakes)
    if mistakes.found or manifest is None:
        raise InvalidManifest(_worth_telling(mistakes.found), path)
    return manifest


def problem_at(text: str, key: KeyPath, message: str) -> ManifestProblem:
    """A mistake at `key` of a text that has been parsed, for rules that this file cannot know."""
    return ManifestProblem(Places(text.removeprefix("\ufeff")).line(key), name_of(key), message)


def _worth_telling(found: list[ManifestProblem]) -> list[ManifestProblem]:
    """By line; a text that is something else altogether must not fill the screen."""
    found = sorted(found, key=lambda problem: problem.line)
    told, rest = found[:MAX_MISTAKES], found[MAX_MISTAKES:]
    return [*told, ManifestProblem(rest[0].line, "file", f"and {len(rest):,} more mistakes")] if rest else told


def _read(text: str) -> tuple[dict[str, Any], ManifestProblem | None]:
    """The document, or why it is not TOML."""
    try:
        if len(text.encode()) > MAX_BYTES:
            return {}, ManifestProblem(1, "file", f"found {len(text):,} characters; allowed: {MAX_BYTES // 1024} KB")
        for number, line in enumerate(text.split("\n"), start=1):
            if line.count(".") > MAX_DOTS:
                return {}, ManifestProblem(number, "file", f"found more than {MAX_DOTS} dots in one line")
        return tomllib.loads(text), None
    except tomllib.TOMLDecodeError as error:
        return {}, _syntax_problem(text, str(error))
    except UnicodeEncodeError as error:
        return {}, ManifestProblem(text.count("\n", 0, error.start) + 1, "file", "found text that is not UTF-8")
    except RecursionError:
        return {}, ManifestProblem(1, "file", "found lists or tables within too many others")
    except ValueError as error:  # a number of thousands of digits
        return {}, ManifestProblem(1, "file", f"found a value that cannot be read: {error}")


def _syntax_problem(text: str, message: str) -> ManifestProblem:
    where = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    said = message[: where.start()] if where else message
    lines = text.split("\n")
    line = int(where[1]) if where and where[1] else len(text.rstrip().split("\n"))
    line = min(max(line, 1), len(lines))
    column = f" at column {where[2]}" if where and where[2] else " at the end"
    written = lines[line - 1].strip()
    hint = ""
    value = lines[line - 1][int(where[2]) - 1 :] if where and where[2] else ""
    if "Invalid value" in said and re.match(r"[A-Za-z]", value):
        hint = '; text stands in quotes, as name = "weather"'
    return ManifestProblem(line, "syntax", f"{said}{column}: found {shown(written)}{hint}")


def _manifest(document: Mapping[str, Any], mistakes: Mistakes) -> Manifest | None:
    _check_sections(document, mistakes)
    api = _section(document, "api", mistakes)
    name = api.needed("name", values.slug, '"weather"') if "api" in document else None
    needed = api.needed("runtime", values.runtime, '"python", "node" or "go"') if "api" in document else None
    language, language_version = needed or (None, None)
    version = api.text("version", values.semver, "0.1.0")
    summary = api.text("summary", values.one_line, "")
    tags = api.texts("tags", values.word, MAX_TAGS)
    category = api.text("category", lambda text: text and values.word(text), "")
    visibility = Visibility(api.choice("visibility", [str(one) for one in Visibility], "private"))
    api.unknown("api")
    run = _run(_section(document, "run", mistakes), language)
    gateway = _gateway(_section(document, "gateway", mistakes))
    plans = _plans(document.get("plan", []), mistakes)
    if name is None or language is None:
        return None
    return Manifest(name, language, language_version, version, summary, tags, category, visibility, run, gateway, plans)


def _check_sections(document: Mapping[str, Any], mistakes: Mistakes) -> None:
    if "api" not in document:
        mistakes.add(("api",), 'is missing; write [api], and below it name = "weather" and runtime = "python"')
    for key in document:
        if key in KEYS:
            continue
        home = next((section for section, keys in KEYS.items() if key in keys), None)
        where = f"it belongs below [{home}]" if home else "allowed: [api], [run], [gateway] and [[plan]]"
        mistakes.add((key,), f"is not a table of apimarket.toml; {where}{'' if home else values.meant(key, [*KEYS])}")


def _section(document: Mapping[str, Any], name: str, mistakes: Mistakes) -> Table:
    data = document.get(name, {})
    if not isinstance(data, dict):
        mistakes.add((name,), f"found {described(data)}; allowed: a table, which begins with [{name}]")
        data = {}
    return Table(data, (name,), mistakes)


def _run(table: Table, language: Runtime | None) -> RunSpec:
    spec = RunSpec(
        entry=table.text("entry", lambda text: values.entry_of(language, text) if language else text, None),
        command=table.command(),
        health=table.text("health", values.path, None),
        env=table.env(),
        secrets=table.texts("secrets", values.env_name),
        memory_mb=table.number("memory_mb", 32, 65536, 512, "MB"),
        cpus=table.number("cpus", 0.1, 64, 1.0),
        timeout_s=table.number("timeout_s", 1, 3600, 30.0, "seconds"),
        replicas=table.number("replicas", 1, MOST_REPLICAS, 1),
        egress=table.flag("egress", True),
    )
    if "entry" in table and "command" in table:
        table.wrong("command", "found beside entry; allowed: one of the two")
    for name in spec.secrets:
        if name in spec.env:
            table.wrong("secrets", f"found {shown(name)}, which env sets too; allowed: in one of the two")
    table.unknown("run")
    return spec


def _gateway(table: Table) -> GatewaySpec:
    spec = GatewaySpec(
        auth="none" if table.choice("auth", ["key", "none"], "key") == "none" else "key",
        rate_limit=table.text("rate_limit", values.rate, None),
        cache_ttl_s=table.number("cache_ttl_s", 0, 86400, 0, "seconds"),
        cors=table.texts("cors", values.origin),
        max_body_mb=table.number("max_body_mb", 1, 10240, 100, "MB"),
    )
    table.unknown("gateway")
    return spec


def _plans(found: object, mistakes: Mistakes) -> tuple[PlanSpec, ...]:
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        mistakes.add(("plan",), f"found {described(found)}; allowed: tables, each of which begins with [[plan]]")
        return ()
    plans: list[PlanSpec] = []
    for index, data in enumerate(found):
        table = Table(data, ("plan", index), mistakes)
        code = table.needed("code", values.plan_code, '"free"')
        price = table.needed("price", values.price, '"4.50 EUR/month"')
        quota = table.text("quota", values.quota, None)
        overage = table.choice("overage", ["block", "bill"], "block")
        beyond = table.text("overage_price", values.unit_price, None)
        table.unknown("plan")
        if beyond is not None:
            _check_overage_price(table, price, quota, overage, beyond[1])
        if code in [plan.code for plan in plans]:
            table.wrong("code", f"found {shown(code)} a second time; allowed: each code once")
        elif code and price:
            plans.append(_plan(code, price, quota, overage, beyond[0] if beyond else None))
    return tuple(plans)


def _check_overage_price(
    table: Table, price: tuple[int, str, str] | None, quota: tuple[int, str] | None, overage: str, currency: str
) -> None:
    """A price for what can never be called, or in another currency, is a mistake and not a wish."""
    if overage != "bill":
        table.wrong("overage_price", 'stands in a plan that blocks; allowed: with overage = "bill"')
    elif quota is None:
        table.wrong("overage_price", 'stands in a plan without a quota; allowed: with one, as quota = "1000/month"')
    elif price is not None and price[1] != currency:
        table.wrong("overage_price", f"found {currency}; allowed: the currency of the plan's price, {price[1]}")


def _plan(
    code: str,
    price: tuple[int, str, str],
    quota: tuple[int, str] | None,
    overage: str,
    overage_price: Decimal | None,
) -> PlanSpec:
    minor, currency, interval = price
    requests, per = quota or (None, "")
    return PlanSpec(
        code,
        minor,
        currency,
        "year" if interval == "year" else "month",
        requests,
        None if quota is None else "day" if per == "day" else "month",
        "bill" if overage == "bill" else "block",
        overage_price,
    )
