"""Domain objects for tests: name only what the test is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from local_server.domain.deployments import Deployment, DesiredState, Generation, Outcome, State
from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.ids import ApiId, Digest, OpId, RequestId, UserId, uuid7
from local_server.domain.manifest import Manifest, Runtime
from local_server.domain.outbox import Outgoing
from local_server.domain.registry import Api, ApiStage, User
from local_server.domain.trees import Tree, TreeEntry
from local_server.domain.version_documents import version_document, version_id
from local_server.domain.versions import ApiVersion
from local_server.storage.base import Storage, Tx

NOON = datetime(2026, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
ALICE = User(UserId("00000000-0000-7000-8000-00000000a11c"), "alice", NOON)


def an_id(number: int) -> str:
    """UUIDv7s that sort as their numbers do."""
    return uuid7(1_700_000_000_000 + number, number.to_bytes(10, "big"))


def a_user(number: int, handle: str, created_at: datetime = NOON) -> User:
    return User(UserId(an_id(number)), handle, created_at)


def a_manifest(name: str = "weather", **more: Any) -> Manifest:
    return Manifest(**{"name": name, "runtime": Runtime.PYTHON, **more})


def an_api(number: int = 1, slug: str = "", *, user: User = ALICE, **more: Any) -> Api:
    slug = slug or f"api-{number}"
    given = {
        "id": ApiId(an_id(number)),
        "user_id": user.id,
        "owner": user.handle,
        "slug": slug,
        "directory": f"/home/{user.handle}/{number}",
        "manifest": a_manifest(slug),
        "stage": ApiStage.DRAFT,
        "revision": 1,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Api(**{**given, **more})


def a_deployment(api: Api, **more: Any) -> Deployment:
    given = {
        "api_id": api.id,
        "desired_state": DesiredState.RUNNING,
        "state": State.RUNNING,
        "engine": "docker",
        "last_good": None,
        "last_error": None,
        "updated_at": NOON,
    }
    return Deployment(**{**given, **more})


def a_tree(*contents: str) -> Tree:
    """Different contents, different tree."""
    return Tree({f"{text}.py": TreeEntry(f"{index:064x}", len(text), 0o644) for index, text in enumerate(contents)})


def a_generation(api: Api, number: int, tree: Tree | None = None, **more: Any) -> Generation:
    given = {
        "api_id": api.id,
        "number": number,
        "tree": tree.digest if tree else Digest(f"{number:064x}"),
        "deps_key": "deps",
        "outcome": Outcome.SERVING,
        "started_at": NOON,
    }
    return Generation(**{**given, **more})


def an_execution(api: Api, number: int, *, after_s: float = 0.0, **more: Any) -> Execution:
    given = {
        "id": RequestId(an_id(number)),
        "api_id": api.id,
        "generation": 1,
        "method": "GET",
        "path": "/forecast",
        "status": 200,
        "outcome": CallOutcome.OK,
        "started_at": NOON + timedelta(seconds=after_s),
        "total_us": 1500,
        "upstream_us": 1200,
        "bytes_in": 0,
        "bytes_out": 512,
        "held": False,
    }
    return Execution(**{**given, **more})


async def add_apis(storage: Storage, *apis: Api) -> None:
    """Register them all in one act."""

    def act(tx: Tx) -> None:
        for api in apis:
            tx.registry.add(api)

    await storage.write(act)


def an_outgoing(number: int, **more: Any) -> Outgoing:
    """Later numbers were queued later."""
    given = {
        "op": OpId(an_id(number)),
        "api_id": an_api(1).id,
        "remote": "https://hub.example",
        "owner": "ana",
        "slug": "one",
        "semver": f"1.{number}.0",
        "tree": a_tree(f"version {number}").digest,
        "version": Digest(f"{number:064x}"),
        "parents": (),
        "document": b"{}",
        "signature": b"\0" * 64,
        "signer": "key",
        "openapi": None,
        "created_at": NOON + timedelta(seconds=number),
        "updated_at": NOON,
    }
    return Outgoing(**{**given, **more})


def a_version(api: Api, semver: str = "1.0.0", tree: Tree | None = None, **more: Any) -> ApiVersion:
    """Made here, and never published."""
    digest = (tree or a_tree(semver)).digest
    document = version_document(api.full_name, semver, digest, (), {"name": api.slug})
    given = {
        "id": version_id(document),
        "api_id": api.id,
        "semver": semver,
        "tree": digest,
        "document": document,
        "parents": (),
        "signer": None,
        "public_key": None,
        "signature": None,
        "published_by": api.user_id,
        "created_at": NOON,
    }
    return ApiVersion(**{**given, **more})
