"""Deployments, generations and trees in SQL."""

from collections.abc import Sequence

from local_server.domain.deployments import Deployment, Generation
from local_server.domain.ids import ApiId, Digest
from local_server.domain.outbox import FINISHED
from local_server.domain.registry_errors import ApiNotFound
from local_server.domain.trees import Tree
from local_server.domain.version_errors import VersionNotFound
from local_server.storage.sql.connection import Connection
from local_server.storage.sql.rows import (
    deployment_from,
    deployment_row,
    generation_from,
    generation_row,
    tree_from,
    tree_row,
)

_DEPLOYMENT = "select api_id, desired_state, state, engine, last_good, last_error, updated_at from deployments"
_OF_VERSIONS = """
    select api_id, semver as version, desired_state, state, engine, last_good, last_error, updated_at
    from version_deployments
"""

_GENERATION = """
    select api_id, number, tree, deps_key, outcome, started_at, timings_ms, failure from generations
"""

_PUT_DEPLOYMENT = """
    insert into deployments (api_id, desired_state, state, engine, last_good, last_error, updated_at)
    values (:api_id, :desired_state, :state, :engine, :last_good, :last_error, :updated_at)
    on conflict (api_id) do update
    set desired_state = excluded.desired_state, state = excluded.state, engine = excluded.engine,
        last_good = excluded.last_good, last_error = excluded.last_error, updated_at = excluded.updated_at
"""

_PUT_OF_VERSION = """
    insert into version_deployments (api_id, semver, desired_state, state, engine, last_good, last_error, updated_at)
    values (:api_id, :version, :desired_state, :state, :engine, :last_good, :last_error, :updated_at)
    on conflict (api_id, semver) do update
    set desired_state = excluded.desired_state, state = excluded.state, engine = excluded.engine,
        last_good = excluded.last_good, last_error = excluded.last_error, updated_at = excluded.updated_at
"""

_PUT_GENERATION = """
    insert into generations (api_id, number, tree, deps_key, outcome, started_at, timings_ms, failure)
    values (:api_id, :number, :tree, :deps_key, :outcome, :started_at, :timings_ms, :failure)
    on conflict (api_id, number) do update
    set tree = excluded.tree, deps_key = excluded.deps_key, outcome = excluded.outcome,
        started_at = excluded.started_at, timings_ms = excluded.timings_ms, failure = excluded.failure
"""

# Pruning takes generations away; their numbers stay used, so the highest is kept beside the API itself.
_RAISE_LAST_GENERATION = """
    update apis set last_generation = case when last_generation < :number then :number else last_generation end
    where id = :api_id
    returning id
"""

_PRUNE_GENERATIONS = """
    delete from generations
    where api_id = :api_id
      and number not in (select number from generations where api_id = :api_id order by number desc limit :keep)
      and number not in (select last_good from deployments where api_id = :api_id and last_good is not null)
"""


# Every table that points at trees, and which of its rows keep theirs.
_LIVE_TREES = f"""
    select tree from generations
    union select tree from api_versions
    union select tree from outbox where state not in ({", ".join(f"'{state}'" for state in sorted(FINISHED))})
    union select head_tree from remote_refs where head_tree is not null
    union select base_tree from remote_refs where base_tree is not null
"""  # noqa: S608 -- put together from constants only


class SqlDeploymentsReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, api_id: ApiId) -> Deployment | None:
        locking = self._connection.locking("deployments")
        rows = self._connection.execute(f"{_DEPLOYMENT} where api_id = :api_id{locking}", {"api_id": api_id})
        return deployment_from(self._dialect, rows[0]) if rows else None

    def all(self) -> Sequence[Deployment]:
        rows = self._connection.execute(f"{_DEPLOYMENT} order by api_id", {})
        return [deployment_from(self._dialect, row) for row in rows]

    def of_version(self, api_id: ApiId, semver: str) -> Deployment | None:
        params = {"api_id": api_id, "semver": semver}
        rows = self._connection.execute(f"{_OF_VERSIONS} where api_id = :api_id and semver = :semver", params)
        return deployment_from(self._dialect, rows[0], rows[0]["version"]) if rows else None

    def of_versions(self) -> Sequence[Deployment]:
        rows = self._connection.execute(f"{_OF_VERSIONS} order by api_id, semver", {})
        return [deployment_from(self._dialect, row, row["version"]) for row in rows]

    def generation(self, api_id: ApiId, number: int) -> Generation | None:
        rows = self._connection.execute(
            f"{_GENERATION} where api_id = :api_id and number = :number", {"api_id": api_id, "number": number}
        )
        return generation_from(self._dialect, rows[0]) if rows else None

    def generations(self, api_id: ApiId, limit: int = 50) -> Sequence[Generation]:
        rows = self._connection.execute(
            f"{_GENERATION} where api_id = :api_id order by number desc limit :limit",
            {"api_id": api_id, "limit": max(limit, 0)},
        )
        return [generation_from(self._dialect, row) for row in rows]

    def tree(self, digest: Digest) -> Tree | None:
        rows = self._connection.execute("select entries from trees where digest = :digest", {"digest": digest})
        return tree_from(self._dialect, rows[0]) if rows else None

    def live_trees(self) -> frozenset[Digest]:
        rows = self._connection.execute(_LIVE_TREES, {})
        return frozenset(Digest(row["tree"]) for row in rows)


class SqlDeploymentsStore(SqlDeploymentsReader):
    def put(self, deployment: Deployment) -> None:
        self._last_generation(deployment.api_id)
        row = deployment_row(self._dialect, deployment)
        if not deployment.version:
            del row["version"]
            self._connection.execute(_PUT_DEPLOYMENT, row)
            return
        known = "select semver from api_versions where api_id = :api_id and semver = :version"
        if not self._connection.execute(known, {"api_id": row["api_id"], "version": row["version"]}):
            raise VersionNotFound(deployment.api_id, deployment.version)
        self._connection.execute(_PUT_OF_VERSION, row)

    def put_generation(self, generation: Generation) -> None:
        api_id, number = generation.api_id, generation.number
        if not self._connection.execute(_RAISE_LAST_GENERATION, {"api_id": api_id, "number": number}):
            raise ApiNotFound(api_id)
        self._connection.execute(_PUT_GENERATION, generation_row(self._dialect, generation))

    def next_number(self, api_id: ApiId) -> int:
        return self._last_generation(api_id) + 1

    def add_tree(self, tree: Tree) -> None:
        # A prune beside us would not see the row that will point at the tree, and take away one that is there already.
        self._connection.beside("trees")
        self._connection.execute(
            "insert into trees (digest, entries, size_bytes) values (:digest, :entries, :size_bytes) "
            "on conflict (digest) do nothing",
            tree_row(self._dialect, tree),
        )

    def prune(self, api_id: ApiId, keep: int) -> None:
        self._connection.alone("trees")
        self._connection.execute(_PRUNE_GENERATIONS, {"api_id": api_id, "keep": max(keep, 0)})
        self._connection.execute(f"delete from trees where digest not in ({_LIVE_TREES})", {})  # noqa: S608

    def _last_generation(self, api_id: ApiId) -> int:
        """Raises ApiNotFound."""
        rows = self._connection.execute(
            f"select last_generation from apis where id = :id{self._connection.locking('apis')}",  # noqa: S608
            {"id": api_id},
        )
        if not rows:
            raise ApiNotFound(api_id)
        return int(rows[0]["last_generation"])
