"""The client of the command line: standard library only, one connection a call.

It never follows a redirect (the token would go with it), never asks the environment for a proxy, and gives up after
each call's time.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from local_server.client import calls
from local_server.client.calls import Call
from local_server.client.errors import (
    ApimarketClientError,
    ServerUnreachableError,
    problem_of,
    reason_of,
    session_over,
    unexpected,
)
from local_server.client.results import MAX_BODY_BYTES, CallResult
from local_server.client.sse import Decoder, Received, TooLarge, next_wait_s
from local_server.client.synchronous_files import Files
from local_server.client.synchronous_market import Market
from local_server.client.synchronous_secrets import Secrets
from local_server.client.synchronous_versions import Versions

if TYPE_CHECKING:
    from local_server.client import documents as doc
    from local_server.client import outbox_documents as out
    from local_server.client import token_documents as token_doc

NO_SESSION = ("session_invalid", "token_required")
_BROKEN = (OSError, http.client.HTTPException)


class Event(NamedTuple):
    topic: str
    data: dict[str, Any]
    """The JSON of the class in wire/events.py whose `topic` this is."""


class Client(Market, Versions, Secrets, Files):
    """Talks to the server at `url`. Every method raises ApimarketClientError and ServerUnreachableError
    when none answers."""

    def __init__(self, url: str, token: str = "", *, elsewhere: bool = False) -> None:
        """`elsewhere`: another machine's server, as whom errors speak of it."""
        self.url = url.rstrip("/")
        self._token = token
        self._elsewhere = elsewhere

    # -- About the server --------------------------------------------------------------------------------------

    def health(self) -> "doc.HealthDocument":
        return cast("doc.HealthDocument", self.send(calls.health()))

    def server(self) -> "doc.ServerDocument":
        return cast("doc.ServerDocument", self.send(calls.server()))

    def stop_server(self, *, apis: bool = False) -> "doc.AckDocument":
        return cast("doc.AckDocument", self.send(calls.stop_server(apis=apis)))

    def doctor(self) -> "list[doc.CheckDocument]":
        return cast("list[doc.CheckDocument]", self.send(calls.doctor()))

    def templates(self) -> "list[doc.TemplateDocument]":
        return cast("list[doc.TemplateDocument]", self.send(calls.templates()))

    # -- APIs --------------------------------------------------------------------------------------------------

    def apis(self, query: str = "") -> "list[doc.ApiDocument]":
        return cast("list[doc.ApiDocument]", self.send(calls.apis(query)))

    def api(self, name: str) -> "doc.ApiDocument":
        return cast("doc.ApiDocument", self.send(calls.api(name)))

    def register(self, body: "doc.RegisterDocument") -> "doc.ApiDocument":
        return cast("doc.ApiDocument", self.send(calls.register(body)))

    def scaffold(self, body: "doc.ScaffoldDocument") -> "doc.ApiDocument":
        return cast("doc.ApiDocument", self.send(calls.scaffold(body)))

    def deploy(self, name: str) -> "doc.ApiDocument":
        return cast("doc.ApiDocument", self.send(calls.deploy(name)))

    def restart(self, name: str) -> "doc.ApiDocument":
        return cast("doc.ApiDocument", self.send(calls.restart(name)))

    def stop(self, name: str, *, directory: bool = False) -> "doc.ApiDocument":
        return cast("doc.ApiDocument", self.send(calls.stop(name, directory=directory)))

    def undo(self, name: str) -> "doc.ApiDocument":
        return cast("doc.ApiDocument", self.send(calls.undo(name)))

    def remove(self, name: str) -> None:
        self.send(calls.remove(name))

    def generations(self, name: str) -> "list[doc.GenerationDocument]":
        return cast("list[doc.GenerationDocument]", self.send(calls.generations(name)))

    def logs(
        self,
        name: str,
        limit: int = 500,
        since: str | None = None,
        version: str = "",
        generation: int | None = None,
    ) -> "list[doc.LogLineDocument]":
        return cast("list[doc.LogLineDocument]", self.send(calls.logs(name, limit, since, version, generation)))

    def requests(self, name: str, limit: int = 100) -> "list[doc.ExecutionDocument]":
        return cast("list[doc.ExecutionDocument]", self.send(calls.requests(name, limit)))

    def stats(self, name: str, window: str = "24h") -> "doc.StatsDocument":
        return cast("doc.StatsDocument", self.send(calls.stats(name, window)))

    def history(
        self, name: str, limit: int = 100, before: str | None = None, **filters: str | int | None
    ) -> "doc.HistoryDocument":
        return cast("doc.HistoryDocument", self.send(calls.history(name, limit, before, **filters)))

    # -- The request inspector ---------------------------------------------------------------------------------

    def exchanges(
        self, name: str, limit: int = 50, path: str = "", *, errors: bool = False
    ) -> "list[doc.ExchangeSummaryDocument]":
        answer = self.send(calls.exchanges(name, limit, path, errors=errors))
        return cast("list[doc.ExchangeSummaryDocument]", answer)

    def exchange(self, name: str, request_id: str) -> "doc.ExchangeDocument":
        return cast("doc.ExchangeDocument", self.send(calls.exchange(name, request_id)))

    def replay_exchange(self, name: str, request_id: str, generation: int | None = None) -> "doc.ReplayDocument":
        return cast("doc.ReplayDocument", self.send(calls.replay_exchange(name, request_id, generation)))

    def compare_exchange(self, name: str, request_id: str, generation: int) -> "doc.CompareDocument":
        return cast("doc.CompareDocument", self.send(calls.compare_exchange(name, request_id, generation)))

    def forget_exchanges(self, name: str) -> "doc.ForgottenDocument":
        return cast("doc.ForgottenDocument", self.send(calls.forget_exchanges(name)))

    # -- Accounts and keys -------------------------------------------------------------------------------------

    def signup(self, body: "doc.JsonObject") -> "doc.SessionDocument":
        return cast("doc.SessionDocument", self.send(calls.signup(body)))

    def login(self, login: str, password: str) -> "doc.SessionDocument":
        return cast("doc.SessionDocument", self.send(calls.login({"login": login, "password": password})))

    def change_password(self, current: str | None, new: str) -> "doc.SessionDocument":
        return cast("doc.SessionDocument", self.send(calls.change_password({"current": current, "new": new})))

    def logout(self) -> None:
        self.send(calls.logout())

    def me(self) -> "doc.AccountDocument":
        return cast("doc.AccountDocument", self.send(calls.me()))

    def keys(self, name: str | None = None) -> "list[doc.KeyDocument]":
        return cast("list[doc.KeyDocument]", self.send(calls.keys(name)))

    def create_key(
        self, name: str, body: "doc.CreateKeyDocument", idempotency_key: str | None = None
    ) -> "doc.NewKeyDocument":
        return cast("doc.NewKeyDocument", self.send(calls.create_key(name, body, idempotency_key)))

    def rotate_key(self, key_id: str, grace_s: int = 3600, idempotency_key: str | None = None) -> "doc.NewKeyDocument":
        return cast("doc.NewKeyDocument", self.send(calls.rotate_key(key_id, grace_s, idempotency_key)))

    def revoke_key(self, key_id: str) -> None:
        self.send(calls.revoke_key(key_id))

    def tokens(self) -> "list[token_doc.TokenDocument]":
        return cast("list[token_doc.TokenDocument]", self.send(calls.tokens()))

    def create_token(self, body: "token_doc.CreateTokenDocument") -> "token_doc.NewTokenDocument":
        return cast("token_doc.NewTokenDocument", self.send(calls.create_token(body)))

    def revoke_token(self, token_id: str) -> None:
        self.send(calls.revoke_token(token_id))

    # -- Publishing and pulling --------------------------------------------------------------------------------

    def publish(self, name: str, body: "doc.JsonObject") -> "out.PublishDocument":
        return cast("out.PublishDocument", self.send(calls.publish(name, body)))

    def yank(self, name: str, body: "doc.JsonObject") -> "out.RemoteApiDocument":
        return cast("out.RemoteApiDocument", self.send(calls.yank(name, body)))

    def outbox(self) -> "out.OutboxDocument":
        return cast("out.OutboxDocument", self.send(calls.outbox()))

    def retry_outgoing(self, op: str) -> "out.OutboxEntryDocument":
        return cast("out.OutboxEntryDocument", self.send(calls.outgoing(op, "retry")))

    def cancel_outgoing(self, op: str) -> "out.OutboxEntryDocument":
        return cast("out.OutboxEntryDocument", self.send(calls.outgoing(op, "cancel")))

    def sync_now(self) -> "out.OutboxDocument":
        return cast("out.OutboxDocument", self.send(calls.sync_now()))

    def sync_info(self) -> "out.SyncInfoDocument":
        return cast("out.SyncInfoDocument", self.send(calls.sync_info()))

    def forget_marketplace(self, body: "doc.JsonObject") -> "out.OutboxDocument":
        return cast("out.OutboxDocument", self.send(calls.forget_marketplace(body)))

    def pull(self, name: str, body: "doc.JsonObject") -> "out.PulledDocument":
        return cast("out.PulledDocument", self.send(calls.pull(name, body)))

    def pull_version(self, body: "doc.JsonObject") -> "out.PulledDocument":
        return cast("out.PulledDocument", self.send(calls.pull_version(body)))

    def conflict(self, name: str, remote: str | None = None) -> "out.ConflictDocument":
        return cast("out.ConflictDocument", self.send(calls.conflict(name, remote)))

    def resolve_conflict(self, name: str, body: "doc.JsonObject") -> "out.ResolvedDocument":
        return cast("out.ResolvedDocument", self.send(calls.resolve(name, body)))

    # -- Transport ---------------------------------------------------------------------------------------------

    def send(self, call: Call) -> Any:
        """The JSON of the answer; None for 204. What counts once (`calls.once`) is sent a second time where the answer
        was lost."""
        try:
            response, content = self._answered(call)
        except ServerUnreachableError:
            if not calls.counts_once(call):
                raise
            response, content = self._answered(call)
        if response.status >= 300:
            problem = problem_of(response.status, response.reason, content, self.url + call.path)
            raise session_over(problem, self.url) if self._elsewhere and problem.code in NO_SESSION else problem
        return self._parsed(call, response.status, content)

    def _answered(self, call: Call) -> tuple[http.client.HTTPResponse, bytes]:
        body = None if call.body is None else json.dumps(call.body).encode()
        try:
            connection = _open(self.url, call.timeout_s)
            try:
                headers = self._headers(body) | dict(call.headers)
                connection.request(call.method, _target(self.url, call.path), body, headers)
                response = connection.getresponse()
                return response, _content(response)
            finally:
                connection.close()
        except _BROKEN as error:
            raise ServerUnreachableError(self.url, reason_of(error), elsewhere=self._elsewhere) from error

    def _parsed(self, call: Call, status: int, content: bytes) -> Any:
        if call.answer is None or status == 204:
            return None
        try:
            parsed = json.loads(content)
        except ValueError:
            parsed = None
        if not isinstance(parsed, list if call.many else dict):
            raise unexpected(status, f"{call.method} {self.url}{call.path} was not answered with the JSON it should be")
        return parsed

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def events(
        self, topics: Sequence[str], *, on_open: Callable[[], None] = lambda: None, patience_s: float = 60.0
    ) -> Iterator[Event]:
        """What happens from now on. Connects again after a break, resuming after the last event seen; `on_open` runs
        on every connection before its first event, and may read what was missed. Events of unknown topics are left
        out. Raises ServerUnreachableError when nothing has answered for `patience_s`."""
        last_id, wait_s, lost_at = "", 0.0, None

        def opened() -> None:
            nonlocal wait_s, lost_at
            wait_s, lost_at = 0.0, None
            on_open()

        while True:
            reason = "it ended the connection"
            try:
                for received in self._stream(topics, last_id, opened):
                    last_id = received.id
                    if event := _event(received):
                        yield event
            except (*_BROKEN, TooLarge, ServerUnreachableError) as error:
                reason = reason_of(error)
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > patience_s:
                raise ServerUnreachableError(self.url, reason)
            wait_s = next_wait_s(wait_s)
            time.sleep(wait_s)

    def _stream(self, topics: Sequence[str], last_id: str, on_open: Callable[[], None]) -> Iterator[Received]:
        call = calls.events(topics)
        headers = {**self._headers(None), "Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        connection = _open(self.url, call.timeout_s)
        try:
            connection.request(call.method, _target(self.url, call.path), None, headers)
            response = connection.getresponse()
            if response.status != 200:
                content = response.read(MAX_BODY_BYTES)
                problem = problem_of(response.status, response.reason, content, self.url + call.path)
                # A server that is starting or stopping answers 503: that passes. A refusal does not.
                raise ConnectionError(problem.detail) if response.status >= 500 else problem
            on_open()
            decoder = Decoder(last_id)
            while chunk := response.read1(65536):
                yield from decoder.feed(chunk)
        finally:
            connection.close()

    @staticmethod
    def call(
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        timeout_s: float = 30.0,
    ) -> CallResult:
        """Call a user's API. The control API's token never goes along: what answers there is the user's code."""
        started = time.perf_counter()
        try:
            connection = _open(url, timeout_s)
            try:
                response, content = _exchange(connection, method, _target(url), headers, body)
            finally:
                connection.close()
        except _BROKEN as error:
            raise ServerUnreachableError(url, reason_of(error)) from error
        if len(content) > MAX_BODY_BYTES:
            raise too_large(url)
        elapsed_ms = (time.perf_counter() - started) * 1000
        return CallResult(response.status, response.reason, response.getheaders(), content, elapsed_ms)


def too_large(url: str) -> ApimarketClientError:
    return ApimarketClientError(
        f"{url} answered with more than {MAX_BODY_BYTES >> 20} MiB",
        hint=f"Stream it to a file: curl -o answer '{url}'",
        code="answer_too_large",
        status=502,
        title="The answer is too large to show",
    )


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    body: bytes | None,
) -> tuple[http.client.HTTPResponse, bytes]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding="accept-encoding" in names)
    for name, value in given:
        connection.putheader(name, value)
    if body is not None and "content-length" not in names:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    return response, _content(response)


def _content(response: http.client.HTTPResponse) -> bytes:
    """The whole body, at most one byte more than is allowed. Raises IncompleteRead when the peer broke off, which
    `read` with a size does not notice."""
    content = response.read(MAX_BODY_BYTES + 1)
    if len(content) <= MAX_BODY_BYTES and response.length:
        raise http.client.IncompleteRead(content, response.length)
    return content


def _open(url: str, timeout_s: float) -> http.client.HTTPConnection:
    """A connection to the host of `url`; opened by its first request. Raises ApimarketClientError for a wrong URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApimarketClientError(
            f"{url!r} is not an address of a server",
            hint="It should look like http://127.0.0.1:8080 (see APIMARKET_URL).",
            code="invalid_url",
            status=400,
            title="That address cannot be used",
        )
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, port, timeout=timeout_s)


def _target(url: str, path: str | None = None) -> str:
    """The request line's target: `path` below the base `url`, or `url`'s own path and query."""
    parts = urlsplit(url)
    if path is not None:
        return parts.path.rstrip("/") + path
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _event(received: Received) -> Event | None:
    if received.topic == "resync":
        return Event("resync", {"topic": "resync"})
    try:
        data = json.loads(received.data)
    except ValueError:
        return None
    return Event(received.topic, data) if isinstance(data, dict) else None
