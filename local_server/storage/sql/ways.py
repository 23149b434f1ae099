"""The ways to APIs in SQL: one row an API, so that nobody ever reads half of a change."""

from collections.abc import Sequence

from pydantic import TypeAdapter

from local_server.domain.ids import ApiId
from local_server.domain.ways import Way
from local_server.storage.sql.connection import Connection

_WAY: TypeAdapter[Way] = TypeAdapter(Way)

# An API that was removed meanwhile has no way any more.
_PUT = """
    insert into upstreams (api_id, way) select id, :way from apis where id = :api_id
    on conflict (api_id) do update set way = excluded.way
"""


class SqlWaysReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, api_id: ApiId) -> Way | None:
        rows = self._connection.execute("select way from upstreams where api_id = :api_id", {"api_id": api_id})
        return self._way(rows[0]["way"]) if rows else None

    def all(self) -> Sequence[Way]:
        rows = self._connection.execute("select way from upstreams order by api_id", {})
        return [self._way(row["way"]) for row in rows]

    def _way(self, kept: object) -> Way:
        return _WAY.validate_python(self._dialect.parsed(kept))


class SqlWaysStore(SqlWaysReader):
    def put(self, way: Way) -> None:
        document = self._dialect.json(_WAY.dump_python(way, mode="json"))
        self._connection.execute(_PUT, {"api_id": way.api_id, "way": document})

    def remove(self, api_id: ApiId) -> None:
        self._connection.execute("delete from upstreams where api_id = :api_id", {"api_id": api_id})
