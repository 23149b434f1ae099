"""Immutable versions, channels and traffic in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.registry_errors import ApiNotFound
from local_server.domain.sync_errors import VersionExists
from local_server.domain.version_errors import TrafficConflict, VersionNotFound
from local_server.domain.versions import ApiVersion, Pointer, Traffic
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Connection, Params, Row
from local_server.storage.sql.rows import storable

_COLUMNS = ("id", "api_id", "semver", "tree", "document", "parents", "signer", "public_key", "signature",
            "published_by", "created_at", "yanked_at", "yanked_reason", "deprecated_at", "sunset_at")  # fmt: skip
_SELECT = f"select {', '.join(_COLUMNS)} from api_versions"  # noqa: S608 -- put together from constants only

# Of two that add the same number at once, one finds the other's row here, committed or not yet, and waits for it.
_ADD = f"""
    insert into api_versions ({", ".join(_COLUMNS)}, openapi)
    values ({", ".join(f":{name}" for name in _COLUMNS)}, :openapi)
    on conflict do nothing
    returning id
"""  # noqa: S608

_PUT_CHANNEL = """
    insert into channels (api_id, name, semver, moved_at) values (:api_id, :name, :semver, :moved_at)
    on conflict (api_id, name) do update set semver = excluded.semver, moved_at = excluded.moved_at
"""

# The first move inserts; every later one is a compare and swap on the revision.
_FIRST_TRAFFIC = """
    insert into traffic (api_id, pointer, earlier, revision) values (:api_id, :pointer, :earlier, :next)
    on conflict (api_id) do nothing
    returning revision
"""
_NEXT_TRAFFIC = """
    update traffic set pointer = :pointer, earlier = :earlier, revision = :next
    where api_id = :api_id and revision = :revision
    returning revision
"""


class SqlVersionsReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, api_id: ApiId, version: Digest) -> ApiVersion | None:
        return self._one("where api_id = :api_id and id = :id", {"api_id": api_id, "id": version})

    def by_semver(self, api_id: ApiId, semver: str) -> ApiVersion | None:
        return self._one("where api_id = :api_id and semver = :semver", {"api_id": api_id, "semver": storable(semver)})

    def of_api(self, api_id: ApiId, limit: int = 1000) -> Sequence[ApiVersion]:
        rows = self._connection.execute(
            f"{_SELECT} where api_id = :api_id order by created_at desc, semver desc limit :limit",
            {"api_id": api_id, "limit": max(limit, 0)},
        )
        return [version_from(self._dialect, row) for row in rows]

    def openapi(self, api_id: ApiId, semver: str) -> bytes | None:
        rows = self._connection.execute(
            "select openapi from api_versions where api_id = :api_id and semver = :semver",
            {"api_id": api_id, "semver": storable(semver)},
        )
        return None if not rows or rows[0]["openapi"] is None else bytes(rows[0]["openapi"])

    def channels(self, api_id: ApiId) -> Mapping[str, str]:
        rows = self._connection.execute(
            "select name, semver from channels where api_id = :api_id order by name", {"api_id": api_id}
        )
        return {row["name"]: row["semver"] for row in rows}

    def traffic(self, api_id: ApiId) -> Traffic:
        locking = self._connection.locking("traffic")
        rows = self._connection.execute(
            f"select pointer, earlier, revision from traffic where api_id = :api_id{locking}",  # noqa: S608
            {"api_id": api_id},
        )
        return _traffic_from(self._dialect, rows[0]) if rows else Traffic()

    def _one(self, rest: str, params: Params) -> ApiVersion | None:
        rows = self._connection.execute(f"{_SELECT} {rest}", params)
        return version_from(self._dialect, rows[0]) if rows else None


class SqlVersionsStore(SqlVersionsReader):
    def add(self, version: ApiVersion, openapi: bytes | None = None) -> bool:
        name = self._name(version.api_id)
        if self._connection.execute(_ADD, {**version_row(self._dialect, version), "openapi": openapi}):
            return True
        there = self.by_semver(version.api_id, version.semver) or self.get(version.api_id, version.id)
        assert there is not None  # versions are never deleted but with their API, which is there
        if there.id != version.id:
            raise VersionExists(name, version.semver, there.id, there.tree)
        return False

    def yank(self, api_id: ApiId, semver: str, at: datetime | None, reason: str = "") -> None:
        self._mark(
            api_id,
            semver,
            {
                "yanked_at": None if at is None else self._dialect.time(at),
                "yanked_reason": storable(reason) if at is not None else "",
            },
        )

    def deprecate(self, api_id: ApiId, semver: str, at: datetime | None, sunset_at: datetime | None = None) -> None:
        self._mark(
            api_id,
            semver,
            {
                "deprecated_at": None if at is None else self._dialect.time(at),
                "sunset_at": None if at is None or sunset_at is None else self._dialect.time(sunset_at),
            },
        )

    def put_channel(self, api_id: ApiId, name: str, semver: str, at: datetime) -> None:
        if self.by_semver(api_id, semver) is None:
            raise VersionNotFound(self._name(api_id), semver)
        params = {"api_id": api_id, "name": name, "semver": semver, "moved_at": self._dialect.time(at)}
        self._connection.execute(_PUT_CHANNEL, params)

    def remove_channel(self, api_id: ApiId, name: str) -> None:
        self._connection.execute(
            "delete from channels where api_id = :api_id and name = :name", {"api_id": api_id, "name": storable(name)}
        )

    def move_traffic(self, api_id: ApiId, traffic: Traffic) -> Traffic:
        name = self._name(api_id)
        params = {
            "api_id": api_id,
            "pointer": self._dialect.json(_shares(traffic.pointer)),
            "earlier": self._dialect.json([_shares(pointer) for pointer in traffic.earlier]),
            "revision": traffic.revision,
            "next": traffic.revision + 1,
        }
        done = self._connection.execute(_NEXT_TRAFFIC if traffic.revision else _FIRST_TRAFFIC, params)
        if not done:
            raise TrafficConflict(name, traffic.revision, self.traffic(api_id).revision)
        return replace(traffic, revision=traffic.revision + 1)

    def _mark(self, api_id: ApiId, semver: str, marks: dict[str, Any]) -> None:
        """Raises VersionNotFound."""
        changes = ", ".join(f"{name} = :{name}" for name in marks)
        done = self._connection.execute(
            f"update api_versions set {changes} where api_id = :api_id and semver = :semver returning id",  # noqa: S608
            {**marks, "api_id": api_id, "semver": storable(semver)},
        )
        if not done:
            raise VersionNotFound(self._name(api_id), semver)

    def _name(self, api_id: ApiId) -> str:
        """Its `owner/slug`. Raises ApiNotFound."""
        rows = self._connection.execute(
            "select users.handle, apis.slug from apis join users on users.id = apis.user_id where apis.id = :id",
            {"id": api_id},
        )
        if not rows:
            raise ApiNotFound(api_id)
        return f"{rows[0]['handle']}/{rows[0]['slug']}"


# -- Rows --------------------------------------------------------------------------------------------------------


def version_row(dialect: Dialect, version: ApiVersion) -> Row:
    return {
        "id": version.id,
        "api_id": version.api_id,
        "semver": version.semver,
        "tree": version.tree,
        "document": version.document,
        "parents": " ".join(version.parents),
        "signer": version.signer,
        "public_key": version.public_key,
        "signature": version.signature,
        "published_by": version.published_by,
        "created_at": dialect.time(version.created_at),
        "yanked_at": None if version.yanked_at is None else dialect.time(version.yanked_at),
        "yanked_reason": storable(version.yanked_reason),
        "deprecated_at": None if version.deprecated_at is None else dialect.time(version.deprecated_at),
        "sunset_at": None if version.sunset_at is None else dialect.time(version.sunset_at),
    }


def version_from(dialect: Dialect, row: Row) -> ApiVersion:
    def moment(name: str) -> datetime | None:
        return None if row[name] is None else dialect.moment(row[name])

    def octets(name: str) -> bytes | None:
        return None if row[name] is None else bytes(row[name])

    return ApiVersion(
        id=Digest(row["id"]),
        api_id=ApiId(row["api_id"]),
        semver=row["semver"],
        tree=Digest(row["tree"]),
        document=bytes(row["document"]),
        parents=tuple(Digest(parent) for parent in row["parents"].split()),
        signer=row["signer"],
        public_key=octets("public_key"),
        signature=octets("signature"),
        published_by=UserId(row["published_by"]),
        created_at=dialect.moment(row["created_at"]),
        yanked_at=moment("yanked_at"),
        yanked_reason=row["yanked_reason"],
        deprecated_at=moment("deprecated_at"),
        sunset_at=moment("sunset_at"),
    )


def _shares(pointer: Pointer) -> list[list[Any]]:
    return [list(share) for share in pointer.shares]


def _pointer(shares: list[list[Any]]) -> Pointer:
    return Pointer(tuple((target, weight) for target, weight in shares))


def _traffic_from(dialect: Dialect, row: Row) -> Traffic:
    return Traffic(
        _pointer(dialect.parsed(row["pointer"])),
        tuple(_pointer(shares) for shares in dialect.parsed(row["earlier"])),
        row["revision"],
    )
