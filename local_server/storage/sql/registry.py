"""APIs in SQL.

An API whose stage is `removed` is a tombstone: it keeps its name, so that nobody's callers reach somebody else's code,
and gives its directory back. `get` and `by_name` still tell of it; lists, search and `by_directory` do not.
"""

from collections.abc import Sequence
from dataclasses import replace

from local_server.domain.ids import ApiId, UserId
from local_server.domain.registry import Api, ApiStage
from local_server.domain.registry_errors import ApiNotFound, DirectoryTaken, NameTaken, RevisionConflict
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import api_from, api_row, storable

_SELECT = """
    select apis.id, apis.user_id, users.handle as owner, apis.slug, apis.directory, apis.manifest, apis.status,
           apis.revision, apis.created_at, apis.updated_at
    from apis join users on users.id = apis.user_id
"""

_LISTED = "apis.status <> :removed and apis.user_id = coalesce(:user_id, apis.user_id)"

_INSERT = """
    insert into apis (id, user_id, slug, directory, visibility, status, category, tags, summary, manifest, revision,
                      created_at, updated_at)
    values (:id, :user_id, :slug, :directory, :visibility, :status, :category, :tags, :summary, :manifest, :revision,
            :created_at, :updated_at)
"""

_UPDATE = """
    update apis
    set user_id = :user_id, slug = :slug, directory = :directory, visibility = :visibility, status = :status,
        category = :category, tags = :tags, summary = :summary, manifest = :manifest, revision = :revision,
        created_at = :created_at, updated_at = :updated_at
    where id = :id
"""


class SqlRegistryReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, api_id: ApiId) -> Api | None:
        return self._one("where apis.id = :id", {"id": storable(api_id)})

    def by_name(self, owner: str, slug: str) -> Api | None:
        params = {"owner": storable(owner), "slug": storable(slug)}
        return self._one("where users.handle = :owner and apis.slug = :slug", params)

    def by_directory(self, directory: str) -> Api | None:
        params = {"directory": storable(directory), "removed": ApiStage.REMOVED}
        if not directory:
            return None  # that of any number of APIs that exist as versions only
        return self._one("where apis.directory = :directory and apis.status <> :removed", params)

    def all(self, user_id: UserId | None = None) -> Sequence[Api]:
        return self._many(f"where {_LISTED} order by users.handle, apis.slug", {"user_id": user_id})

    def search(self, text: str, limit: int = 50, user_id: UserId | None = None) -> Sequence[Api]:
        query = self._dialect.search_query(text)
        if query is None:
            return []
        return self._many(
            f"join ({self._dialect.search_sql}) as found on found.id = apis.id "
            f"where {_LISTED} order by found.rank, users.handle, apis.slug limit :limit",
            {"query": query, "limit": max(limit, 0), "user_id": user_id},
        )

    def _one(self, rest: str, params: Row) -> Api | None:
        rows = self._connection.execute(_SELECT + rest + self._connection.locking("apis"), params)
        return api_from(self._dialect, rows[0]) if rows else None

    def _many(self, rest: str, params: Row) -> Sequence[Api]:
        rows = self._connection.execute(_SELECT + rest, {**params, "removed": ApiStage.REMOVED})
        return [api_from(self._dialect, row) for row in rows]


class SqlRegistryStore(SqlRegistryReader):
    def add(self, api: Api) -> None:
        self._refuse_what_is_taken(api)
        self._connection.execute(_INSERT, api_row(self._dialect, api))

    def save(self, api: Api, expected_revision: int) -> Api:
        rows = self._connection.execute(
            f"select revision from apis where id = :id{self._connection.locking('apis')}",  # noqa: S608 -- constants
            {"id": api.id},
        )
        if not rows:
            raise ApiNotFound(api.full_name)
        if rows[0]["revision"] != expected_revision:
            raise RevisionConflict(api.full_name, expected_revision, rows[0]["revision"])
        self._refuse_what_is_taken(api)
        saved = replace(api, revision=expected_revision + 1)
        self._connection.execute(_UPDATE, api_row(self._dialect, saved))
        return saved

    def remove(self, api_id: ApiId) -> None:
        # Generations, deployment and executions go with it: their foreign keys cascade.
        self._connection.execute("delete from apis where id = :id", {"id": api_id})

    def _refuse_what_is_taken(self, api: Api) -> None:
        named = self._one(
            "where apis.user_id = :user_id and apis.slug = :slug and apis.id <> :id",
            {"user_id": api.user_id, "slug": api.slug, "id": api.id},
        )
        if named is not None:
            raise NameTaken(api.slug, named.directory)
        there = self.by_directory(api.directory)
        if there is not None and there.id != api.id and api.stage is not ApiStage.REMOVED:
            raise DirectoryTaken(api.directory, there.slug)
