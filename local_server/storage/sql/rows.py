"""Domain objects as rows, and rows as domain objects.

A manifest, timings, a failure and the entries of a tree are JSON columns. Keys that a stored document lacks take the
dataclass's default, so that a field may be added without a migration.
"""

from typing import Any

from local_server.domain.deployments import Deployment, DesiredState, Failure, Generation, Outcome, State
from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.ids import ApiId, Digest, KeyId, RequestId, UserId
from local_server.domain.manifest_document import flat, manifest_document, manifest_from
from local_server.domain.registry import Api, ApiStage, User
from local_server.domain.registry_errors import UnusableDirectory
from local_server.domain.trees import Tree, TreeEntry
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Row


def storable(text: str) -> str:
    """`text` if a database can hold it; else with U+FFFD for NUL and for halves of surrogate pairs. What came from
    outside (paths, messages) passes through here: one hostile byte must not make a row, or its batch, unwritable."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# -- Users and APIs ----------------------------------------------------------------------------------------------


def user_row(dialect: Dialect, user: User) -> Row:
    return {"id": user.id, "handle": user.handle, "created_at": dialect.time(user.created_at)}


def user_from(dialect: Dialect, row: Row) -> User:
    return User(UserId(row["id"]), row["handle"], dialect.moment(row["created_at"]))


def _directory(path: str) -> str:
    """`path`, if text columns can hold it. Raises UnusableDirectory: a path is looked up by, so it may not be bent."""
    if storable(path) != path:
        shown = path.encode("ascii", "backslashreplace").decode()
        raise UnusableDirectory(shown, "has a name that is not UTF-8", "Rename the directory, then add it again.")
    return path


def api_row(dialect: Dialect, api: Api) -> Row:
    """Beside the manifest itself, what is searched and filtered by has columns of its own."""
    manifest = api.manifest
    return {
        "id": api.id,
        "user_id": api.user_id,
        "slug": api.slug,
        "directory": _directory(api.directory),
        "visibility": manifest.visibility,
        "status": api.stage,
        "category": storable(manifest.category),
        "tags": storable(" ".join(manifest.tags)),
        "summary": storable(manifest.summary),
        "manifest": dialect.json(manifest_document(manifest)),
        "revision": api.revision,
        "created_at": dialect.time(api.created_at),
        "updated_at": dialect.time(api.updated_at),
    }


def api_from(dialect: Dialect, row: Row) -> Api:
    return Api(
        id=ApiId(row["id"]),
        user_id=UserId(row["user_id"]),
        owner=row["owner"],
        slug=row["slug"],
        directory=row["directory"],
        manifest=manifest_from(dialect.parsed(row["manifest"])),
        stage=ApiStage(row["status"]),
        revision=row["revision"],
        created_at=dialect.moment(row["created_at"]),
        updated_at=dialect.moment(row["updated_at"]),
    )


# -- Deployments -------------------------------------------------------------------------------------------------


def deployment_row(dialect: Dialect, deployment: Deployment) -> dict[str, Any]:
    error = deployment.last_error
    return {
        **flat(deployment),
        "last_error": None if error is None else storable(error),
        "updated_at": dialect.time(deployment.updated_at),
    }


def deployment_from(dialect: Dialect, row: Row, version: str = "") -> Deployment:
    return Deployment(
        api_id=ApiId(row["api_id"]),
        desired_state=DesiredState(row["desired_state"]),
        state=State(row["state"]),
        engine=row["engine"],
        last_good=row["last_good"],
        last_error=row["last_error"],
        updated_at=dialect.moment(row["updated_at"]),
        version=version,
    )


def generation_row(dialect: Dialect, generation: Generation) -> Row:
    failure = generation.failure
    return {
        **flat(generation),
        "started_at": dialect.time(generation.started_at),
        "timings_ms": dialect.json(dict(generation.timings_ms)),
        "failure": None if failure is None else dialect.json(flat(failure)),
    }


def generation_from(dialect: Dialect, row: Row) -> Generation:
    failure = row["failure"]
    return Generation(
        api_id=ApiId(row["api_id"]),
        number=row["number"],
        tree=Digest(row["tree"]),
        deps_key=row["deps_key"],
        outcome=Outcome(row["outcome"]),
        started_at=dialect.moment(row["started_at"]),
        timings_ms=dialect.parsed(row["timings_ms"]),
        failure=None if failure is None else Failure(**dialect.parsed(failure)),
    )


def tree_row(dialect: Dialect, tree: Tree) -> Row:
    entries = {path: [entry.sha256, entry.size_bytes, entry.mode] for path, entry in tree.entries.items()}
    return {"digest": tree.digest, "entries": dialect.json(entries), "size_bytes": tree.size_bytes}


def tree_from(dialect: Dialect, row: Row) -> Tree:
    entries = dialect.parsed(row["entries"])
    return Tree({path: TreeEntry(sha256, size, mode) for path, (sha256, size, mode) in entries.items()})


# -- Usage -------------------------------------------------------------------------------------------------------


EXECUTION_COLUMNS = Execution._fields


def execution_row(dialect: Dialect, execution: Execution) -> tuple[Any, ...]:
    """In the order of EXECUTION_COLUMNS. Written out by hand: at 50,000 rows a second, looping over the fields would
    cost more than the insert. An enum goes as its text: with anything else sqlite3 asks its adapters first."""
    return (
        execution.id,
        execution.api_id,
        execution.generation,
        storable(execution.method),
        storable(execution.path),
        execution.status,
        str(execution.outcome),
        dialect.time(execution.started_at),
        execution.total_us,
        execution.upstream_us,
        execution.bytes_in,
        execution.bytes_out,
        execution.held,
        execution.key_id,
        execution.version,
        execution.cached,
    )


def execution_from(dialect: Dialect, row: Row) -> Execution:
    return Execution(
        id=RequestId(row["id"]),
        api_id=ApiId(row["api_id"]),
        generation=row["generation"],
        method=row["method"],
        path=row["path"],
        status=row["status"],
        outcome=CallOutcome(row["outcome"]),
        started_at=dialect.moment(row["started_at"]),
        total_us=row["total_us"],
        upstream_us=row["upstream_us"],
        bytes_in=row["bytes_in"],
        bytes_out=row["bytes_out"],
        held=bool(row["held"]),
        key_id=None if row["key_id"] is None else KeyId(row["key_id"]),
        version=row["version"],
        cached=bool(row["cached"]),
    )
