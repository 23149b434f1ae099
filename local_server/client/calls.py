"""Every call of the control API, described and not made: two transports carry the same descriptions.

`answer` names the wire model (`module:class` below `local_server.wire`) without importing it; `many` says that the
answer is a list of it. Names of APIs may be an id, a slug or `owner/slug`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

ROOT = "/api/v1"
_ONCE = "Idempotency-Key"
_REPLAY_S = 300.0
"""A generation that has ended is started for it, its dependencies and all, and two answers are waited for."""


class Call(NamedTuple):
    method: str
    path: str
    answer: str | None = None
    many: bool = False
    body: Mapping[str, Any] | None = None
    timeout_s: float = 30.0
    headers: tuple[tuple[str, str], ...] = ()
    """Beside those that every call has."""


def api_path(name: str, act: str = "") -> str:
    """`/api/v1/apis/{id}`, with everything that could end the path escaped; the slash of `owner/slug` stays."""
    return f"{ROOT}/apis/{quote(name, safe='/@')}{act}"


def _query(path: str, /, **values: str | int | None) -> str:
    given = {key: value for key, value in values.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given)}" if given else path


def health() -> Call:
    return Call("GET", "/health", "server:Health", timeout_s=3.0)


def server() -> Call:
    return Call("GET", f"{ROOT}/server", "server:ServerView")


def stop_server(*, apis: bool) -> Call:
    return Call("POST", f"{ROOT}/server/stop?apis={'true' if apis else 'false'}", "server:Ack", timeout_s=60.0)


def doctor() -> Call:
    return Call("GET", f"{ROOT}/doctor", "server:Check", many=True, timeout_s=60.0)


def templates() -> Call:
    return Call("GET", f"{ROOT}/templates", "apis:TemplateView", many=True)


def apis(query: str = "") -> Call:
    return Call("GET", _query(f"{ROOT}/apis", q=query), "apis:ApiView", many=True)


def api(name: str) -> Call:
    return Call("GET", api_path(name), "apis:ApiView")


def register(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/apis", "apis:ApiView", body=body, timeout_s=120.0)


def scaffold(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/apis/scaffold", "apis:ApiView", body=body, timeout_s=120.0)


def patch(name: str, body: Mapping[str, Any]) -> Call:
    return Call("PATCH", api_path(name), "apis:ApiView", body=body)


def remove(name: str) -> Call:
    return Call("DELETE", api_path(name), timeout_s=60.0)


def deploy(name: str) -> Call:
    return Call("POST", api_path(name, "/deploy"), "apis:ApiView")


def restart(name: str) -> Call:
    return Call("POST", api_path(name, "/restart"), "apis:ApiView")


def stop(name: str, *, directory: bool = False) -> Call:
    """`directory`: only what that runs, while versions go on."""
    return Call("POST", _query(api_path(name, "/stop"), directory="true" if directory else None), "apis:ApiView")


def undo(name: str) -> Call:
    return Call("POST", api_path(name, "/undo"), "apis:ApiView")


def generations(name: str) -> Call:
    return Call("GET", api_path(name, "/generations"), "apis:GenerationView", many=True)


def logs(
    name: str, limit: int = 500, since: str | None = None, version: str = "", generation: int | None = None
) -> Call:
    """Oldest first; `since` is an ISO 8601 time."""
    path = _query(api_path(name, "/logs"), limit=limit, since=since, version=version, generation=generation)
    return Call("GET", path, "apis:LogLineView", many=True)


def requests(name: str, limit: int = 100) -> Call:
    return Call("GET", _query(api_path(name, "/requests"), limit=limit), "apis:ExecutionView", many=True)


def stats(name: str, window: str = "24h") -> Call:
    """`window` is 1h, 24h, 7d or 30d."""
    return Call("GET", _query(api_path(name, "/stats"), window=window), "analytics:StatsView")


def history(name: str, limit: int = 100, before: str | None = None, **filters: str | int | None) -> Call:
    """`before` is the `next` of the page before; filters are those of the route: `errors`, `status`, `since` ..."""
    path = _query(api_path(name, "/history"), limit=limit, before=before, **filters)
    return Call("GET", path, "analytics:HistoryView")


def exchanges(name: str, limit: int = 50, path: str = "", *, errors: bool = False) -> Call:
    """`path` is what theirs begins with."""
    query = _query(api_path(name, "/exchanges"), limit=limit, path=path, errors="true" if errors else None)
    return Call("GET", query, "exchanges:ExchangeSummary", many=True)


def _exchange_path(name: str, request_id: str, act: str = "") -> str:
    return api_path(name, f"/exchanges/{quote(request_id, safe='')}{act}")


def exchange(name: str, request_id: str) -> Call:
    return Call("GET", _exchange_path(name, request_id), "exchanges:ExchangeView")


def replay_exchange(name: str, request_id: str, generation: int | None = None) -> Call:
    body = {"generation": generation}
    path = _exchange_path(name, request_id, "/replay")
    return Call("POST", path, "exchanges:ReplayView", body=body, timeout_s=_REPLAY_S)


def compare_exchange(name: str, request_id: str, generation: int) -> Call:
    body = {"generation": generation}
    path = _exchange_path(name, request_id, "/compare")
    return Call("POST", path, "exchanges:CompareView", body=body, timeout_s=_REPLAY_S)


def forget_exchanges(name: str) -> Call:
    return Call("DELETE", api_path(name, "/exchanges"), "exchanges:Forgotten")


def signup(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/auth/signup", "accounts:SessionView", body=body)


def login(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/auth/login", "accounts:SessionView", body=body)


def change_password(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/auth/password", "accounts:SessionView", body=body)


def logout() -> Call:
    return Call("POST", f"{ROOT}/auth/logout")


def me() -> Call:
    return Call("GET", f"{ROOT}/auth/me", "accounts:AccountView")


def keys(name: str | None) -> Call:
    """None: the caller's to whichever API."""
    return Call("GET", "/api/v1/keys" if name is None else api_path(name, "/keys"), "accounts:KeyView", many=True)


def once(key: str | None) -> tuple[tuple[str, str], ...]:
    """What makes a request one that may be sent again when its answer was lost, and counts once; None: it may not."""
    return ((_ONCE, key),) if key is not None else ()


def counts_once(call: Call) -> bool:
    """Whether sending it a second time is the same as sending it once."""
    return any(name == _ONCE for name, _ in call.headers)


def new_once() -> str:
    """For `once`: of one act, however often it is sent."""
    return os.urandom(16).hex()


def create_key(name: str, body: Mapping[str, Any], idempotency_key: str | None = None) -> Call:
    path = api_path(name, "/keys")
    return Call("POST", path, "accounts:NewKeyView", body=body, headers=once(idempotency_key))


def rotate_key(key_id: str, grace_s: int, idempotency_key: str | None = None) -> Call:
    path = f"{ROOT}/keys/{quote(key_id, safe='')}/rotate"
    return Call("POST", path, "accounts:NewKeyView", body={"grace_s": grace_s}, headers=once(idempotency_key))


def revoke_key(key_id: str) -> Call:
    return Call("DELETE", f"{ROOT}/keys/{quote(key_id, safe='')}")


def tokens() -> Call:
    return Call("GET", f"{ROOT}/tokens", "tokens:TokenView", many=True)


def create_token(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/tokens", "tokens:NewTokenView", body=body)


def revoke_token(token_id: str) -> Call:
    return Call("DELETE", f"{ROOT}/tokens/{quote(token_id, safe='')}")


def publish(name: str, body: Mapping[str, Any]) -> Call:
    """A marketplace that was never met is asked first, and a running API for its contract."""
    return Call("POST", api_path(name, "/publish"), "outbox:PublishView", body=body, timeout_s=90.0)


def yank(name: str, body: Mapping[str, Any]) -> Call:
    return Call("POST", api_path(name, "/yank"), "outbox:RemoteApiView", body=body, timeout_s=90.0)


def outbox() -> Call:
    return Call("GET", f"{ROOT}/outbox", "outbox:OutboxView")


def outgoing(op: str, act: str) -> Call:
    """`act` is retry or cancel."""
    path = f"{ROOT}/outbox/{quote(op, safe='')}/{act}"
    return Call("POST", path, "outbox:OutboxEntryView", timeout_s=90.0)


def sync_now() -> Call:
    return Call("POST", f"{ROOT}/sync/now", "outbox:OutboxView", timeout_s=120.0)


def sync_info() -> Call:
    """Of a marketplace."""
    return Call("GET", f"{ROOT}/sync", "sync:SyncInfo")


def forget_marketplace(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/sync/forget", "outbox:OutboxView", body=body)


def pull(name: str, body: Mapping[str, Any]) -> Call:
    return Call("POST", api_path(name, "/pull"), "outbox:PulledView", body=body, timeout_s=600.0)


def pull_version(body: Mapping[str, Any]) -> Call:
    return Call("POST", f"{ROOT}/pull", "outbox:PulledView", body=body, timeout_s=600.0)


def conflict(name: str, remote: str | None = None) -> Call:
    return Call("GET", _query(api_path(name, "/conflict"), remote=remote), "outbox:ConflictView", timeout_s=600.0)


def resolve(name: str, body: Mapping[str, Any]) -> Call:
    return Call("POST", api_path(name, "/conflict"), "outbox:ResolvedView", body=body, timeout_s=600.0)


def events(topics: Sequence[str]) -> Call:
    """Server-Sent Events. `timeout_s` is the longest silence: the server says at least a comment every 15 s."""
    return Call("GET", _query(f"{ROOT}/events", topics=",".join(topics)), timeout_s=45.0)
