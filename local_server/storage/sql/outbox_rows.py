"""Outgoing versions, remotes and their refs as rows."""

from local_server.domain.ids import ApiId, Digest, OpId
from local_server.domain.outbox import Head, OutboxState, Outgoing, PublishedVersion, Remote, RemoteRef, Trouble
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Row
from local_server.storage.sql.rows import storable

VERSION_COLUMNS = ("remote", "id", "owner", "slug", "semver", "tree", "document", "signer", "public_key", "signature",
                   "openapi")  # fmt: skip


def outgoing_row(dialect: Dialect, entry: Outgoing) -> Row:
    trouble = entry.trouble
    told = None if trouble is None else [storable(part) for part in (trouble.code, trouble.detail, trouble.hint)]
    return {
        "op": entry.op,
        "api_id": entry.api_id,
        "remote": entry.remote,
        "owner": entry.owner,
        "slug": entry.slug,
        "semver": entry.semver,
        "tree": entry.tree,
        "version": entry.version,
        "parents": " ".join(entry.parents),
        "document": entry.document,
        "signature": entry.signature,
        "signer": entry.signer,
        "openapi": entry.openapi,
        "created_at": dialect.time(entry.created_at),
        "updated_at": dialect.time(entry.updated_at),
        "state": entry.state,
        "attempts": entry.attempts,
        "next_at": None if entry.next_at is None else dialect.time(entry.next_at),
        "upload_id": entry.upload_id,
        "trouble": None if told is None else dialect.json(told),
        "sent_bytes": entry.sent_bytes,
        "total_bytes": entry.total_bytes,
        "sent_blobs": entry.sent_blobs,
        "total_blobs": entry.total_blobs,
    }


def outgoing_from(dialect: Dialect, row: Row) -> Outgoing:
    return Outgoing(
        op=OpId(row["op"]),
        api_id=ApiId(row["api_id"]),
        remote=row["remote"],
        owner=row["owner"],
        slug=row["slug"],
        semver=row["semver"],
        tree=Digest(row["tree"]),
        version=Digest(row["version"]),
        parents=tuple(Digest(parent) for parent in row["parents"].split()),
        document=bytes(row["document"]),
        signature=bytes(row["signature"]),
        signer=row["signer"],
        openapi=None if row["openapi"] is None else bytes(row["openapi"]),
        created_at=dialect.moment(row["created_at"]),
        updated_at=dialect.moment(row["updated_at"]),
        state=OutboxState(row["state"]),
        attempts=row["attempts"],
        next_at=None if row["next_at"] is None else dialect.moment(row["next_at"]),
        upload_id=row["upload_id"],
        trouble=None if row["trouble"] is None else Trouble(*dialect.parsed(row["trouble"])),
        sent_bytes=row["sent_bytes"],
        total_bytes=row["total_bytes"],
        sent_blobs=row["sent_blobs"],
        total_blobs=row["total_blobs"],
    )


def remote_from(row: Row) -> Remote:
    return Remote(row["url"], row["marketplace_id"], row["account"], row["cursor"])


def version_row(version: PublishedVersion) -> Row:
    return {name: getattr(version, name) for name in VERSION_COLUMNS}


def version_from(row: Row) -> PublishedVersion:
    return PublishedVersion(
        remote=row["remote"],
        id=Digest(row["id"]),
        owner=row["owner"],
        slug=row["slug"],
        semver=row["semver"],
        tree=Digest(row["tree"]),
        document=bytes(row["document"]),
        signer=row["signer"],
        public_key=bytes(row["public_key"]),
        signature=bytes(row["signature"]),
        openapi=None if row["openapi"] is None else bytes(row["openapi"]),
    )


def ref_row(dialect: Dialect, ref: RemoteRef) -> Row:
    return {
        "remote": ref.remote,
        "owner": ref.owner,
        "slug": ref.slug,
        "api_id": ref.api_id,
        **_head_row("head", ref.head),
        **_head_row("base", ref.base),
        "visibility": ref.visibility,
        "deleted": ref.deleted,
        "yanked": dialect.json({semver: storable(reason) for semver, reason in ref.yanked.items()}),
        "clone_api_id": ref.clone,
        "pinned": ref.pinned,
    }


def ref_from(dialect: Dialect, row: Row) -> RemoteRef:
    return RemoteRef(
        remote=row["remote"],
        owner=row["owner"],
        slug=row["slug"],
        api_id=None if row["api_id"] is None else ApiId(row["api_id"]),
        head=_head_from("head", row),
        base=_head_from("base", row),
        visibility=row["visibility"],
        deleted=bool(row["deleted"]),
        yanked=dialect.parsed(row["yanked"]),
        clone=None if row["clone_api_id"] is None else ApiId(row["clone_api_id"]),
        pinned=bool(row["pinned"]),
    )


def _head_row(prefix: str, head: Head | None) -> Row:
    return {
        f"{prefix}_version": head.version if head else None,
        f"{prefix}_semver": head.semver if head else None,
        f"{prefix}_tree": head.tree if head else None,
        f"{prefix}_revision": head.revision if head else None,
    }


def _head_from(prefix: str, row: Row) -> Head | None:
    if row[f"{prefix}_version"] is None:
        return None
    return Head(
        Digest(row[f"{prefix}_version"]),
        row[f"{prefix}_semver"],
        Digest(row[f"{prefix}_tree"]),
        row[f"{prefix}_revision"],
    )
