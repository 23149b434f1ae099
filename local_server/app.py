"""The composition root: the only file that knows every part. `create_app` puts them together, `serve` runs them."""

import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi_offline import FastAPIOffline

from local_server import __version__, logs
from local_server.accounts.routes import AccountsPorts
from local_server.accounts.routes import make_routers as make_accounts_routers
from local_server.analytics.routes import AnalyticsPorts
from local_server.analytics.routes import make_routers as make_analytics_routers
from local_server.control import metrics
from local_server.control import routes as control
from local_server.control.access import bearer, caller_of, is_machine, only_of, require_token
from local_server.control.auditing import audited
from local_server.control.openapi import document_problems, operation_id
from local_server.control.problems import install_problem_handlers
from local_server.control.routes import runtime_of
from local_server.data_directory import DataDirectory
from local_server.domain.errors import ApimarketError
from local_server.domain.ids import ApiId
from local_server.domain.names import OF_SERVICES, RESERVED_OWNERS
from local_server.domain.registry import Api
from local_server.domain.server_errors import RoleNeedsPostgres
from local_server.executor.file_routes import FilePorts
from local_server.executor.file_routes import make_router as make_file_router
from local_server.executor.routes import ExecutorPorts
from local_server.executor.routes import make_routers as make_executor_routers
from local_server.executor.secret_routes import SecretPorts
from local_server.executor.secret_routes import make_router as make_secret_router
from local_server.executor.version_routes import VersionPorts
from local_server.executor.version_routes import make_router as make_version_router
from local_server.failpoints import warn_if_set
from local_server.gateway.asgi import Gateway
from local_server.gateway.edge import Edge
from local_server.gateway.hosts import Hosts
from local_server.gateway.serving import uvicorn_options
from local_server.inspection.routes import InspectionPorts
from local_server.inspection.routes import make_router as make_inspection_router
from local_server.listening import listen
from local_server.marketplace.routes import MarketPorts
from local_server.marketplace.routes import make_routers as make_market_routers
from local_server.pauses import keep_pauses_short
from local_server.publishing.routes import PublishingPorts
from local_server.publishing.routes import make_router as make_publishing_router
from local_server.publishing.token_routes import TokenPorts, make_token_router
from local_server.registry.routes import RegistryPorts
from local_server.registry.routes import make_router as make_registry_router
from local_server.roles.pass_on import PassOn
from local_server.runtime import ChooseEngine, Recorders, open_runtime
from local_server.settings import EMBEDDED, Role, Settings, read_settings
from local_server.storage.base import Storage
from local_server.sync.routes import SyncRoutePorts
from local_server.sync.routes import make_router as make_sync_router
from local_server.system import RealSystem, System
from local_server.views import execution_view
from local_server.wire.apis import ApiView, UsageView

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - addresses to listen on, never names to answer to
SHUTDOWN_S = 10
logger = logging.getLogger("apimarket")


def create_app(
    settings: Settings,
    data: DataDirectory,
    port: int,
    stop: Callable[[bool], None],
    choose: ChooseEngine | None = None,
) -> tuple[Edge, FastAPI]:
    """The whole server as one ASGI application, and the control API in it (`state.runtime` is there once it runs).
    `port` is the one it is reached at; `stop` ends it; `choose` finds an engine other than the settings would."""
    recorders = Recorders()
    names = [name for name in (settings.host, *settings.allowed_hosts) if name not in WILDCARDS]
    gateway = Gateway(
        recorders.record,
        RealSystem(),
        hosts=Hosts(names, port),
        enforce_keys=_enforces(settings),
        inspect=settings.inspected,
        reserved=RESERVED_OWNERS | OF_SERVICES.get(settings.role, frozenset()),
    )
    url = f"http://{settings.host if ':' not in settings.host else f'[{settings.host}]'}:{port}"
    if settings.role == "executor":  # what is called is called there
        url = settings.gateway_url
        port = urlsplit(url).port or (443 if url.startswith("https:") else 80)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with open_runtime(settings, data, url, port, gateway, recorders, stop, choose) as runtime:
                app.state.runtime, app.state.token = runtime, runtime.token
                data.announce(url, __version__)
                yield
                runtime.stream.close()
        except ApimarketError as error:
            app.state.refusal = error
            raise

    app = create_control(lifespan, settings.role)
    if settings.role == "gateway":
        return Edge(PassOn(app, settings.executor_url, settings.analytics_url), gateway), app
    return Edge(app, gateway), app


def create_control(lifespan: Callable[[FastAPI], object] | None = None, role: Role = "all") -> FastAPI:
    """The control API, as far as a server of this role has it. Without a lifespan it serves nothing, but has its
    OpenAPI document."""
    app = FastAPIOffline(
        redoc_url=None,
        title="apimarket",
        version=__version__,
        summary="Run, watch and publish small HTTP APIs from your own machine.",
        lifespan=lifespan,
        static_url="/static/docs",
        generate_unique_id_function=operation_id,
    )
    install_problem_handlers(app)
    document_problems(app)
    token = [Depends(bearer), Depends(require_token), Depends(audited, scope="function")]
    executor, executor_service = make_executor_routers(
        ExecutorPorts(lambda request: runtime_of(request).executor, _find, _view)
    )
    versions = make_version_router(
        VersionPorts(
            lambda request: runtime_of(request).executor.versions,
            lambda request: runtime_of(request).executor.differences,
            _find,
            lambda request: runtime_of(request).url,
        )
    )
    files = make_file_router(FilePorts(lambda request: runtime_of(request).executor.files, _find))
    secrets = make_secret_router(SecretPorts(lambda request: runtime_of(request).secrets, _find, caller_of))
    registry = make_registry_router(
        RegistryPorts(lambda request: runtime_of(request).registry, _view, _after_register, _before_remove, only_of)
    )
    analytics, analytics_service = make_analytics_routers(
        AnalyticsPorts(
            _store, lambda request: runtime_of(request).settings.keep_executions_days, _find, _usage, execution_view
        )
    )
    accounts_open, accounts = make_accounts_routers(
        AccountsPorts(
            lambda request: runtime_of(request).accounts,
            lambda request: runtime_of(request).keys,
            lambda request: runtime_of(request).quotas,
            caller_of,
            is_machine,
            _find,
        )
    )
    inspection = make_inspection_router(
        InspectionPorts(lambda request: runtime_of(request).inspection, _find, _conceal)
    )
    market_open, market = make_market_routers(MarketPorts(lambda request: runtime_of(request).market, caller_of, _find))
    sync = make_sync_router(
        SyncRoutePorts(
            lambda request: runtime_of(request).sync,
            lambda request: runtime_of(request).blobs,
            _find,
            lambda request, api: runtime_of(request).executor.deploy(api),
        )
    )
    publishing = make_publishing_router(PublishingPorts(lambda request: runtime_of(request).publications, caller_of))
    tokens = make_token_router(TokenPorts(lambda request: runtime_of(request).publications.tokens, caller_of))
    if role in ("gateway", "analytics"):
        app.include_router(control.open_router)
        app.include_router(metrics.router)
        if role == "analytics":
            app.include_router(analytics, prefix="/api/v1", dependencies=token)
            app.include_router(analytics_service, prefix="/analytics", dependencies=token)
            app.include_router(analytics_service, dependencies=token, include_in_schema=False)
        return app
    app.include_router(control.open_router)
    app.include_router(accounts_open)
    app.include_router(accounts, dependencies=token)
    app.include_router(market_open)
    app.include_router(market, dependencies=token)
    app.include_router(metrics.router)
    app.include_router(executor, prefix="/api/v1", dependencies=token)
    app.include_router(versions, prefix="/api/v1", dependencies=token)
    app.include_router(secrets, prefix="/api/v1", dependencies=token)
    app.include_router(files, prefix="/api/v1", dependencies=token)
    app.include_router(control.router, dependencies=token)
    app.include_router(sync, prefix="/api/v1", dependencies=token)
    app.include_router(publishing, prefix="/api/v1", dependencies=token)
    app.include_router(tokens, prefix="/api/v1", dependencies=token)
    app.include_router(registry, dependencies=token)
    app.include_router(executor_service, prefix="/executor", dependencies=token)
    app.include_router(analytics, prefix="/api/v1", dependencies=token)
    app.include_router(analytics_service, prefix="/analytics", dependencies=token)
    app.include_router(inspection, prefix="/api/v1", dependencies=token)
    if role == "executor":
        app.include_router(executor_service, dependencies=token, include_in_schema=False)
    return app


def _enforces(settings: Settings) -> bool:
    return settings.enforce_keys or settings.profile == "hosted"


def _conceal(request: Request, api_id: ApiId, text: str) -> str:
    return runtime_of(request).secrets.conceal(api_id, text)


async def _find(request: Request, reference: str) -> Api:
    return await runtime_of(request).registry.resolve(reference, only_of(request))


def _store(request: Request) -> tuple[Storage, System]:
    return runtime_of(request).storage, runtime_of(request).system


async def _usage(request: Request, api: Api) -> UsageView | None:
    return (await runtime_of(request).views.api_with_usage(api)).usage


async def _view(request: Request, api: Api) -> ApiView:
    return await runtime_of(request).views.api_with_usage(api)


async def _after_register(request: Request, api: Api, start: bool) -> None:
    request.state.registered = api
    if start:
        await runtime_of(request).executor.deploy(api)
    else:
        await runtime_of(request).executor.know(api)


async def _before_remove(request: Request, api: Api) -> None:
    await runtime_of(request).executor.remove(api)
    await runtime_of(request).publications.refs.forget(api)


class Server(uvicorn.Server):
    """When it stops it ends the event streams first, for whose readers it would otherwise wait."""

    control: FastAPI
    ready: Callable[[], None] | None = None
    """Called once, when it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.ready is not None and self.started:
            self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        runtime = getattr(self.control.state, "runtime", None)
        if runtime is not None:
            runtime.stream.close()
        await super().shutdown(sockets)


def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    engine: str = "auto",
    home: Path | None = None,
    database: str = "",
    role: Role = "all",
) -> int:
    """Run a server until it is told to stop. Returns the exit code. Raises AlreadyRunning, DirectoryRefused,
    PortTaken, AddressRefused, StorageNewer, StorageUnreadable, StorageUnavailable, StorageFull, EmbeddedUnavailable,
    RedisClientMissing, SettingRefused, RoleNeedsPostgres, ExecutorTaken before it begins."""
    chosen: dict[str, object] = {"host": host, "port": port, "engine": engine, "database": database, "role": role}
    if home:
        chosen["home"] = home.absolute()
    settings = read_settings(chosen)
    shared = settings.database.get_secret_value()
    if settings.role != "all" and shared in ("", EMBEDDED):
        raise RoleNeedsPostgres(settings.role, "SQLite" if not shared else "an embedded one, which it alone may enter")
    held, announces = settings.runs_apis, settings.role in ("all", "gateway")
    with (
        DataDirectory(settings.home, held=held, announces=announces) as data,
        listen(settings.host, settings.port) as listener,
    ):
        logs.configure(settings.log_format, [data.token()])
        return _run(settings, data, listener)


def _run(settings: Settings, data: DataDirectory, listener: socket.socket) -> int:
    warn_if_set()
    server = make_server(settings, data, listener)
    server.ready = keep_pauses_short
    url = f"http://{settings.host}:{listener.getsockname()[1]}"
    if settings.log_format == "json":
        logger.info("apimarket %s on %s", __version__, url)
    else:
        sys.stderr.write(f"apimarket {__version__} on {url}  (Ctrl-C to stop)\n")
        sys.stderr.flush()
    state = server.control.state
    # Of what cannot be opened uvicorn would show the traceback; whoever called us shows the reason.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not hasattr(state, "refusal"))
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if not hasattr(state, "refusal"):
            raise
    if hasattr(state, "refusal"):
        raise state.refusal
    return 0 if server.started else 1


def make_server(
    settings: Settings, data: DataDirectory, listener: socket.socket, choose: ChooseEngine | None = None
) -> "Server":
    """What `serve` runs on `listener`."""
    server: Server

    def stop(apis: bool) -> None:
        runtime = server.control.state.runtime
        runtime.stop_apis = apis
        server.should_exit = True

    port = listener.getsockname()[1]
    app, control_app = create_app(settings, data, port, stop, choose)
    config = uvicorn.Config(
        app, lifespan="on", log_config=None, timeout_graceful_shutdown=SHUTDOWN_S, **uvicorn_options()
    )
    server = Server(config)
    server.control = control_app
    return server
