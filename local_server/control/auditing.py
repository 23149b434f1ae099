"""Who did what: every act of the control API that changes something leaves a row in the audit.

What has to share a transaction with its row (accounts, keys, secrets, subscriptions, reviews, access tokens) writes it
itself. Other acts do not know who called; their rows are written here, when the act is done and before it is answered.
Of an act that was refused there is none.
"""

import json
import logging
from collections.abc import AsyncIterator

from fastapi import Request

from local_server.control.access import caller_of, operation_of
from local_server.domain.accounts import AuditEntry
from local_server.domain.errors import ApimarketError
from local_server.domain.redaction import redact_text
from local_server.domain.registry import Api
from local_server.domain.registry_errors import ApiNotFound

logger = logging.getLogger("apimarket.control")
MOST_DETAIL_CHARS = 300

ACTIONS = {
    "register_api": "api.register",
    "scaffold_api": "api.register",
    "patch_api": "api.change",
    "upload_api": "api.upload",
    "remove_api": "api.remove",
    "deploy": "api.deploy",
    "executor_deploy": "api.deploy",
    "restart": "api.restart",
    "executor_restart": "api.restart",
    "stop": "api.stop",
    "executor_stop": "api.stop",
    "undo": "api.undo",
    "start_version": "version.start",
    "stop_version": "version.stop",
    "mark_version": "version.mark",
    "move_traffic": "traffic.move",
    "roll_back": "traffic.rollback",
    "put_channel": "channel.set",
    "remove_channel": "channel.remove",
    "publish_api": "publish.begin",
    "yank_version": "publish.yank",
    "cancel_outgoing": "publish.cancel",
    "resolve_conflict": "publish.resolve",
    "pull_api": "pull.update",
    "pull_version": "pull.new",
    "forget_marketplace": "marketplace.forget",
    "publish_version": "published.add",
    "commit_upload": "published.add",
    "remove_published": "published.remove",
    "change_visibility": "published.visibility",
    "change_yanked": "published.yank",
    "register_signing_key": "signing_key.add",
    "revoke_signing_key": "signing_key.revoke",
    "forget_exchanges": "inspector.forget",
    "replay_exchange": "inspector.replay",
    "compare_exchange": "inspector.replay",
    "stop_server": "server.stop",
}
"""By operation id."""
OF_THEIR_OWN = frozenset(
    {"signup", "login", "logout", "change_password", "create_key", "rotate_key", "revoke_key", "write_review",
     "remove_review", "answer_review", "subscribe", "change_subscription", "cancel_subscription", "put_secret",
     "remove_secret", "create_token", "revoke_token"}
)  # fmt: skip
"""They write their rows themselves."""
NOTHING_CHANGES = frozenset(
    {"copy_catalogue", "forget_copy", "retry_outgoing", "sync_now", "upload_blobs", "upload_part", "read_blobs",
     "analytics_log"}
)  # fmt: skip
"""Of these nothing comes that anybody would ask about: copies, further attempts, parts of what is published later."""


async def audited(request: Request) -> AsyncIterator[None]:
    """A dependency, of function scope. Runs after `require_token`, around the act."""
    action = ACTIONS.get(operation_of(request))
    api = await _named(request) if action is not None else None
    yield  # a refusal is raised here
    if action is None:
        return
    runtime, caller = request.app.state.runtime, caller_of(request)
    api = api or getattr(request.state, "registered", None)
    entry = AuditEntry(
        runtime.system.new_id(),
        runtime.system.now(),
        caller.user.id,
        action,
        api.id if api is not None else "",
        request.client.host if request.client else "unknown",
        await _detail(request, api),
    )
    try:
        await runtime.storage.write(lambda tx: tx.audit.add(entry))
    except ApimarketError as error:
        # Fails open: the act is done, and its caller has to hear so.
        logger.error("%s by %s is not on record: %s", action, caller.user.handle, error.detail)


async def _named(request: Request) -> Api | None:
    """The API that the path names; after the act it may be gone."""
    reference = request.path_params.get("id")
    if reference is None:
        return None
    caller = caller_of(request)
    try:
        api: Api = await request.app.state.runtime.registry.resolve(
            reference, None if caller.is_machine else caller.user
        )
    except ApiNotFound:
        return None  # the act itself says so
    return api


async def _detail(request: Request, api: Api | None) -> str:
    """What it was about, then what it was told: `ana/weather 1.2.0 {"yanked": true}`."""
    named = [str(value) for name, value in request.path_params.items() if name != "id"]
    said = await _said(request)
    parts = [*([api.full_name] if api is not None else []), *named, *([said] if said else [])]
    return " ".join(parts)[:MOST_DETAIL_CHARS]


async def _said(request: Request) -> str:
    """The JSON that the act read, without what may be a secret."""
    if getattr(request.scope["route"], "body_field", None) is None:
        return ""
    if "json" not in request.headers.get("content-type", ""):
        return ""
    body = await request.body()
    return redact_text(json.dumps(json.loads(body), ensure_ascii=False), "application/json") if body else ""
