"""The outbox and the remotes in SQL."""

from collections.abc import Sequence

from local_server.domain.ids import ApiId, Digest, OpId
from local_server.domain.outbox import FINISHED, UNFINISHED, Outgoing, PublishedVersion, Remote, RemoteRef
from local_server.storage.sql.connection import Connection, Params
from local_server.storage.sql.outbox_rows import (
    VERSION_COLUMNS,
    outgoing_from,
    outgoing_row,
    ref_from,
    ref_row,
    remote_from,
    version_from,
    version_row,
)

# What an entry is never changes; only how far it has come.
_FIXED = """op, api_id, remote, owner, slug, semver, tree, version, parents, document, signature, signer, openapi,
            created_at"""
_MOVES = ("updated_at", "state", "attempts", "next_at", "upload_id", "trouble", "sent_bytes", "total_bytes",
          "sent_blobs", "total_blobs")  # fmt: skip
_COLUMNS = f"{_FIXED}, {', '.join(_MOVES)}"

_ADD = f"""
    insert into outbox ({_COLUMNS})
    values ({", ".join(f":{name.strip()}" for name in _COLUMNS.split(","))})
"""  # noqa: S608 -- put together from constants only
_SAVE = f"update outbox set {', '.join(f'{name} = :{name}' for name in _MOVES)} where op = :op"  # noqa: S608

_REF_COLUMNS = ("remote", "owner", "slug", "api_id", "head_version", "head_semver", "head_tree", "head_revision",
                "base_version", "base_semver", "base_tree", "base_revision", "visibility", "deleted",
                "yanked", "clone_api_id", "pinned")  # fmt: skip
_PUT_REF = f"""
    insert into remote_refs ({", ".join(_REF_COLUMNS)})
    values ({", ".join(f":{name}" for name in _REF_COLUMNS)})
    on conflict (remote, owner, slug) do update
    set {", ".join(f"{name} = excluded.{name}" for name in _REF_COLUMNS[3:])}
"""  # noqa: S608 -- put together from constants only

_VERSION = f"select {', '.join(VERSION_COLUMNS)} from remote_versions"  # noqa: S608 -- a constant
_ADD_VERSION = f"""
    insert into remote_versions ({", ".join(VERSION_COLUMNS)})
    values ({", ".join(f":{name}" for name in VERSION_COLUMNS)})
    on conflict (remote, id) do nothing
"""  # noqa: S608 -- put together from constants only

_PRUNE = f"""
    delete from outbox
    where state in ({", ".join(f"'{state}'" for state in sorted(FINISHED))})
      and op not in (select op from outbox order by created_at desc, op desc limit :keep)
"""  # noqa: S608 -- put together from constants only

_PUT_REMOTE = """
    insert into remotes (url, marketplace_id, account, "cursor")
    values (:url, :marketplace_id, :account, :cursor)
    on conflict (url) do update
    set marketplace_id = excluded.marketplace_id, account = excluded.account, "cursor" = excluded."cursor"
"""


def _among(states: frozenset[str]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


class SqlOutboxReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, op: OpId) -> Outgoing | None:
        found = self._many(f"where op = :op{self._connection.locking('outbox')}", {"op": op})
        return found[0] if found else None

    def latest(self, limit: int = 100) -> Sequence[Outgoing]:
        return self._many("order by created_at desc, op desc limit :limit", {"limit": max(limit, 0)})

    def unfinished(self) -> Sequence[Outgoing]:
        return self._many(f"where state in ({_among(UNFINISHED)}) order by created_at, op", {})

    def pending(self, api_id: ApiId, remote: str) -> Sequence[Outgoing]:
        return self._many(
            f"where api_id = :api_id and remote = :remote and state not in ({_among(FINISHED)}) "
            "order by created_at, op",
            {"api_id": api_id, "remote": remote},
        )

    def _many(self, rest: str, params: Params) -> Sequence[Outgoing]:
        rows = self._connection.execute(f"select {_COLUMNS} from outbox {rest}", params)  # noqa: S608 -- constants
        return [outgoing_from(self._dialect, row) for row in rows]


class SqlOutboxStore(SqlOutboxReader):
    def add(self, entry: Outgoing) -> None:
        self._connection.execute(_ADD, outgoing_row(self._dialect, entry))

    def save(self, entry: Outgoing) -> None:
        row = outgoing_row(self._dialect, entry)
        self._connection.change(_SAVE, {name: row[name] for name in ("op", *_MOVES)})

    def prune(self, keep: int = 200) -> None:
        self._connection.execute(_PRUNE, {"keep": max(keep, 0)})


class SqlRemotesReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, url: str) -> Remote | None:
        locking = self._connection.locking("remotes")
        rows = self._connection.execute(
            f'select url, marketplace_id, account, "cursor" from remotes where url = :url{locking}',  # noqa: S608
            {"url": url},
        )
        return remote_from(rows[0]) if rows else None

    def all(self) -> Sequence[Remote]:
        rows = self._connection.execute('select url, marketplace_id, account, "cursor" from remotes order by url', {})
        return [remote_from(row) for row in rows]

    def ref(self, remote: str, owner: str, slug: str) -> RemoteRef | None:
        params = {"remote": remote, "owner": owner, "slug": slug}
        locking = self._connection.locking("remote_refs")
        found = self._refs(f"where remote = :remote and owner = :owner and slug = :slug{locking}", params)
        return found[0] if found else None

    def refs(self, remote: str) -> Sequence[RemoteRef]:
        return self._refs("where remote = :remote order by owner, slug", {"remote": remote})

    def refs_of(self, api_id: ApiId) -> Sequence[RemoteRef]:
        return self._refs("where api_id = :api_id order by remote, owner, slug", {"api_id": api_id})

    def version(self, remote: str, version: Digest) -> PublishedVersion | None:
        rows = self._connection.execute(
            f"{_VERSION} where remote = :remote and id = :id", {"remote": remote, "id": version}
        )
        return version_from(rows[0]) if rows else None

    def versions(self, remote: str, owner: str, slug: str) -> Sequence[PublishedVersion]:
        rows = self._connection.execute(
            f"{_VERSION} where remote = :remote and owner = :owner and slug = :slug order by semver, id",
            {"remote": remote, "owner": owner, "slug": slug},
        )
        return [version_from(row) for row in rows]

    def _refs(self, rest: str, params: Params) -> Sequence[RemoteRef]:
        rows = self._connection.execute(
            f"select {', '.join(_REF_COLUMNS)} from remote_refs {rest}",  # noqa: S608 -- constants
            params,
        )
        return [ref_from(self._dialect, row) for row in rows]


class SqlRemotesStore(SqlRemotesReader):
    def put(self, remote: Remote) -> None:
        self._connection.execute(
            _PUT_REMOTE,
            {
                "url": remote.url,
                "marketplace_id": remote.marketplace_id,
                "account": remote.account,
                "cursor": remote.cursor,
            },
        )

    def put_ref(self, ref: RemoteRef) -> None:
        self._connection.execute(_PUT_REF, ref_row(self._dialect, ref))

    def add_version(self, version: PublishedVersion) -> None:
        self._connection.execute(_ADD_VERSION, version_row(version))

    def forget(self, url: str) -> None:
        self._connection.execute("delete from remotes where url = :url", {"url": url})
