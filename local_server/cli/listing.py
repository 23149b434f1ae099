"""`show`, `plans` and `subscribers`: one API of a marketplace, as everybody sees it and as its owner does."""

import click

from local_server.cli.connection import print_json
from local_server.cli.market import full_name
from local_server.cli.outcome import verb
from local_server.cli.remotes import client_of, market_of, market_option, remote_option
from local_server.cli.text import clean, day_of, line_of, milliseconds, paint, table
from local_server.client.market_documents import (
    ListedVersionDocument,
    ListingDocument,
    PlanDocument,
    UsageRowDocument,
    WrittenPlanDocument,
)

_SHOWN_ENDPOINTS = 30


@verb()
@click.argument("api", metavar="OWNER/NAME")
@click.option("--readme", is_flag=True, help="Its README alone.")
@market_option
def show(api: str, readme: bool, remote: str | None, as_json: bool) -> None:
    """What a marketplace knows of an API: plans, endpoints, versions, what its calls of 30 days say."""
    name, market = full_name(api), market_of(remote)
    found = market.client.listing(name)
    if as_json:
        print_json(found)
    elif readme:
        click.echo(clean(found["readme"]) or f"{line_of(name)} has no README.")
    else:
        click.echo(_described(found, market.url))


@verb()
@click.argument("name")
@remote_option
def plans(name: str, remote: str | None, as_json: bool) -> None:
    """The plans in the manifest of the API NAME of yours. What is offered of them: show OWNER/NAME."""
    found = client_of(remote).plans(name)
    if as_json:
        print_json(found)
    elif found:
        click.echo(table(["PLAN", "PRICE", "QUOTA", "BEYOND"], [_plan(one) for one in found]))
    else:
        click.echo(
            f"The manifest of {line_of(name)} names no plan: it is offered for nothing, without an end.\n"
            'Write one into apimarket.toml: [[plan]] code = "pro" price = "4.50 EUR/month" quota = "1000/month"'
        )


@verb()
@click.argument("name")
@market_option
def subscribers(name: str, remote: str | None, as_json: bool) -> None:
    """Who subscribed to the API NAME of yours: plan, use and cost of the period."""
    found = market_of(remote).client.subscribers(name)
    if as_json:
        print_json(found)
    elif found:
        head = ["SUBSCRIBER", "PLAN", "STATE", "USED", "BEYOND", "COST", "PERIOD BEGAN", "ENDS"]
        click.echo(table(head, [_subscriber(one) for one in found]))
    else:
        click.echo(f"Nobody has subscribed to {line_of(name)}.")


def _described(found: ListingDocument, url: str) -> str:
    card, measured = found["api"], found["measured"]
    stars = "no reviews" if card["rating"] is None else f"{card['rating']:.1f} of 5 in {card['reviews']}"
    calls = f"{measured['requests']} in 30 days"
    if measured["success_rate"] is not None:
        calls += f"  ok {measured['success_rate'] * 100:.1f}%"
    if measured["uptime"] is not None:
        calls += f"  up {measured['uptime'] * 100:.1f}%"
    if measured["p50_ms"] is not None:
        calls += f"  p50 {milliseconds(measured['p50_ms'])}  p95 {milliseconds(measured['p95_ms'])}"
    rows = [
        ("url", f"{url}/{clean(card['name'])}/"),
        ("is", "  ".join(filter(None, [clean(card["runtime"]), line_of(card["category"]), clean(card["visibility"])]))),
        ("tags", " ".join(map(line_of, card["tags"]))),
        ("rating", stars),
        ("users", str(card["subscribers"])),
        ("calls", calls),
    ]
    lines = [f"{paint(clean(card['name']), bold=True)} {clean(card['version'])}", line_of(card["summary"])]
    lines += [f"{paint(f'{label:<6}', dim=True)} {value}" for label, value in rows if value]
    parts = ["\n".join(filter(None, lines)), *_tables(found)]
    return "\n\n".join([*parts, paint(f"Subscribe: apimarket subscribe {clean(card['name'])}", dim=True)])


def _tables(found: ListingDocument) -> list[str]:
    tables = [table(["PLAN", "PRICE", "QUOTA", "BEYOND"], [_plan(one) for one in found["plans"]])]
    if endpoints := found["endpoints"][:_SHOWN_ENDPOINTS]:
        rows = [[line_of(one["method"]), line_of(one["path"]), line_of(one["summary"])] for one in endpoints]
        more = len(found["endpoints"]) - len(endpoints)
        tables.append(table(["METHOD", "PATH", "SUMMARY"], rows) + (f"\nand {more} more" if more else ""))
    if versions := found.get("versions", []):
        tables.append(table(["VERSION", "PUBLISHED", "REMARKS"], [_version(one) for one in versions]))
    return tables


def _plan(one: PlanDocument | WrittenPlanDocument) -> list[str]:
    beyond = "–" if one["quota"] is None else "refused" if one["overage"] == "block" else "let in"
    if one["overage_price"] is not None:
        beyond = f"{one['overage_price']} each"
    return [clean(one["code"]), one["price"], one["quota"] or "unlimited", beyond]


def _version(one: ListedVersionDocument) -> list[str]:
    ends = f"ends {day_of(one['sunset_at'])}" if one["sunset_at"] else "deprecated" if one["deprecated_at"] else "–"
    return [clean(one["version"]), day_of(one["published_at"]), ends]


def _subscriber(one: UsageRowDocument) -> list[str]:
    named = [clean(one["subscriber"]), clean(one["plan"]), one["state"], str(one["used"]), str(one["beyond"])]
    return [*named, one["cost"], one["period_start"][:10], one["period_end"][:10]]
