"""Refs, changes, operations, uploads, signing keys and access tokens as rows."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from local_server.domain.access_tokens import AccessToken, PublishScope, TokenId
from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.manifest import Visibility
from local_server.domain.publishing import Published, PublishRequest, TreeDelta, Upload
from local_server.domain.refs import Change, ChangeKind, Head, Refs, refs_document, refs_from
from local_server.domain.signatures import SignerId, SigningKey
from local_server.domain.trees import TreeEntry
from local_server.storage.dialect import Dialect
from local_server.storage.publishing import Done
from local_server.storage.sql.connection import Row
from local_server.storage.sql.rows import storable

REFS_COLUMNS = ("api_id", "head_version", "head_semver", "head_tree", "head_rev", "visibility", "visibility_rev",
                "yanked", "yanked_rev", "removed")  # fmt: skip


# -- Refs and the feed -------------------------------------------------------------------------------------------


def refs_row(dialect: Dialect, refs: Refs) -> Row:
    head = refs.head
    return {
        "api_id": refs.api_id,
        "head_version": head and head.version,
        "head_semver": head and head.semver,
        "head_tree": head and head.tree,
        "head_rev": refs.head_rev,
        "visibility": refs.visibility,
        "visibility_rev": refs.visibility_rev,
        "yanked": dialect.json(_reasons(refs.yanked)),
        "yanked_rev": refs.yanked_rev,
        "removed": refs.removed,
    }


def refs_from_row(dialect: Dialect, row: Row) -> Refs:
    version = row["head_version"]
    return Refs(
        api_id=ApiId(row["api_id"]),
        user_id=UserId(row["user_id"]),
        owner=row["owner"],
        slug=row["slug"],
        head=None if version is None else Head(Digest(version), row["head_semver"], Digest(row["head_tree"])),
        head_rev=row["head_rev"],
        visibility=Visibility(row["visibility"]),
        visibility_rev=row["visibility_rev"],
        yanked=dialect.parsed(row["yanked"]),
        yanked_rev=row["yanked_rev"],
        removed=bool(row["removed"]),
    )


def change_row(dialect: Dialect, change: Change, audience: str) -> Row:
    refs = change.refs
    return {
        "number": change.number,
        "digest": change.digest,
        "at": dialect.time(change.at),
        "kind": change.kind,
        "api_id": refs.api_id,
        "user_id": refs.user_id,
        "audience": audience,
        "refs": dialect.json(refs_document(refs) | {"yanked": _reasons(refs.yanked)}),
    }


def change_from(dialect: Dialect, row: Row) -> Change:
    return Change(
        number=int(row["number"]),
        digest=row["digest"],
        at=dialect.moment(row["at"]),
        kind=ChangeKind(row["kind"]),
        refs=refs_from(dialect.parsed(row["refs"])),
    )


def _reasons(yanked: Mapping[str, str]) -> dict[str, str]:
    return {semver: storable(reason) for semver, reason in yanked.items()}


# -- Operations and uploads --------------------------------------------------------------------------------------


def outcome_of(published: Published) -> dict[str, Any]:
    return asdict(published)


def done_from(dialect: Dialect, row: Row) -> Done:
    outcome = dialect.parsed(row["outcome"])
    outcome |= {name: Digest(outcome[name]) for name in ("version", "tree")}
    return Done(row["request_hash"], Published(**outcome))


def upload_row(dialect: Dialect, upload: Upload) -> Row:
    return {
        "id": upload.id,
        "user_id": upload.request.user_id,
        "op": upload.request.op,
        # Bytes, for a JSON column cannot hold every text that JSON can.
        "request": json.dumps(_request_document(upload.request), separators=(",", ":")).encode(),
        "created_at": dialect.time(upload.created_at),
        "expires_at": dialect.time(upload.expires_at),
    }


def upload_from(dialect: Dialect, row: Row) -> Upload:
    return Upload(
        id=row["id"],
        request=_request_from(json.loads(bytes(row["request"])), UserId(row["user_id"]), row["op"]),
        created_at=dialect.moment(row["created_at"]),
        expires_at=dialect.moment(row["expires_at"]),
    )


def _request_document(request: PublishRequest) -> dict[str, Any]:
    delta = request.delta
    return {
        "owner": request.owner,
        "slug": request.slug,
        "semver": request.semver,
        "base": delta.base,
        "put": {path: [entry.sha256, entry.size_bytes, entry.mode] for path, entry in delta.put.items()},
        "delete": sorted(delta.delete),
        "tree": request.tree,
        "if_head_rev": request.if_head_rev,
        "parents": list(request.parents),
        "manifest": dict(request.manifest),
        "openapi": request.openapi,
        "signer": request.signer,
        "signature": request.signature.hex(),
    }


def _request_from(document: Mapping[str, Any], user_id: UserId, op: str) -> PublishRequest:
    base = document["base"]
    put = {path: TreeEntry(sha256, size, mode) for path, (sha256, size, mode) in document["put"].items()}
    return PublishRequest(
        op=op,
        user_id=user_id,
        owner=document["owner"],
        slug=document["slug"],
        semver=document["semver"],
        delta=TreeDelta(None if base is None else Digest(base), put, frozenset(document["delete"])),
        tree=Digest(document["tree"]),
        if_head_rev=document["if_head_rev"],
        parents=tuple(Digest(parent) for parent in document["parents"]),
        manifest=document["manifest"],
        openapi=document["openapi"],
        signer=SignerId(document["signer"]),
        signature=bytes.fromhex(document["signature"]),
    )


# -- Keys and tokens ---------------------------------------------------------------------------------------------


def signing_key_row(dialect: Dialect, key: SigningKey) -> Row:
    return {
        "user_id": key.user_id,
        "id": key.id,
        "name": storable(key.name),
        "public_key": key.public_key,
        "created_at": dialect.time(key.created_at),
        "revoked_at": _time(dialect, key.revoked_at),
        "token_id": key.token_id,
    }


def signing_key_from(dialect: Dialect, row: Row) -> SigningKey:
    return SigningKey(
        id=SignerId(row["id"]),
        user_id=UserId(row["user_id"]),
        name=row["name"],
        public_key=bytes(row["public_key"]),
        created_at=dialect.moment(row["created_at"]),
        revoked_at=_moment(dialect, row["revoked_at"]),
        token_id=row["token_id"],
    )


def token_row(dialect: Dialect, token: AccessToken) -> Row:
    return {
        "id": token.id,
        "user_id": token.user_id,
        "name": storable(token.name),
        "prefix": token.prefix,
        "digest": token.digest,
        "scope": f"{token.scope.owner}/{token.scope.slug}",
        "created_at": dialect.time(token.created_at),
        "expires_at": dialect.time(token.expires_at),
        "revoked_at": _time(dialect, token.revoked_at),
        "last_used_at": _time(dialect, token.last_used_at),
    }


def token_from(dialect: Dialect, row: Row) -> AccessToken:
    owner, _, slug = row["scope"].partition("/")
    return AccessToken(
        id=TokenId(row["id"]),
        user_id=UserId(row["user_id"]),
        name=row["name"],
        prefix=row["prefix"],
        digest=bytes(row["digest"]),
        scope=PublishScope(owner, slug),
        created_at=dialect.moment(row["created_at"]),
        expires_at=dialect.moment(row["expires_at"]),
        revoked_at=_moment(dialect, row["revoked_at"]),
        last_used_at=_moment(dialect, row["last_used_at"]),
    )


def _time(dialect: Dialect, at: datetime | None) -> Any:
    return None if at is None else dialect.time(at)


def _moment(dialect: Dialect, value: Any) -> datetime | None:
    return None if value is None else dialect.moment(value)
