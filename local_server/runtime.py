"""Opens everything a server is made of, in order, and closes it in reverse."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import psutil

from local_server import __version__
from local_server.accounts.keys import Keys
from local_server.accounts.opening import open_accounts
from local_server.accounts.quotas import QuotaLedger, QuotaUses
from local_server.accounts.service import Accounts
from local_server.analytics.meter import Meter
from local_server.analytics.retention import Keep, keep_pruning
from local_server.analytics.service import AccessLog
from local_server.analytics.traffic import TrafficWindows
from local_server.data_directory import DataDirectory
from local_server.databases import claim_executor, open_database
from local_server.domain.errors import ApimarketError
from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId, OpId, UserId
from local_server.domain.manifest_document import manifest_from
from local_server.domain.publish_errors import OutboxEntryNotFound
from local_server.domain.registry import Api, User
from local_server.domain.registry_errors import NameTaken
from local_server.events.bus import Bus
from local_server.events.pg_bus import PgBus
from local_server.events.sse import Stream
from local_server.executor.board import Board
from local_server.executor.engine import Engine, EngineSettings, keeper_of_sandboxes
from local_server.executor.engines.none import NoEngine
from local_server.executor.secrets import Secrets
from local_server.executor.service import Executor
from local_server.executor.watch import Watcher
from local_server.executor.workshop import Pace, Workshop
from local_server.feed import Feed
from local_server.gateway.asgi import Gateway
from local_server.gateway.lane import Lane
from local_server.gateway.shared_limits import SharedLimits
from local_server.housekeeping import keep_house
from local_server.in_common import check_in_common
from local_server.inspection.service import Inspection
from local_server.limiter.opening import open_counter
from local_server.loop_watch import LoopWatch
from local_server.marketplace.catalogue import Catalogue
from local_server.marketplace.copies import Copies
from local_server.marketplace.listings import Listings
from local_server.marketplace.reviews import Reviews
from local_server.marketplace.routes import Market
from local_server.marketplace.subscriptions import Subscriptions
from local_server.marketplace.upkeep import Upkeep
from local_server.publishing.manifest import read_manifest
from local_server.publishing.opening import Place, make_publications
from local_server.publishing.routes import Publications
from local_server.registry.service import Registry
from local_server.roles.figures import FigureTeller, follow_figures
from local_server.roles.ways import WayFollower
from local_server.settings import Settings
from local_server.storage.base import Storage
from local_server.storage.blobs import BlobStore
from local_server.sync.catalogue import CatalogueFollower
from local_server.sync.service import Sync
from local_server.sync.views import entry_view
from local_server.syncing import make_sync
from local_server.system import RealSystem, System
from local_server.tasks import supervise
from local_server.views import Views
from local_server.wire.outbox import OutboxEntryView
from local_server.wire.server import ServerView

logger = logging.getLogger("apimarket")

ChooseEngine = Callable[[Settings, str], Awaitable[Engine]]
"""(settings, install id) -> the engine to run APIs on."""


class Recorders(list[Callable[[Sequence[Execution]], None]]):
    """Who is told of each request. The gateway is made before those who listen to it."""

    def record(self, executions: Sequence[Execution]) -> None:
        for recorder in self:
            recorder(executions)


@dataclass(slots=True)
class Runtime:
    """All parts of a running server."""

    settings: Settings
    data: DataDirectory
    token: str
    url: str
    storage: Storage
    system: System
    registry: Registry
    executor: Executor
    gateway: Gateway
    access_log: AccessLog
    views: Views
    stream: Stream
    meter: Meter
    loop_watch: LoopWatch
    started_at: float
    stop: Callable[[bool], None]
    """End the server; with True, what it runs as well."""
    accounts: Accounts
    keys: Keys
    market: Market
    inspection: Inspection
    secrets: Secrets
    sync: Sync
    blobs: BlobStore
    quotas: QuotaUses
    publications: Publications
    limits: SharedLimits | None
    """Counted together with other gateways; None: by this one alone."""
    stop_apis: bool = False

    def server_view(self) -> ServerView:
        health = self.executor.health
        return ServerView(
            version=__version__,
            profile=self.settings.profile,
            pid=os.getpid(),
            url=self.url,
            home=str(self.settings.home),
            owner=self.registry.owner.handle,
            engine=self.executor.engine_name,
            engine_available=health.available,
            engine_detail=health.detail or health.version,
            isolated=self.executor.isolated,
            storage=self.storage.description,
            uptime_s=round(time.monotonic() - self.started_at, 1),
            memory_bytes=psutil.Process().memory_info().rss,
            loop_stalls=self.loop_watch.stalls,
            executions_dropped=self.access_log.dropped,
        )


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    data: DataDirectory,
    url: str,
    port: int,
    gateway: Gateway,
    recorders: "Recorders",
    stop: Callable[[bool], None],
    choose: "ChooseEngine | None" = None,
) -> AsyncIterator[Runtime]:
    """Everything open and serving what should run; closed again at the end, whatever happened in between. `choose`
    stands in for `choose_engine`."""
    system = RealSystem()
    async with AsyncExitStack() as stack:
        storage, bus = await open_database(settings, stack)
        if settings.role == "executor":
            await claim_executor(settings, stack)
        await check_in_common(settings, data)
        registry = Registry(storage, system, settings.projects, await _owner(storage, system, settings.owner))
        accounts, keys = await stack.enter_async_context(
            open_accounts(
                storage,
                bus,
                system,
                registry.owner,
                data.signing_key(),
                gateway.callers.use_keys,
                open_signups=settings.signups == "open",
            )
        )
        gateway.callers.used = keys.used
        gateway.quotas.ledger = QuotaLedger(storage)
        counter = await open_counter(settings, storage.install_id, stack)
        limits = gateway.callers.share_limits(counter) if counter is not None else None
        stack.push_async_callback(gateway.quotas.close)
        blobs = BlobStore(settings.home / "blobs")
        windows = TrafficWindows(system)
        access_log = AccessLog(storage)
        stack.push_async_callback(access_log.close)
        recorders.append(access_log.offer)

        def changed(api_id: ApiId) -> None:
            executor.changed(api_id)

        watcher = Watcher(changed, poll=settings.poll)
        stack.push_async_callback(watcher.close)
        keeper = keeper_of_sandboxes(storage.install_id, settings.home)
        engine = await (choose or choose_engine)(settings, keeper)
        pace = Pace(drain_s=settings.drain_s, warm_s=settings.warm_s, start_s=settings.start_s)
        board = Board(gateway.routing, storage) if settings.role == "executor" else None
        gateway.routing.shared = board is not None
        secrets = Secrets(storage, system, data.secrets_key())
        await secrets.open()
        shop = Workshop(
            engine, board or gateway.routing, storage, blobs, registry, secrets, system, settings.home, bus.publish,
            watcher.watch, pace, settings.hosts(isolated=engine.isolated),
        )  # fmt: skip
        executor = Executor(shop)
        listings = Listings(system, blobs.read)
        subscriptions = Subscriptions(storage, system, keys)
        upkeep = Upkeep(storage, system, bus, listings, subscriptions)
        views = Views(executor, windows.view, gateway.routing.circuit, url, port)
        stream = Stream()

        async def find(api_id: ApiId) -> Api | None:
            return await storage.read(lambda tx: tx.registry.get(api_id))

        feed = Feed(bus, stream, views, windows, find)
        sync = make_sync(settings, data, url, storage, blobs, system, registry, executor, bus.publish)
        follower = CatalogueFollower(storage, system, sync.markets.known)
        copies = Copies(storage, system, follower, sync.markets.url_for)
        market = Market(Catalogue(storage, system), Reviews(storage, system), subscriptions, copies)
        feed.outgoing = lambda op: _outgoing(sync, op)
        publications = make_publications(
            Place(storage, blobs, bus, system, settings.home / "uploads"),
            listings,
            partial(read_manifest, build=manifest_from),
            executor.remove,
            limits=settings.publish_limits,
            runs=lambda user_id: shop.hosts,
        )
        meter = Meter()
        access_log.listeners += [feed.requests, meter.take, windows.take]
        runtime = Runtime(
            settings, data, data.token(), url, storage, system, registry, executor, gateway, access_log, views, stream,
            meter, LoopWatch(), time.monotonic(), stop, accounts, keys, market,
            Inspection(gateway.inspector, gateway, executor), secrets, sync, blobs,
            QuotaUses(storage, system, gateway.quotas), publications, limits,
        )  # fmt: skip
        if board is not None:
            stack.push_async_callback(_close_board, runtime, board)
        stack.push_async_callback(_close_executor, runtime)
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "bus": feed.follow_bus,
            "traffic": feed.follow_traffic,
            "meter": lambda: meter.follow(bus),
            "access-log": access_log.run,
            "quotas": gateway.quotas.run,
            "loop-watch": runtime.loop_watch.run,
        }
        if settings.runs_apis:
            tasks |= {
                "listings": upkeep.follow_registry,
                "renewals": upkeep.renew,
                "standings": upkeep.keep_measuring,
                "engine": executor.watch_engine,
                "versions": lambda: _follow_versions(bus, executor),
                "outbox": sync.worker.run,
                "news": sync.follow_news,
                "catalogues": follower.run,
                "housekeeping": lambda: keep_house(storage, publications.collection, blobs),
            }
        if settings.role in ("all", "analytics"):
            tasks["retention"] = lambda: keep_pruning(storage, system, _kept(settings))
        if counter is not None:
            tasks["shared-limits"] = counter.run
        if isinstance(bus, PgBus):
            tasks["other-servers"] = bus.run
        if board is not None:
            await board.recall()
            tasks |= {"board": board.run, "figures": lambda: follow_figures(bus, windows.add)}
        ways = WayFollower(storage, bus, gateway.routing, settings.drain_s) if settings.role == "gateway" else None
        if ways is not None:
            stack.push_async_callback(ways.close)
            figures = FigureTeller(bus.publish)
            access_log.listeners.append(figures.take)
            tasks |= {"ways": ways.run, "figures": figures.run}
        for name, work in tasks.items():
            stack.push_async_callback(_end, asyncio.create_task(supervise(name, work), name=name))
        await (executor.open() if settings.runs_apis else executor.stand_by())
        if board is not None and not _outlived(executor):
            board.settle()
        elif board is not None:
            stack.push_async_callback(_end, asyncio.create_task(_settle(executor, board), name="board-settle"))
        if ways is not None:
            await ways.ready()
        yield runtime


async def _close_board(runtime: Runtime, board: "Board[Lane]") -> None:
    """After the executor let go of everything: containers run on, unless they are to end with it."""
    try:
        await board.close(ended=runtime.stop_apis or not _outlived(runtime.executor))
    except ApimarketError as error:
        logger.warning("gateways could not be told that the executor ends: %s", error)


def _outlived(executor: Executor) -> bool:
    """Whether what it runs goes on without it."""
    return executor.engine_name == "docker"


async def _settle(executor: Executor, board: "Board[Lane]") -> None:
    await executor.started()
    board.settle()


async def choose_engine(settings: Settings, keeper: str) -> Engine:
    """Docker where it is asked for, or where it answers; else local processes. None where APIs run elsewhere."""
    if not settings.runs_apis:
        return NoEngine()
    engine_settings = EngineSettings(settings.home, keeper, dict(os.environ), settings.profile == "hosted")
    if settings.engine != "process":
        from local_server.executor.engines.docker import DockerEngine

        docker = DockerEngine(engine_settings)
        if settings.engine == "docker" or (await docker.health()).available:
            return docker
        await docker.close()
    from local_server.executor.engines.process import ProcessEngine

    return ProcessEngine(engine_settings)


async def _owner(storage: Storage, system: System, handle: str) -> User:
    """The user of this machine: made at the first start, and kept when the machine's user is called otherwise."""
    users = await storage.read(lambda tx: tx.accounts.all())
    if users:
        return users[0]
    user = User(UserId(system.new_id()), handle, system.now())
    try:
        await storage.write(lambda tx: tx.accounts.add(user))
    except NameTaken:
        return (await storage.read(lambda tx: tx.accounts.all()))[0]
    return user


async def _follow_versions(bus: Bus, executor: Executor) -> None:
    """Take up versions that were published, and moves that were made elsewhere. Never returns."""
    async with bus.subscribe() as subscription:
        await executor.versions.follow(subscription)


async def _outgoing(sync: Sync, op: OpId) -> OutboxEntryView | None:
    try:
        return entry_view(*await sync.entry(op))
    except OutboxEntryNotFound:
        return None


async def _close_executor(runtime: Runtime) -> None:
    await runtime.executor.close(stop_apis=runtime.stop_apis)


def _kept(settings: Settings) -> Keep:
    return Keep(settings.keep_executions_days, settings.keep_minutes_days, settings.keep_hours_days)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
