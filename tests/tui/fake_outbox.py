"""Versions on their way in every state, what a marketplace has, a plan and a conflict: all in memory."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from local_server.wire.outbox import (
    ConflictView,
    ContractChangeView,
    FieldConflictView,
    FileChangeView,
    FileConflictView,
    FileSideView,
    OutboxEntryView,
    OutboxView,
    PublishApi,
    PublishPlanView,
    PublishView,
    PullApi,
    PulledView,
    RemoteApiView,
    RemoteView,
    ResolveConflict,
    ResolvedView,
    SideView,
    TroubleView,
)

from .fake_market import MARKET_URL, NOW

TREE = "9e3779b1" * 8
CONFLICT = TroubleView(
    code="head_moved",
    detail="1.3.0 was published from another machine after what this was made upon",
    hint="Settle it: apimarket sync --resolve weather",
)
OFFLINE = TroubleView(
    code="server_unreachable", detail="No apimarket server answers at https://market.example: no route"
)
REJECTED = TroubleView(
    code="too_large", detail="A file of 212 MB is more than the 100 MB allowed", hint="Leave it out."
)


def an_entry(api: str, state: str, version: str = "1.2.0", minutes: float = 3, **fields: object) -> OutboxEntryView:
    values: dict[str, object] = {
        "op": f"op-{api}-{version}",
        "api_id": f"api_{api}",
        "api": api,
        "name": f"ana/{api}",
        "remote": MARKET_URL,
        "version": version,
        "version_id": "5" * 64,
        "tree": TREE,
        "state": state,
        "attempts": 0,
        "sent_bytes": 0,
        "total_bytes": 3_400_000,
        "sent_blobs": 0,
        "total_blobs": 41,
        "url": f"{MARKET_URL}/ana/{api}@{version}/",
        "created_at": NOW - timedelta(minutes=minutes),
        "updated_at": NOW - timedelta(seconds=2),
    }
    return OutboxEntryView.model_validate(values | fields)


def some_entries() -> list[OutboxEntryView]:
    return [
        an_entry("thumbnails", "uploading", "2.1.0", 1, sent_bytes=1_260_000, sent_blobs=14),
        an_entry("weather", "conflict", "1.3.0", 12, trouble=CONFLICT),
        an_entry("billing", "queued", "0.9.1", 40, attempts=4, trouble=OFFLINE, next_at=NOW + timedelta(seconds=21)),
        an_entry("search", "rejected", "0.2.0", 90, trouble=REJECTED),
        an_entry("geocode", "applied", "1.0.2", 600, sent_bytes=812, sent_blobs=1),
        an_entry("notes", "canceled", "0.1.0", 3000),
    ]


def a_there(api: str, version: str | None, base: str | None, **fields: object) -> RemoteApiView:
    values: dict[str, object] = {
        "remote": MARKET_URL,
        "name": f"ana/{api}",
        "api": api,
        "version": version,
        "base": base,
        "ahead": version != base,
        "visibility": "public",
        "deleted": False,
    }
    return RemoteApiView.model_validate(values | fields)


def an_outbox() -> OutboxView:
    remote = RemoteView(url=MARKET_URL, account="ana", marketplace_id="m1", reachable=True, seen_at=NOW)
    there = [
        a_there("weather", "1.3.0", "1.2.0"),
        a_there("geocode", "1.0.2", "1.0.2", visibility="private", yanked={"1.0.1": "leaks memory"}),
        a_there("fx-rates", "0.4.0", "0.4.0", visibility="unlisted"),
        a_there("ledger", "0.3.0", "0.3.0", deleted=True),
    ]
    return OutboxView(entries=some_entries(), remotes=[remote], apis=there)


def a_plan(api: str, version: str = "1.3.0") -> PublishPlanView:
    values: dict[str, object] = {
        "name": f"ana/{api}",
        "remote": MARKET_URL,
        "version": version,
        "version_id": "5" * 64,
        "tree": TREE,
        "generation": 14,
        "published": "1.2.0",
        "files": [
            FileChangeView(path="main.py", change="changed", size_bytes=4812, before_bytes=4512),
            FileChangeView(path="stations/north.json", change="added", size_bytes=91_240),
            FileChangeView(path="old.py", change="removed", size_bytes=0, before_bytes=1200),
        ],
        "total_files": 41,
        "total_bytes": 3_400_000,
        "send_bytes": 92_460,
        "requests": 2,
        "contract_known": True,
        "contract": [
            ContractChangeView(
                rule="request-parameter-became-required",
                severity="error",
                operation="GET /forecast",
                text="the query parameter 'hours' is required now",
            ),
            ContractChangeView(rule="endpoint-added", severity="info", operation="POST /alerts", text="is new"),
        ],
        "bump": "major",
        "asked_version": "2.0.0",
        "warnings": ["1.3.0 promises that callers need not change; the changes ask for 2.0.0"],
        "visibility": "public",
    }
    return PublishPlanView.model_validate(values)


def a_side(size_bytes: int, text: str | None = None) -> FileSideView:
    return FileSideView(sha256="a" * 64, size_bytes=size_bytes, mode=644, text=text)


DRAFT = """def now(q):
<<<<<<< mine
    return metric(read(q))
||||||| base
    return read(q)
=======
    return read(q, timeout_s=5)
>>>>>>> theirs
"""


def a_conflict(api: str = "weather") -> ConflictView:
    text = FileConflictView(
        path="main.py", kind="text", base=a_side(40), mine=a_side(52), theirs=a_side(60), draft=DRAFT
    )
    fields = [
        FieldConflictView(key="api.summary", base="Weather", mine="Weather anywhere", theirs="Weather at sea"),
        FieldConflictView(key="run.memory_mb", base=None, mine=512, theirs=256),
    ]
    manifest = FileConflictView(
        path="apimarket.toml", kind="manifest", base=a_side(80), mine=a_side(90), theirs=a_side(95), fields=fields
    )
    picture = FileConflictView(path="logo.png", kind="binary", base=a_side(9000), mine=a_side(9100), theirs=None)
    return ConflictView(
        name=f"ana/{api}",
        remote=MARKET_URL,
        op=f"op-{api}-1.3.0",
        base=SideView(version="1.2.0", version_id="1" * 64, tree=TREE),
        mine=SideView(version="1.3.0", version_id="2" * 64, tree=TREE),
        theirs=SideView(version="1.3.0", version_id="3" * 64, tree=TREE),
        merged=["README.md", "stations/south.json"],
        files=[text, manifest, picture],
        next_version="1.3.1",
    )


class FakeOutbox:
    """The calls about publishing and pulling. `_reached` is the server's."""

    _reached: Callable[..., Awaitable[None]]

    def __init__(self) -> None:
        self.out = OutboxView(entries=[], remotes=[], apis=[])
        self.plan_fields: dict[str, object] = {}
        self.the_conflict = a_conflict()
        self.asked: list[PublishApi] = []
        self.resolved: list[ResolveConflict] = []
        self.pulled_fields: dict[str, object] = {}

    async def publish(self, name: str, request: PublishApi) -> PublishView:
        await self._reached("publish", name)
        self.asked.append(request)
        number = request.version or "1.3.0"
        plan = a_plan(name, number).model_copy(update=self.plan_fields)
        if request.dry_run:
            return PublishView(plan=plan)
        entry = an_entry(name, "queued", number, 0)
        self._put_entry(entry)
        return PublishView(plan=plan, entry=entry)

    def _put_entry(self, entry: OutboxEntryView) -> OutboxEntryView:
        entries = [entry, *(one for one in self.out.entries if one.op != entry.op)]
        self.out = self.out.model_copy(update={"entries": entries})
        return entry

    async def outbox(self) -> OutboxView:
        await self._reached("outbox")
        return self.out

    async def _moved(self, method: str, op: str, state: str) -> OutboxEntryView:
        await self._reached(method, op)
        entry = next(one for one in self.out.entries if one.op == op)
        return self._put_entry(entry.model_copy(update={"state": state, "trouble": None, "next_at": None}))

    async def retry_outgoing(self, op: str) -> OutboxEntryView:
        return await self._moved("retry_outgoing", op, "queued")

    async def cancel_outgoing(self, op: str) -> OutboxEntryView:
        return await self._moved("cancel_outgoing", op, "canceled")

    async def sync_now(self) -> OutboxView:
        await self._reached("sync_now", "all")
        return self.out

    async def pull(self, name: str, request: PullApi) -> PulledView:
        await self._reached("pull", f"{name} write={request.write}")
        values: dict[str, object] = {
            "name": f"ana/{name}",
            "remote": MARKET_URL,
            "version": "1.3.0",
            "version_id": "3" * 64,
            "tree": TREE,
            "fetched_bytes": 812,
            "new_versions": ["1.3.0"],
            "moved": True,
            "written": True,
            "conflict": False,
            "directory": f"/home/ana/code/{name}",
            "api_id": f"api_{name}",
        }
        return PulledView.model_validate(values | self.pulled_fields)

    async def conflict(self, name: str, remote: str | None = None) -> ConflictView:
        await self._reached("conflict", f"{name} {remote}")
        return self.the_conflict

    async def resolve_conflict(self, name: str, request: ResolveConflict) -> ResolvedView:
        await self._reached("resolve_conflict", f"{name} {request.how}")
        self.resolved.append(request)
        entry = None if request.how == "theirs" else self._put_entry(an_entry(name, "queued", "1.3.1", 0))
        version = entry.version if entry is not None else None
        return ResolvedView(how=request.how, tree=TREE, version=version, entry=entry, written=True)
