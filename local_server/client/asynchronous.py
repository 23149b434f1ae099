"""The client of the terminal UI and of sync: asyncio, and every answer validated into its wire model."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import GenericAlias
from typing import Any, Self, get_args

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from local_server.client import calls
from local_server.client.asynchronous_files import AsyncFiles
from local_server.client.asynchronous_market import AsyncMarket
from local_server.client.asynchronous_secrets import AsyncSecrets
from local_server.client.asynchronous_versions import AsyncVersions
from local_server.client.calls import Call
from local_server.client.errors import ServerUnreachableError, problem_of, reason_of, unexpected
from local_server.client.results import MAX_BODY_BYTES, CallResult
from local_server.client.sse import Decoder, Received, TooLarge, next_wait_s
from local_server.client.synchronous import too_large
from local_server.wire.accounts import AccountView, CreateKey, KeyView, NewKeyView, SessionView, SignUp
from local_server.wire.analytics import HistoryView, StatsView
from local_server.wire.apis import (
    ApiView,
    ExecutionView,
    GenerationView,
    LogLineView,
    PatchApi,
    RegisterApi,
    ScaffoldApi,
    TemplateView,
)
from local_server.wire.events import Resync, WireEvent
from local_server.wire.exchanges import CompareView, ExchangeSummary, ExchangeView, Forgotten, ReplayView
from local_server.wire.outbox import (
    ConflictView,
    ForgetMarketplace,
    OutboxEntryView,
    OutboxView,
    PublishApi,
    PublishView,
    PullApi,
    PulledView,
    PullVersion,
    RemoteApiView,
    ResolveConflict,
    ResolvedView,
    YankVersion,
)
from local_server.wire.server import Ack, Check, Health, ServerView
from local_server.wire.sync import SyncInfo
from local_server.wire.tokens import CreateToken, NewTokenView, TokenView

_CONNECT_S = 3.0
_EVENTS: dict[str, TypeAdapter[WireEvent]] = {
    model.model_fields["topic"].default: TypeAdapter(model) for model in get_args(WireEvent)
}


@cache
def _adapter(answer: str, many: bool) -> TypeAdapter[Any]:
    module, _, name = answer.partition(":")
    model: Any = getattr(import_module(f"local_server.wire.{module}"), name)
    wanted: Any = GenericAlias(list, model) if many else model
    return TypeAdapter(wanted)


class AsyncClient(AsyncMarket, AsyncVersions, AsyncSecrets, AsyncFiles):
    """Talks to the server at `url`. Every method raises ApimarketClientError; ServerUnreachableError when none answers.

    Redirects are not followed, proxies and credentials are not taken from the environment.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        timeout = httpx2.Timeout(30.0, connect=_CONNECT_S)
        self._http = httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False, follow_redirects=False)
        # A second one, without the token and its connections: what it calls is users' code.
        self._outside = httpx2.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def use_token(self, token: str) -> None:
        """Speak as somebody else from now on; empty: as nobody. Streams that are open go on as they began."""
        self._http.headers.pop("Authorization", None)
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    async def close(self) -> None:
        """End every connection. May be called twice."""
        await self._http.aclose()
        await self._outside.aclose()

    # -- About the server --------------------------------------------------------------------------------------

    async def health(self) -> Health:
        answer: Health = await self._send(calls.health())
        return answer

    async def server(self) -> ServerView:
        answer: ServerView = await self._send(calls.server())
        return answer

    async def stop_server(self, *, apis: bool = False) -> Ack:
        answer: Ack = await self._send(calls.stop_server(apis=apis))
        return answer

    async def doctor(self) -> list[Check]:
        answer: list[Check] = await self._send(calls.doctor())
        return answer

    async def templates(self) -> list[TemplateView]:
        answer: list[TemplateView] = await self._send(calls.templates())
        return answer

    # -- APIs --------------------------------------------------------------------------------------------------

    async def apis(self, query: str = "") -> list[ApiView]:
        answer: list[ApiView] = await self._send(calls.apis(query))
        return answer

    async def api(self, name: str) -> ApiView:
        return await self._api(calls.api(name))

    async def register(self, body: RegisterApi) -> ApiView:
        return await self._api(calls.register(_json(body)))

    async def scaffold(self, body: ScaffoldApi) -> ApiView:
        return await self._api(calls.scaffold(_json(body)))

    async def patch(self, name: str, body: PatchApi) -> ApiView:
        return await self._api(calls.patch(name, body.model_dump(mode="json", exclude_unset=True)))

    async def deploy(self, name: str) -> ApiView:
        return await self._api(calls.deploy(name))

    async def restart(self, name: str) -> ApiView:
        return await self._api(calls.restart(name))

    async def stop(self, name: str) -> ApiView:
        return await self._api(calls.stop(name))

    async def undo(self, name: str) -> ApiView:
        return await self._api(calls.undo(name))

    async def remove(self, name: str) -> None:
        await self._send(calls.remove(name))

    async def generations(self, name: str) -> list[GenerationView]:
        answer: list[GenerationView] = await self._send(calls.generations(name))
        return answer

    async def logs(
        self,
        name: str,
        limit: int = 500,
        since: str | None = None,
        version: str = "",
        generation: int | None = None,
    ) -> list[LogLineView]:
        answer: list[LogLineView] = await self._send(calls.logs(name, limit, since, version, generation))
        return answer

    async def requests(self, name: str, limit: int = 100) -> list[ExecutionView]:
        answer: list[ExecutionView] = await self._send(calls.requests(name, limit))
        return answer

    async def stats(self, name: str, window: str = "24h") -> StatsView:
        answer: StatsView = await self._send(calls.stats(name, window))
        return answer

    async def history(
        self, name: str, limit: int = 100, before: str | None = None, **filters: str | int | None
    ) -> HistoryView:
        answer: HistoryView = await self._send(calls.history(name, limit, before, **filters))
        return answer

    # -- The request inspector ---------------------------------------------------------------------------------

    async def exchanges(
        self, name: str, limit: int = 50, path: str = "", *, errors: bool = False
    ) -> list[ExchangeSummary]:
        answer: list[ExchangeSummary] = await self._send(calls.exchanges(name, limit, path, errors=errors))
        return answer

    async def exchange(self, name: str, request_id: str) -> ExchangeView:
        answer: ExchangeView = await self._send(calls.exchange(name, request_id))
        return answer

    async def replay_exchange(self, name: str, request_id: str, generation: int | None = None) -> ReplayView:
        answer: ReplayView = await self._send(calls.replay_exchange(name, request_id, generation))
        return answer

    async def compare_exchange(self, name: str, request_id: str, generation: int) -> CompareView:
        answer: CompareView = await self._send(calls.compare_exchange(name, request_id, generation))
        return answer

    async def forget_exchanges(self, name: str) -> Forgotten:
        answer: Forgotten = await self._send(calls.forget_exchanges(name))
        return answer

    # -- Accounts and keys -------------------------------------------------------------------------------------

    async def signup(self, body: SignUp) -> SessionView:
        answer: SessionView = await self._send(calls.signup(_json(body)))
        return answer

    async def login(self, login: str, password: str) -> SessionView:
        answer: SessionView = await self._send(calls.login({"login": login, "password": password}))
        return answer

    async def change_password(self, current: str | None, new: str) -> SessionView:
        answer: SessionView = await self._send(calls.change_password({"current": current, "new": new}))
        return answer

    async def logout(self) -> None:
        await self._send(calls.logout())

    async def me(self) -> AccountView:
        answer: AccountView = await self._send(calls.me())
        return answer

    async def keys(self, name: str | None = None) -> list[KeyView]:
        answer: list[KeyView] = await self._send(calls.keys(name))
        return answer

    async def create_key(self, name: str, body: CreateKey, idempotency_key: str | None = None) -> NewKeyView:
        answer: NewKeyView = await self._send(calls.create_key(name, _json(body), idempotency_key))
        return answer

    async def rotate_key(self, key_id: str, grace_s: int = 3600, idempotency_key: str | None = None) -> NewKeyView:
        answer: NewKeyView = await self._send(calls.rotate_key(key_id, grace_s, idempotency_key))
        return answer

    async def revoke_key(self, key_id: str) -> None:
        await self._send(calls.revoke_key(key_id))

    async def tokens(self) -> list[TokenView]:
        answer: list[TokenView] = await self._send(calls.tokens())
        return answer

    async def create_token(self, body: CreateToken) -> NewTokenView:
        answer: NewTokenView = await self._send(calls.create_token(_json(body)))
        return answer

    async def revoke_token(self, token_id: str) -> None:
        await self._send(calls.revoke_token(token_id))

    # -- Publishing and pulling --------------------------------------------------------------------------------

    async def publish(self, name: str, body: PublishApi) -> PublishView:
        answer: PublishView = await self._send(calls.publish(name, _json(body)))
        return answer

    async def yank(self, name: str, body: YankVersion) -> RemoteApiView:
        answer: RemoteApiView = await self._send(calls.yank(name, _json(body)))
        return answer

    async def outbox(self) -> OutboxView:
        answer: OutboxView = await self._send(calls.outbox())
        return answer

    async def retry_outgoing(self, op: str) -> OutboxEntryView:
        answer: OutboxEntryView = await self._send(calls.outgoing(op, "retry"))
        return answer

    async def cancel_outgoing(self, op: str) -> OutboxEntryView:
        answer: OutboxEntryView = await self._send(calls.outgoing(op, "cancel"))
        return answer

    async def sync_now(self) -> OutboxView:
        answer: OutboxView = await self._send(calls.sync_now())
        return answer

    async def sync_info(self) -> SyncInfo:
        """Of a marketplace."""
        answer: SyncInfo = await self._send(calls.sync_info())
        return answer

    async def forget_marketplace(self, body: ForgetMarketplace) -> OutboxView:
        answer: OutboxView = await self._send(calls.forget_marketplace(_json(body)))
        return answer

    async def pull(self, name: str, body: PullApi) -> PulledView:
        answer: PulledView = await self._send(calls.pull(name, _json(body)))
        return answer

    async def pull_version(self, body: PullVersion) -> PulledView:
        answer: PulledView = await self._send(calls.pull_version(_json(body)))
        return answer

    async def conflict(self, name: str, remote: str | None = None) -> ConflictView:
        answer: ConflictView = await self._send(calls.conflict(name, remote))
        return answer

    async def resolve_conflict(self, name: str, body: ResolveConflict) -> ResolvedView:
        answer: ResolvedView = await self._send(calls.resolve(name, _json(body)))
        return answer

    # -- Transport ---------------------------------------------------------------------------------------------

    async def _api(self, call: Call) -> ApiView:
        answer: ApiView = await self._send(call)
        return answer

    async def _send(self, call: Call) -> Any:
        timeout = httpx2.Timeout(call.timeout_s, connect=_CONNECT_S)
        try:
            response = await self._http.request(
                call.method, self.url + call.path, json=call.body, headers=dict(call.headers), timeout=timeout
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ServerUnreachableError(self.url, why(error)) from error
        if response.status_code >= 300:
            raise problem_of(response.status_code, response.reason_phrase, response.content, self.url + call.path)
        if call.answer is None:
            return None
        try:
            return _adapter(call.answer, call.many).validate_json(response.content)
        except ValidationError as error:
            told = f"{call.method} {self.url}{call.path} was not answered with the JSON it should be"
            raise unexpected(response.status_code, told) from error

    async def events(self, topics: Sequence[str]) -> AsyncIterator[WireEvent]:
        """What happens from now on, without end: connects again after a break, however long it lasts, and resumes
        after the last event seen. The first event after a break is a `Resync`: what is shown may be old by then, even
        where nothing was lost. Topics this version does not know are left out. Raises ApimarketClientError only when
        the server refuses (a wrong token)."""
        last_id, wait_s, opened_before = "", 0.0, False
        while True:
            try:
                async with self._open_events(topics, last_id) as response:
                    if opened_before:
                        yield Resync()
                    opened_before, wait_s = True, 0.0
                    decoder = Decoder(last_id)
                    async for chunk in response.aiter_bytes():
                        for received in decoder.feed(chunk):
                            last_id = received.id
                            if event := _event(received):
                                yield event
            except (httpx2.HTTPError, TooLarge):
                # Whatever broke the stream, the answer is the same: connect again, more and more slowly.
                pass
            wait_s = next_wait_s(wait_s)
            await asyncio.sleep(wait_s)

    def _open_events(self, topics: Sequence[str], last_id: str) -> "_EventStream":
        call = calls.events(topics)
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx2.Timeout(call.timeout_s, connect=_CONNECT_S)
        return _EventStream(self._http, self.url + call.path, headers, timeout)

    async def call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        timeout_s: float = 30.0,
    ) -> CallResult:
        """Call a user's API. The control API's token never goes along: what answers there is the user's code."""
        given = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if not any(name.lower() == "accept-encoding" for name, _ in given):
            given.append(("Accept-Encoding", "identity"))
        started = time.perf_counter()
        try:
            async with self._outside.stream(
                method, url, headers=given, content=body or None, timeout=timeout_s
            ) as response:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_BODY_BYTES:
                        raise too_large(url)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ServerUnreachableError(url, why(error)) from error
        finally:
            # Every call stands alone, as curl's do: a cookie that one API sets is not sent to the next.
            self._outside.cookies.clear()
        elapsed_ms = (time.perf_counter() - started) * 1000
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]
        return CallResult(response.status_code, response.reason_phrase, pairs, bytes(content), elapsed_ms)


class _EventStream:
    """One connection to the event stream, refused answers turned into errors."""

    def __init__(self, http: httpx2.AsyncClient, url: str, headers: dict[str, str], timeout: httpx2.Timeout) -> None:
        self._url = url
        self._manager = http.stream("GET", url, headers=headers, timeout=timeout)

    async def __aenter__(self) -> httpx2.Response:
        response = await self._manager.__aenter__()
        if response.status_code == 200:
            return response
        try:
            content = await response.aread()
        finally:
            await self._manager.__aexit__(None, None, None)
        problem = problem_of(response.status_code, response.reason_phrase, content, self._url)
        # A server that is starting or stopping answers 503: that passes. A refusal does not.
        raise httpx2.RemoteProtocolError(problem.detail) if response.status_code >= 500 else problem

    async def __aexit__(self, *exc: Any) -> None:
        await self._manager.__aexit__(*exc)


def _json(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json")


def _event(received: Received) -> WireEvent | None:
    if received.topic == "resync":
        return Resync()
    model = _EVENTS.get(received.topic)
    if model is None:
        return None
    try:
        return model.validate_json(received.data)
    except ValidationError:
        # An event of a newer server that this version cannot read: reading the lists again is always right.
        return Resync()


def why(error: Exception) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, httpx2.TimeoutException):
        return "it did not answer in time"
    cause: BaseException | None = error
    while cause is not None:
        # anyio stands an OSError without a number before the system's own.
        if isinstance(cause, OSError) and cause.errno:
            return reason_of(cause)
        cause = cause.__cause__ or cause.__context__
    return reason_of(error)
