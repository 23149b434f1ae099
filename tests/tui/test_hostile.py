"""Untrusted text, on every screen: nothing reaches the terminal that it would obey, and nothing is read as markup."""

import re
import time
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input

from apimarket_tui.clean import clean, log_line, one_line
from apimarket_tui.readme import readme_lines
from local_server.client.errors import ApimarketClientError
from local_server.client.results import CallResult
from local_server.wire.accounts import NewKeyView
from local_server.wire.analytics import StatsView
from local_server.wire.apis import FailureView, LogLineView, TemplateView
from local_server.wire.exchanges import CompareView, ExchangeView, HeaderChangeView, ReplayView
from local_server.wire.market import (
    EndpointView,
    ListingView,
    NewSubscriptionView,
    ReviewsView,
    Subscribe,
    SubscriptionView,
)
from local_server.wire.outbox import (
    ConflictView,
    ContractChangeView,
    FieldConflictView,
    FileChangeView,
    FileConflictView,
    OutboxView,
    RemoteView,
    SideView,
    TroubleView,
)
from local_server.wire.server import Check
from local_server.wire.sync import PublishedApiView

from .fake_backend import (
    NOW,
    FakeBackend,
    FakeServer,
    a_body,
    a_comparison,
    a_generation,
    a_key,
    a_replay,
    a_server,
    an_api,
    an_exchange,
    some_requests,
    some_stats,
    some_traffic,
)
from .fake_market import (
    a_card,
    a_listing,
    a_review,
    a_subscription,
    some_plans,
    some_reviews,
    some_versions,
)
from .fake_outbox import a_conflict, a_side, a_there, an_entry
from .fake_versions import ShareView, a_version
from .screen_text import screen_text
from .screens import market, press, running, settle, until

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m\x85\x07a\x00b [/x] [id] [@click=app.quit]c[/] \u202egnp.exe\u202c "
    "\u2066rtl\u2069 \ud800 日本語 🏳️\u200d🌈 العربية \r\n\tend"
)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class HostileBackend(FakeBackend):
    """Everything a stranger may have written is HOSTILE."""

    def __init__(self) -> None:
        failure = FailureView(
            kind="syntax", message=HOSTILE, headline=HOSTILE, traceback=f"{HOSTILE}\n{HOSTILE}", hint=HOSTILE
        )
        bad = an_api(
            "bad",
            id="api_bad",
            error=HOSTILE,
            failure=failure,
            serving=2,
            summary=HOSTILE,
            tags=[HOSTILE],
            directory=HOSTILE,
            entry=HOSTILE,
            health=HOSTILE,
            version=HOSTILE,
            url=f"http://{HOSTILE}",
            host_url=HOSTILE,
            runtime=HOSTILE,
            engine=HOSTILE,
            traffic=some_traffic(3, 3),
            generation=a_generation(3, "failed", failure=failure, digest=HOSTILE),
        )
        busy = an_api("busy", state="building", progress=HOSTILE, generation=None)
        odd = an_api(HOSTILE, id="api_odd", state=HOSTILE)
        super().__init__([bad, busy, odd])
        self.view = a_server(
            engine=HOSTILE, owner=HOSTILE, engine_detail=HOSTILE, home=HOSTILE, storage=HOSTILE, version=HOSTILE
        )
        self.checks = [Check(name=HOSTILE, status="failed", detail=HOSTILE, fix=HOSTILE)]
        self.template_list = [TemplateView(name="x", runtime=HOSTILE, title=HOSTILE, summary=HOSTILE)]
        self.log_lines = [
            LogLineView(api="bad", generation=3, stream=stream, text=HOSTILE, at=NOW)
            for stream in ("out", "err", "apimarket", HOSTILE)
        ]
        words = {"prefix": HOSTILE, "scopes": [HOSTILE], "cidrs": [HOSTILE], "rate_limit": HOSTILE, "api": HOSTILE}
        self.key_list = [a_key(HOSTILE, **words), a_key("odd", id=HOSTILE, state=HOSTILE, **words)]
        self.answer = CallResult(
            200,
            HOSTILE,
            [("x-apimarket-generation", HOSTILE), (HOSTILE, HOSTILE), ("x-apimarket-pending-error", HOSTILE)],
            HOSTILE.encode("utf-8", "surrogatepass"),
            1.0,
        )
        marks = {"error": HOSTILE, "progress": HOSTILE, "yanked_reason": HOSTILE, "tree": HOSTILE, "url": HOSTILE}
        self.version_list = [a_version("1.0.0").model_copy(update={"version": HOSTILE, "channels": [HOSTILE]} | marks)]
        shares = [ShareView.model_construct(target=HOSTILE, weight=50)]
        self.split = self.split.model_copy(update={"shares": shares, "earlier": [shares]})
        words = {"slug": HOSTILE, "owner": HOSTILE, "version": HOSTILE, "category": HOSTILE, "tags": [HOSTILE]}
        words |= {"runtime": HOSTILE, "price_from": HOSTILE, "free": False}
        self.elsewhere.cards = [a_card(f"x/{HOSTILE}", HOSTILE, id=HOSTILE, **words)]

    def connect(self, url: str, token: str) -> FakeServer:
        return HostileServer(self, url, token)

    async def stats(self, name: str, window: str = "24h") -> StatsView:
        stats = some_stats(name, window)
        errors = [
            one.model_copy(update={"path": HOSTILE, "method": HOSTILE, "outcome": HOSTILE}) for one in stats.errors
        ]
        paths = [one.model_copy(update={"path": HOSTILE}) for one in stats.paths]
        points = [one.model_copy(update={"statuses": {HOSTILE: 3}}) for one in stats.points]
        return stats.model_copy(update={"errors": errors, "paths": paths, "points": points})

    async def exchange(self, name: str, request_id: str) -> ExchangeView:
        body = a_body(HOSTILE, HOSTILE)
        headers = [(HOSTILE, HOSTILE)]
        values = {"path": HOSTILE, "query": HOSTILE, "method": HOSTILE, "curl": HOSTILE, "why_not": HOSTILE}
        answer = an_exchange(some_requests(name, 1)[0])
        sides = {"request_body": body, "response_body": body, "request_headers": headers, "response_headers": headers}
        return answer.model_copy(update=values | sides)

    async def replay_exchange(self, name: str, request_id: str, generation: int | None = None) -> ReplayView:
        return a_replay(3, text=HOSTILE).model_copy(update={"headers": [(HOSTILE, HOSTILE)]})

    async def compare_exchange(self, name: str, request_id: str, generation: int) -> CompareView:
        headers = [HeaderChangeView(name=HOSTILE, first=HOSTILE, second=HOSTILE)]
        lines = [f"{mark} {HOSTILE}" for mark in "-+@ "]
        return a_comparison(generation).model_copy(update={"headers_changed": headers, "body_diff": lines})

    async def rotate_key(self, key_id: str, grace_s: int = 3600, idempotency_key: str | None = None) -> NewKeyView:
        return NewKeyView(key=HOSTILE, info=self.key_list[0])

    async def requests(self, name: str, limit: int = 100) -> list[Any]:
        return [
            row.model_copy(update={"path": HOSTILE, "method": HOSTILE, "outcome": HOSTILE, "id": f"{row.id}{HOSTILE}"})
            for row in some_requests(name, 5)
        ]


class HostileServer(FakeServer):
    """A marketplace whose every text is HOSTILE."""

    async def listing(self, name: str) -> ListingView:
        endpoints = [EndpointView(method=HOSTILE, path=HOSTILE, summary=HOSTILE)]
        plans = [plan.model_copy(update={"code": HOSTILE, "price": HOSTILE, "quota": HOSTILE, "overage": HOSTILE,
                                         "overage_price": None}) for plan in some_plans()]  # fmt: skip
        markdown = f"# {HOSTILE}\n\n[{HOSTILE}](javascript:x) `{HOSTILE}`\n\n```\n{HOSTILE}\n```\n![{HOSTILE}](x)"
        card = self.remote.cards[0]
        return a_listing(card, readme=markdown, endpoints=endpoints, plans=plans)

    async def reviews(self, name: str, limit: int = 20, after: str | None = None) -> ReviewsView:
        review = a_review(HOSTILE, 5, f"{HOSTILE}\n{HOSTILE}", 2, answer=HOSTILE)
        return some_reviews().model_copy(update={"reviews": [review]})

    async def published(self, name: str) -> PublishedApiView:
        versions = some_versions("a/b")
        lines = [one.model_copy(update={"semver": HOSTILE, "yanked": HOSTILE}) for one in versions.versions[:1]]
        return versions.model_copy(update={"versions": lines})

    async def subscriptions(self) -> list[SubscriptionView]:
        words = {"code": HOSTILE, "price": f"4.50 {HOSTILE}", "overage_price": HOSTILE, "quota": HOSTILE}
        one = a_subscription(HOSTILE, some_plans()[1].model_copy(update=words), state=HOSTILE, next_plan=HOSTILE)
        return [one, one.model_copy(update={"id": "b", "next_plan": None, "spend_cap_minor": 5})]

    async def subscribe(self, name: str, body: Subscribe, idempotency_key: str | None = None) -> NewSubscriptionView:
        made = a_subscription(HOSTILE, some_plans()[0])
        return NewSubscriptionView(subscription=made, key=HOSTILE, key_id=HOSTILE)


def check(pilot: Pilot[Any]) -> str:
    text = screen_text(pilot.app)
    found = FORBIDDEN.search(text)
    assert not found, ascii(text[max(0, found.start() - 60) : found.end() + 60])
    assert all(cell_len(line) <= pilot.app.size.width for line in text.splitlines())
    text.encode("utf-8")
    return text


async def choose_bad(pilot: Pilot[Any]) -> None:
    pilot.app.screen.choose("bad")  # type: ignore[attr-defined]
    await settle(pilot)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("enter",),
        ("l",),
        ("enter", "right_square_bracket", "right_square_bracket"),
        ("5",),
        ("n",),
        ("ctrl+d",),
        ("ctrl+p",),
        ("colon", "l"),
        ("slash", "b"),
        ("enter", *["right_square_bracket"] * 3),
        ("enter", *["right_square_bracket"] * 4),
        ("enter", *["right_square_bracket"] * 4, "d"),
        ("enter", *["right_square_bracket"] * 5),
        ("enter", *["right_square_bracket"] * 5, "enter"),
        ("enter", *["right_square_bracket"] * 5, "d"),
        ("enter", *["right_square_bracket"] * 6),
        ("enter", *["right_square_bracket"] * 6, "b"),
        ("enter", *["right_square_bracket"] * 6, "down", "w"),
        ("enter", *["right_square_bracket"] * 6, "down", "D"),
        ("enter", *["right_square_bracket"] * 6, "down", "u"),
        ("enter", *["right_square_bracket"] * 4, "R", "y"),
        ("enter", "right_square_bracket", "right_square_bracket", "enter"),
        ("enter", "right_square_bracket", "right_square_bracket", "enter", "p"),
        ("enter", "right_square_bracket", "right_square_bracket", "enter", "d", "enter"),
    ],
    ids=lambda keys: "+".join(keys) or "local",
)
async def test_no_screen_lets_it_through(keys: tuple[str, ...]) -> None:
    async with running(HostileBackend(), size=(120, 40)) as pilot:
        await choose_bad(pilot)
        await press(pilot, *keys)
        assert "[/x] [id]" in check(pilot) or keys in (("colon", "l"),)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("c",),
        ("c", "enter"),
        ("enter",),
        *(("enter", *["right_square_bracket"] * number) for number in range(1, 5)),
        ("enter", "w"),
        ("S",),
        ("S", "p"),
        ("S", "c"),
        ("S", "R", "y"),
        ("s",),
        ("s", "ctrl+s"),
        ("p",),
        ("y",),
        ("ctrl+p",),
    ],
    ids=lambda keys: "+".join(keys) or "market",
)
async def test_no_screen_of_the_market_lets_it_through(keys: tuple[str, ...]) -> None:
    backend = HostileBackend()
    async with running(backend, size=(120, 40)) as pilot:
        await market(*keys)(pilot)
        assert "[/x] [id]" in check(pilot) or keys in (("ctrl+p",), ("y",))


async def test_a_marketplaces_refusal_is_text() -> None:
    backend = HostileBackend()
    backend.elsewhere.refusals["search"] = ApimarketClientError(
        HOSTILE, hint=HOSTILE, code=HOSTILE, status=429, title=HOSTILE
    )
    backend.elsewhere.copied = {"trouble": HOSTILE}
    async with running(backend, size=(120, 40)) as pilot:
        await market()(pilot)
        assert "[/x] [id]" in check(pilot)
        await press(pilot, "r")
        assert "[/x] [id]" in check(pilot)


def hostile_conflict() -> ConflictView:
    value = {HOSTILE: [HOSTILE, {"deep": HOSTILE}]}
    side = a_side(3, text=f"{HOSTILE}\n{HOSTILE}")
    fields = [FieldConflictView(key=HOSTILE, base=None, mine=value, theirs=HOSTILE)]
    files = [
        FileConflictView(path=HOSTILE, kind="text", mine=side, draft=f"<<<<<<< {HOSTILE}\n{HOSTILE}\n======="),
        FileConflictView(path="apimarket.toml", kind="manifest", fields=fields),
        FileConflictView(path=f"1{HOSTILE}", kind="binary", mine=side, theirs=side),
        FileConflictView(path=f"2{HOSTILE}", kind="name", other=HOSTILE),
    ]
    version = SideView(version=HOSTILE, tree=HOSTILE)
    values = {"name": HOSTILE, "remote": HOSTILE, "base": version, "mine": version, "theirs": version}
    return a_conflict().model_copy(update=values | {"merged": [f"3{HOSTILE}"], "files": files})


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("tab",),
        ("down",),
        ("down", "down"),
        ("c",),
        ("y",),
        *(("enter", *["down"] * number) for number in range(5)),
        ("enter", "m", "t"),
        ("enter", "F"),
        ("enter", "F", "enter"),
    ],
    ids=lambda keys: "+".join(keys) or "sync",
)
async def test_no_screen_of_sync_lets_it_through(keys: tuple[str, ...]) -> None:
    backend = HostileBackend()
    trouble = TroubleView(code=HOSTILE, detail=HOSTILE, hint=HOSTILE)
    words = {"name": HOSTILE, "version": HOSTILE, "remote": HOSTILE, "url": HOSTILE, "trouble": trouble}
    entries = [
        an_entry("bad", state, **words, op=f"{state}{HOSTILE}")
        for state in ("conflict", "rejected", "queued", "applied", HOSTILE)
    ]
    remote = RemoteView(url=HOSTILE, account=HOSTILE, marketplace_id=HOSTILE, trouble=trouble)
    there = a_there(HOSTILE, HOSTILE, None, visibility=HOSTILE, yanked={HOSTILE: HOSTILE}, remote=HOSTILE)
    backend.out = OutboxView(entries=entries, remotes=[remote], apis=[there])
    backend.the_conflict = hostile_conflict()
    async with running(backend, size=(120, 40)) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: "[/x] [id]" in screen_text(pilot.app))
        await press(pilot, *keys)
        assert "[/x] [id]" in check(pilot)


@pytest.mark.parametrize("keys", [(), ("enter",), ("v",)], ids=["shown", "sent", "version"])
async def test_no_publish_lets_it_through(keys: tuple[str, ...]) -> None:
    backend = HostileBackend()
    change = FileChangeView(path=HOSTILE, change="changed", size_bytes=1)
    contract = ContractChangeView(rule=HOSTILE, severity=HOSTILE, operation=HOSTILE, text=HOSTILE)
    backend.plan_fields = {
        "name": HOSTILE,
        "remote": HOSTILE,
        "version": HOSTILE,
        "tree": HOSTILE,
        "published": HOSTILE,
        "asked_version": HOSTILE,
        "warnings": [HOSTILE],
        "files": [change],
        "contract": [contract],
    }
    async with running(backend, size=(120, 40)) as pilot:
        await choose_bad(pilot)
        await press(pilot, "P")
        await until(pilot, lambda: "What changes" in screen_text(pilot.app))
        await press(pilot, *keys)
        assert "[/x] [id]" in check(pilot)


@pytest.mark.parametrize(
    "markdown",
    ["#" * 50_000, "> " * 50_000, "* " * 50_000, "[" * 50_000, "![[[](" * 9_000, "|a|b|\n|-|-|\n" + "|1|2|\n" * 9_000,
     "`" * 50_000, "<!--" * 12_000, "\n".join("  " * depth + "* x" for depth in range(300))],
    ids=["hashes", "quotes", "bullets", "brackets", "images", "table", "ticks", "comments", "nested"],
)  # fmt: skip
def test_no_readme_takes_long_or_fails(markdown: str) -> None:
    started = time.process_time()
    lines = readme_lines(markdown, 100)
    assert time.process_time() - started < 8
    assert all(sum(cell_len(text) for text, _ in line) <= 100 for line in lines[:-1])


async def test_the_logs_and_the_console_show_it_as_text() -> None:
    async with running(HostileBackend(), size=(160, 40)) as pilot:
        await press(pilot, "3")
        pilot.app.screen.query_one("#url", Input).value = "busy/x"
        await press(pilot, "enter")
        await until(pilot, lambda: "[@click=app.quit]c[/]" in screen_text(pilot.app))
        check(pilot)
        await press(pilot, "h")
        check(pilot)


async def test_an_error_in_the_corner_is_text() -> None:
    backend = HostileBackend()
    backend.refusals["restart"] = ApimarketClientError(HOSTILE, hint=HOSTILE, code="x", status=409, title=HOSTILE)
    async with running(backend, size=(120, 40)) as pilot:
        await choose_bad(pilot)
        await press(pilot, "r", "y")
        assert "[/x]" in check(pilot)


async def test_a_lost_server_with_a_hostile_reason() -> None:
    backend = HostileBackend()
    async with running(backend, size=(120, 40)) as pilot:
        backend.refusals["server"] = ApimarketClientError(
            HOSTILE, hint=HOSTILE, code="token", status=401, title=HOSTILE
        )
        pilot.app.live.look_now()  # type: ignore[attr-defined]
        await until(pilot, lambda: pilot.app.live.lost is not None)  # type: ignore[attr-defined]
        await settle(pilot)
        assert "[/x]" in check(pilot)


class TestClean:
    def test_plain_text_is_itself(self) -> None:
        assert clean("GET /now 200") == "GET /now 200"

    def test_a_coloured_log_line_stays_readable(self) -> None:
        assert log_line("\x1b[1;32mINFO\x1b[0m:\tready") == "INFO:   ready"

    def test_a_hyperlink_keeps_its_text(self) -> None:
        assert clean("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\") == "click"

    def test_one_line_joins_lines(self) -> None:
        assert one_line("a\r\n\tb\nc") == "a b c"

    def test_every_control_goes(self) -> None:
        everything = "".join(chr(code) for code in range(0x110000) if code != 0x0A)
        assert not FORBIDDEN.search(clean(everything))
