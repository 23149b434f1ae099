"""Makes a version visible, in one transaction: all of it, or nothing.

The order is what makes it safe among many: the account's lock first, so that two machines of one account come one after
the other; the feed's lock late, since everybody waits for it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from local_server.domain.access_tokens import TokenId
from local_server.domain.contract_changes import Bump, next_version
from local_server.domain.events import ApiChanged, ApiRegistered, FeedMoved, VersionCreated
from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.manifest import Manifest, Visibility
from local_server.domain.publishing import Missing, Outcome, Published
from local_server.domain.refs import ChangeKind, Head, Refs
from local_server.domain.registry import Api, ApiStage
from local_server.domain.registry_errors import NameTaken
from local_server.domain.signatures import SigningKey, is_signed
from local_server.domain.sync_errors import (
    ApiRemovedForGood,
    BadSignature,
    HeadMoved,
    OpReused,
    PublishRefused,
    VersionExists,
)
from local_server.domain.trees import Tree
from local_server.domain.versions import ApiVersion
from local_server.failpoints import failpoint
from local_server.marketplace.listings import Listings
from local_server.publishing.request import Draft
from local_server.storage.base import ReadTx, Tx
from local_server.storage.publishing import Done
from local_server.system import System


@dataclass(frozen=True, slots=True)
class Ready:
    """A draft with all that can be known of it outside of a transaction."""

    draft: Draft
    manifest: Manifest
    tree: Tree
    sizes: Mapping[str, int]
    """Of the blobs that the base tree has not, by SHA-256."""
    present: frozenset[str]
    """Those of them that are on disk."""
    received: Mapping[str, int]
    """Those of them that came with this request."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What of a version makes its listing."""

    manifest: Manifest
    tree: Digest
    openapi: Mapping[str, Any] | None


def standing(tx: ReadTx | Tx, draft: Draft, marketplace_id: str, now: datetime) -> Outcome | None:
    """What the operation came to, if it is over; None: it may be committed, as far as what is published goes. Raises
    OpReused, ApiRemovedForGood, NameTaken, VersionExists, HeadMoved, PublishRefused, BadSignature."""
    request = draft.request
    done = tx.published.op(request.user_id, request.op)
    if done is not None:
        if done.request_hash != draft.request_hash:
            raise OpReused(request.op)
        return Outcome(done.published, replayed=True)
    refs = tx.published.refs(request.owner, request.slug)
    if refs is not None and refs.removed:
        raise ApiRemovedForGood(request.full_name)
    if refs is None and (api := tx.registry.by_name(request.owner, request.slug)) is not None:
        raise NameTaken(request.slug, api.directory)
    _check_number(tx, draft, refs)
    _check_head(draft, refs)
    _check_signature(tx, draft, marketplace_id, now)
    return None


class Committing:
    """`runs` says whose versions are run here."""

    def __init__(self, system: System, listings: Listings, marketplace_id: str, runs: Callable[[UserId], bool]) -> None:
        self._system = system
        self._listings = listings
        self._marketplace_id = marketplace_id
        self._runs = runs

    def commit(self, tx: Tx, ready: Ready, stage: Callable[[Tx, Ready, Sequence[str]], Missing]) -> Outcome | Missing:
        """`stage` keeps what waits for blobs. Raises what `standing` raises."""
        request = ready.draft.request
        tx.published.lock(request.user_id)
        failpoint("publish.locked")
        done = standing(tx, ready.draft, self._marketplace_id, self._system.now())
        if done is not None:
            return done
        if request.delta.base is not None and not tx.published.may_read_tree(request.user_id, request.delta.base):
            return Missing("none", (), base_known=False)
        now = self._system.now()
        here = tx.uploads.granted(request.user_id, ready.sizes, now) | ready.received.keys()
        lacking = sorted(ready.sizes.keys() - (here & ready.present))
        if lacking:
            return stage(tx, ready, lacking)
        return self._publish(tx, ready, now)

    def _publish(self, tx: Tx, ready: Ready, now: datetime) -> Outcome:
        request, draft = ready.draft.request, ready.draft
        before = tx.published.refs(request.owner, request.slug)
        visibility = _visibility(tx, before, ready.manifest)
        manifest = replace(ready.manifest, visibility=visibility, version=request.semver)
        tx.deployments.add_tree(ready.tree)
        tx.uploads.grant(request.user_id, ready.sizes, None)
        tx.uploads.remove(request.user_id, request.op)
        failpoint("publish.held")
        api = self._register(tx, ready, manifest, before, now)
        tx.versions.add(self._version(tx, api.id, draft, now), draft.openapi)
        failpoint("publish.version-added")
        refs = _moved(api, before, Head(draft.version, request.semver, request.tree), visibility)
        tx.published.put_refs(refs)
        failpoint("publish.head-moved")
        self._listings.take_over(tx, api, Listed(manifest, request.tree, request.openapi))
        failpoint("publish.listed")
        change = tx.published.append(ChangeKind.PUBLISHED, before, refs, now)
        failpoint("publish.change-told")
        published = Published(
            request.full_name, draft.version, request.semver, request.tree, refs.head_rev, change.number
        )
        tx.published.add_op(request.user_id, request.op, Done(draft.request_hash, published), now)
        failpoint("publish.outcome-kept")
        tx.emit(ApiRegistered(api.id) if before is None else ApiChanged(api.id))
        if self._runs(api.user_id):
            tx.emit(VersionCreated(api.id, request.semver))
        tx.emit(FeedMoved(api.id, change.number))
        return Outcome(published, replayed=False)

    def _register(self, tx: Tx, ready: Ready, manifest: Manifest, before: Refs | None, now: datetime) -> Api:
        request = ready.draft.request
        if before is not None:
            api = tx.registry.get(before.api_id)
            assert api is not None  # a published API is never deleted
            if api.manifest == manifest:
                return api
            return tx.registry.save(replace(api, manifest=manifest, updated_at=now), api.revision)
        api = Api(
            id=ApiId(self._system.new_id()),
            user_id=request.user_id,
            owner=request.owner,
            slug=request.slug,
            directory="",
            manifest=manifest,
            stage=ApiStage.DRAFT,
            revision=1,
            created_at=now,
            updated_at=now,
        )
        tx.registry.add(api)
        return api

    def _version(self, tx: Tx, api_id: ApiId, draft: Draft, now: datetime) -> ApiVersion:
        request = draft.request
        key = tx.signing_keys.get(request.user_id, request.signer)
        assert key is not None  # the signature was checked with it
        newest = tx.versions.of_api(api_id, 1)
        # A clock that was set back does not change which version came after which.
        at = max(now, newest[0].created_at + timedelta(microseconds=1)) if newest else now
        return ApiVersion(
            draft.version, api_id, request.semver, request.tree, draft.document, request.parents, request.signer,
            key.public_key, request.signature, request.user_id, at,
        )  # fmt: skip


# -- Checks ------------------------------------------------------------------------------------------------------


def _check_number(tx: ReadTx | Tx, draft: Draft, refs: Refs | None) -> None:
    request = draft.request
    there = tx.versions.by_semver(refs.api_id, request.semver) if refs is not None else None
    if there is not None:
        suggestion = next_version(refs.head.semver, Bump.PATCH) if refs is not None and refs.head else ""
        raise VersionExists(request.full_name, request.semver, there.id, there.tree, suggestion)


def _check_head(draft: Draft, refs: Refs | None) -> None:
    request = draft.request
    head = refs.head if refs is not None else None
    revision = refs.head_rev if refs is not None else 0
    if revision != request.if_head_rev:
        known = {"semver": head.semver, "version": head.version, "tree": head.tree} if head is not None else None
        raise HeadMoved(request.full_name, request.if_head_rev, revision, known)
    if head is not None and head.version not in request.parents:
        raise PublishRefused("parents", f"the head, {head.version}, is not among them: history is never rewritten")


def _check_signature(tx: ReadTx | Tx, draft: Draft, marketplace_id: str, now: datetime) -> None:
    request = draft.request
    key = tx.signing_keys.get(request.user_id, request.signer)
    if (
        key is None
        or not _in_force(tx, key, now)
        or not is_signed(key.public_key, request.signature, marketplace_id, draft.version)
    ):
        raise BadSignature(request.signer)


def _in_force(tx: ReadTx | Tx, key: SigningKey, now: datetime) -> bool:
    """A key that was registered with an access token ends with it."""
    if key.revoked_at is not None or key.token_id is None:
        return key.revoked_at is None
    token = tx.access_tokens.get(TokenId(key.token_id))
    return token is not None and token.is_valid(now)


def parsed(openapi: bytes | None) -> Mapping[str, Any] | None:
    """The document as it was stored."""
    return None if openapi is None else json.loads(openapi)


# -- Refs --------------------------------------------------------------------------------------------------------


def _visibility(tx: Tx, before: Refs | None, manifest: Manifest) -> Visibility:
    """What the manifest says, if it says something else than before; else what the ref was set to meanwhile stays."""
    if before is None or before.head is None:
        return manifest.visibility
    last = tx.versions.get(before.api_id, before.head.version)
    said = _said_visibility(last) if last is not None else manifest.visibility
    return before.visibility if manifest.visibility == said else manifest.visibility


def _said_visibility(version: ApiVersion) -> str:
    return str(json.loads(version.document)["manifest"].get("visibility", Visibility.PRIVATE))


def _moved(api: Api, before: Refs | None, head: Head, visibility: Visibility) -> Refs:
    if before is None:
        return Refs(api.id, api.user_id, api.owner, api.slug, head, 1, visibility, 1)
    changed = visibility is not before.visibility
    return replace(
        before,
        head=head,
        head_rev=before.head_rev + 1,
        visibility=visibility,
        visibility_rev=before.visibility_rev + changed,
    )
