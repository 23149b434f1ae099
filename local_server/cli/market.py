"""`search`, `subscribe`, `subscriptions`, `usage` and `reviews`: the marketplace, here or on another server."""

import sys

import click

from local_server.cli.connection import print_json, running_client
from local_server.cli.keys import shown_once
from local_server.cli.outcome import verb
from local_server.cli.remotes import Remote, market_of, market_option
from local_server.cli.text import age, clean, line_of, milliseconds, paint, table
from local_server.client.calls import new_once
from local_server.client.errors import ServerUnreachableError
from local_server.client.market_calls import Filter
from local_server.client.market_documents import (
    ListingCardDocument,
    MarketSearchDocument,
    ReviewDocument,
    ReviewsDocument,
    SearchDocument,
    SubscriptionDocument,
)
from local_server.client.synchronous import Client

_SORTS = ("best", "rating", "subscribers", "newest", "name")
_SHOWN_FACETS = 6
GRACE_S = 3600
"""How long a key goes on beside the one that takes its place."""


@verb()
@click.argument("query", nargs=-1)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only with this tag; repeat it for several.")
@click.option("--category", help="Only in this category.")
@click.option("--owner", help="Only this account's.")
@click.option("--runtime", metavar="LANGUAGE", help="Only in this language.")
@click.option(
    "--min-rating", type=click.FloatRange(1, 5), metavar="STARS", help="Only what people gave so many, 1 to 5."
)
@click.option("--free", is_flag=True, help="Only what can be used without paying.")
@click.option("--sort", type=click.Choice(_SORTS), default="best", show_default=True, help="In which order.")
@click.option("--limit", "-n", type=click.IntRange(1, 100), default=20, show_default=True, help="At most so many.")
@click.option("--offline", is_flag=True, help="In this machine's copy of a marketplace's catalogue.")
@market_option
def search(
    query: tuple[str, ...],
    tags: tuple[str, ...],
    offline: bool,
    remote: str | None,
    as_json: bool,
    **narrowing: Filter,
) -> None:
    """Find public APIs by words; without any, the best there are. Where the other server does not answer, and with
    --offline, the copy of its catalogue is searched that this machine keeps."""
    words, filters = " ".join(query), narrowing | {"tag": tags, "free": "true" if narrowing["free"] else None}
    meant = market_of(remote)
    if offline:
        found: SearchDocument = _in_the_copy(words, filters, remote)
    else:
        try:
            found = meant.client.search(words, **filters)
        except ServerUnreachableError as error:
            if meant.local is not None:
                raise
            click.echo(error.detail, err=True)
            found = _in_the_copy(words, filters, meant.url)
    narrowed = any(filters[name] for name in ("tag", "category", "owner", "runtime", "min_rating", "free"))
    if as_json:
        print_json(found)
    else:
        click.echo(_results(found, meant) if found["apis"] else _nothing(words, meant, narrowed=narrowed))


def _in_the_copy(words: str, filters: dict[str, Filter], remote: str | None) -> MarketSearchDocument:
    found = running_client().market_search(words, remote=remote, offline="true", **filters)
    copied = found["copied"]
    state = "unfinished" if copied["age_s"] is None else age(copied["age_s"])
    counted = "1 API" if copied["listings"] == 1 else f"{copied['listings']:,} APIs"
    told = f"From the copy of {clean(copied['remote'])}, {state}, {counted}."
    click.echo(paint(told, dim=True, err=True), err=True)
    return found


def _results(found: SearchDocument, meant: Remote) -> str:
    head = ["API", "RATING", "USERS", "PRICE", "OK", "P95", "SUMMARY"]
    more = "" if found["complete"] else "+"
    lines = [table(head, [_card(card) for card in found["apis"]]), ""]
    lines.append(paint(f"{found['total']}{more} found at {clean(meant.url)}", dim=True))
    for name in ("category", "tag"):
        counted = [f"{line_of(one['value'])} {one['count']}" for one in found["facets"].get(name, [])[:_SHOWN_FACETS]]
        if counted:
            lines.append(paint(f"{name}: {', '.join(counted)}", dim=True))
    return "\n".join(lines)


def _nothing(words: str, meant: Remote, *, narrowed: bool) -> str:
    what = f"matches {line_of(words)!r}" if words else "is listed"
    if narrowed:
        what = f"{what} with these filters" if words else "matches these filters"
    if meant.local is None:
        return f"Nothing at {clean(meant.url)} {what}."
    hint = "To search a marketplace: apimarket login NAME --remote URL, or --remote URL"
    return f"Nothing on this machine {what}.\n{paint('hint:', 'cyan')} {hint}"


def _card(card: ListingCardDocument) -> list[str]:
    ok = card["success_rate"]
    return [
        clean(card["name"]),
        "–" if card["rating"] is None else f"{card['rating']:.1f} ({card['reviews']})",
        str(card["subscribers"]),
        "free" if card["free"] else f"from {card['price_from']}",
        "–" if ok is None else f"{ok * 100:.1f}%",
        milliseconds(card["p95_ms"]),
        line_of(card["summary"]),
    ]


@verb()
@click.argument("api", metavar="OWNER/NAME")
@click.option("--plan", help="Which plan.  [default: the free one, or the only one]")
@click.option("--spend-cap", "spend_cap_minor", type=click.IntRange(0), help="Most a month may cost, in minor units.")
@market_option
def subscribe(api: str, plan: str | None, spend_cap_minor: int | None, remote: str | None, as_json: bool) -> None:
    """Subscribe to an API. Its key is shown once, alone on standard output, and cannot be shown again."""
    name = full_name(api)
    client = market_of(remote).client
    made = client.subscribe(name, {"plan": plan, "spend_cap_minor": spend_cap_minor}, new_once())
    if made["key"] is None and made["key_id"] is not None:  # the answer that held it was lost
        other = client.rotate_key(made["key_id"], 0, new_once())
        made["key"], made["key_id"] = other["key"], other["info"]["id"]
    if as_json:
        print_json(made)
        return
    one = made["subscription"]
    click.echo(made["key"])
    said = f"{clean(one['api'])}, plan {clean(one['plan']['code'])} at {one['plan']['price']}, subscription {one['id']}"
    click.echo(f"{paint('for', dim=True, err=True)} {said}", err=True)
    click.echo("Keep it now: it is not stored here and cannot be shown again.", err=True)


@verb()
@click.argument("act", required=False, type=click.Choice(["cancel", "keep", "change", "key"]))
@click.argument("subscription", required=False, metavar="ID")
@click.option("--now", is_flag=True, help="At once: with cancel not when the period ends, with key not in an hour.")
@click.option("--plan", help="With change: the plan to go on with.")
@market_option
def subscriptions(
    act: str | None, subscription: str | None, now: bool, plan: str | None, remote: str | None, as_json: bool
) -> None:
    """Your subscriptions, ended ones too; or `cancel ID`, `keep ID`, `change ID --plan PLAN`; or `key ID`: another key,
    where the first was lost."""
    client = market_of(remote).client
    if act is None:
        found = client.subscriptions()
    elif subscription is None:
        raise click.UsageError(f"Which one? Try: apimarket subscriptions {act} ID")
    elif act == "key":
        key_id = _key_of(client, subscription)
        shown_once(client.rotate_key(key_id, 0 if now else GRACE_S, new_once()), as_json)
        return
    elif act == "cancel":
        found = [client.cancel_subscription(subscription, "now" if now else "period_end")]
    elif act == "keep":
        found = [client.change_subscription(subscription, {"keep": True})]
    elif plan is None:
        raise click.UsageError("To which plan? Try: apimarket subscriptions change ID --plan PLAN")
    else:
        found = [client.change_subscription(subscription, {"plan": plan})]
    if as_json:
        print_json(found if act is None else found[0])
    else:
        click.echo(_subscriptions(found) if found else "You have no subscriptions. Find an API: apimarket search")


def _key_of(client: Client, subscription: str) -> str:
    """Raises SubscriptionNotFound; SubscriptionNotLive where it has none in force."""
    from local_server.domain.market_errors import SubscriptionNotFound, SubscriptionNotLive

    for one in client.subscriptions():
        if one["id"] == subscription:
            if key_id := one.get("key_id"):
                return key_id
            raise SubscriptionNotLive(subscription, one["state"])
    raise SubscriptionNotFound(subscription)


@verb()
@market_option
def usage(remote: str | None, as_json: bool) -> None:
    """What you used of your subscriptions in this period, what is left, and what it costs so far."""
    found = market_of(remote).client.usage()
    if as_json:
        print_json(found)
    elif not found:
        click.echo("You have no subscriptions. Find an API: apimarket search")
    else:
        head = ["API", "PLAN", "USED", "LEFT", "RESETS", "BEYOND", "COST", "PERIOD ENDS"]
        click.echo(table(head, [_usage(one) for one in found]))


def _usage(one: SubscriptionDocument) -> list[str]:
    metered = one["usage"]
    left = metered["quota_left"]
    return [
        clean(one["api"]),
        clean(one["plan"]["code"]),
        str(metered["used"]),
        "–" if left is None else paint(str(left), "red" if left == 0 else None),
        _day(metered["quota_resets_at"]),
        str(metered["beyond"]),
        metered["cost"],
        _day(one["period_end"]),
    ]


def _subscriptions(found: list[SubscriptionDocument]) -> str:
    rows = []
    for one in found:
        plan = one["plan"]
        named = [one["id"], clean(one["api"]), clean(plan["code"]), plan["price"]]
        rows.append([*named, _state(one), _day(one["ended_at"] or one["period_end"])])
    return table(["ID", "API", "PLAN", "PRICE", "STATE", "ENDS"], rows)


def _state(one: SubscriptionDocument) -> str:
    state = paint(one["state"], {"active": "green", "trialing": "green"}.get(one["state"], "red"))
    if one["cancel_at_end"]:
        return f"{state}, ends then"
    return f"{state}, then {clean(one['next_plan'])}" if one["next_plan"] is not None else state


@verb()
@click.argument("api", metavar="OWNER/NAME")
@click.option("--rate", type=click.IntRange(1, 5), help="Write a review of yours, with so many stars.")
@click.option("--text", help="With --rate or --answer: what you say; - reads it from standard input.")
@click.option("--answer", metavar="REVIEWER", help="Answer a review of an API of yours; without --text, take it back.")
@click.option("--remove", is_flag=True, help="Take your review back.")
@market_option
def reviews(
    api: str, rate: int | None, text: str | None, answer: str | None, remove: bool, remote: str | None, as_json: bool
) -> None:
    """What those who used an API say of it; with --rate, say it yourself."""
    name, client = full_name(api), market_of(remote).client
    if sum((rate is not None, answer is not None, remove)) > 1:
        raise click.UsageError("--rate, --answer and --remove exclude each other.")
    if text is not None and rate is None and answer is None:
        raise click.UsageError("--text needs --rate, the number of stars, or --answer, whom.")
    if remove:
        client.remove_review(name)
        print_json({"removed": True}) if as_json else click.echo(f"Your review of {line_of(name)} is gone")
        return
    said = sys.stdin.read() if text == "-" else text or ""
    if rate is not None:
        written = client.write_review(name, {"rating": rate, "text": said})
    elif answer is not None:
        written = client.answer_review(name, answer, said)
    else:
        found = client.reviews(name)
        print_json(found) if as_json else click.echo(_reviews(name, found))
        return
    print_json(written) if as_json else click.echo(_review(written))


def _reviews(name: str, found: ReviewsDocument) -> str:
    summary = found["summary"]
    if summary["average"] is None:
        return f"{line_of(name)} has no reviews."
    counted = "1 review" if summary["count"] == 1 else f"{summary['count']} reviews"
    lines = [f"{paint(line_of(name), bold=True)}  {summary['average']:.1f} of 5, {counted}"]
    return "\n\n".join(lines + [_review(review) for review in found["reviews"]])


def _review(review: ReviewDocument) -> str:
    head = f"{_stars(review['rating'])}  {clean(review['reviewer'])}  {_day(review['updated_at'])}"
    lines = [head, *(f"  {line}" for line in clean(review["text"]).splitlines())]
    if review["answer"] is not None:
        lines += [paint("  its owner:", dim=True), *(f"    {line}" for line in clean(review["answer"]).splitlines())]
    return "\n".join(lines)


def _stars(rating: int) -> str:
    return paint("★" * rating + "☆" * (5 - rating), "yellow")


def _day(iso: str | None) -> str:
    return "–" if iso is None else line_of(iso)[:10]


def full_name(name: str) -> str:
    """Raises UsageError for what is none."""
    owner, slash, slug = name.partition("/")
    if not (owner and slash and slug) or "/" in slug:
        raise click.UsageError(f"{name!r} is no OWNER/NAME. Find it with: apimarket search")
    return name
