"""A marketplace in memory, on a real port: the protocol of docs/sync.md, with a log of what was asked and received."""

import asyncio
import hashlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_server.domain.ids import Digest
from local_server.domain.packs import PackedBlob, PackReader, make_frame, read_frame, write_pack
from local_server.domain.signatures import decoded, encoded, is_signed, signer_id
from local_server.domain.sync_errors import PackDamaged
from local_server.domain.trees import Tree, TreeEntry
from local_server.domain.version_documents import canonical, version_document, version_id

PREFIX = "/api/v1/sync"


@dataclass
class Staged:
    head: dict[str, Any]
    name: str
    tree: Tree


@dataclass
class Market:
    """What it holds. Tests read and change it directly."""

    marketplace_id: str = "market-1"
    blobs: dict[str, bytes] = field(default_factory=dict)
    partial: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By name, in order."""
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    ops: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, Staged] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """`POST /apis/ana/one/publish`, in order."""
    received_bytes: Counter[str] = field(default_factory=Counter)
    """Of each blob's content, by hash, as often as it was taken."""
    tokens: dict[str, str] = field(default_factory=lambda: {"ana-token": "ana", "bob-token": "bob"})
    refuse: dict[str, Any] | None = None
    """A problem to answer everything with."""
    damage: str = ""
    """What to falsify: version, signature, tree, blob."""

    def publish(self, head: dict[str, Any], name: str, account: str) -> tuple[int, dict[str, Any]]:
        if head["op"] in self.ops:
            return 200, self.ops[head["op"]] | {"replayed": True}
        base = self.trees.get(head["base_tree"] or "")
        if head["base_tree"] and base is None:
            return self._missing("none", [], base_known=False)
        entries = {path: entry for path, entry in (base.entries if base else {}).items() if path not in head["delete"]}
        for put in head["put"]:
            mode = 0o755 if put.get("mode") == 755 else 0o644
            entries[put["path"]] = TreeEntry(put["sha256"], put["size_bytes"], mode)  # type: ignore[arg-type]
        tree = Tree(entries)
        if tree.digest != head["tree"]:
            return 422, {"code": "tree_mismatch"}
        upload_id = f"upload-{head['op']}"
        self.uploads[upload_id] = Staged(head, name, tree)
        return self.commit(upload_id, account)

    def commit(self, upload_id: str, account: str) -> tuple[int, dict[str, Any]]:
        staged = self.uploads.get(upload_id)
        if staged is None:
            return 404, {"code": "upload_not_found"}
        head, name = staged.head, staged.name
        if head["op"] in self.ops:
            return 200, self.ops[head["op"]] | {"replayed": True}
        current = self.heads.get(name, {"rev": 0, "version": None, "tree": None})
        for version in self.versions.get(name, []):
            if version["semver"] == head["semver"]:
                return 409, {"code": "version_exists", "version": version["id"], "tree": version["tree"]}
        if current["rev"] != head["if_head_rev"]:
            return 409, {"code": "head_moved", **current}
        if missing := self.missing(staged.tree):
            return self._missing(upload_id, missing)
        document = version_document(name, head["semver"], staged.tree.digest, head["parents"], head["manifest"])
        identity = version_id(document)
        public_key = decoded(self.keys.get(head["signer"], ""), 32)
        if public_key is None or not is_signed(
            public_key, decoded(head["signature"], 64) or b"", self.marketplace_id, identity
        ):
            return 422, {"code": "bad_signature"}
        del self.uploads[upload_id]
        return 201, self._committed(head, name, staged.tree, document, identity, current["rev"] + 1)

    def _committed(
        self, head: dict[str, Any], name: str, tree: Tree, document: bytes, identity: Digest, rev: int
    ) -> dict[str, Any]:
        self.trees[tree.digest] = tree
        version = {
            "id": identity, "semver": head["semver"], "tree": tree.digest, "document": json.loads(document),
            "signer": head["signer"], "signature": head["signature"], "openapi": head["openapi"],
            "parents": head["parents"],
        }  # fmt: skip
        self.versions.setdefault(name, []).append(version)
        self.heads[name] = {"rev": rev, "version": identity, "tree": tree.digest, "semver": head["semver"]}
        self.changes.append(self.refs(name))
        published = {
            "api": name, "version": identity, "semver": head["semver"], "tree": tree.digest, "head_rev": rev,
            "change": len(self.changes), "replayed": False,
        }  # fmt: skip
        self.ops[head["op"]] = published
        return published

    def refs(self, name: str) -> dict[str, Any]:
        owner, _, slug = name.partition("/")
        head = self.heads.get(name)
        return {
            "id": name, "owner": owner, "slug": slug, "head_rev": head["rev"] if head else 0,
            "head": head and {"version": head["version"], "semver": head["semver"], "tree": head["tree"]},
            "visibility": "private", "visibility_rev": 0, "yanked": {}, "yanked_rev": 0,
        }  # fmt: skip

    def missing(self, tree: Tree) -> list[str]:
        return sorted({entry.sha256 for entry in tree.entries.values()} - self.blobs.keys())

    def take(self, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        self.received_bytes[sha256] += len(content)
        self.blobs[sha256] = content

    def _missing(self, upload_id: str, missing: list[str], base_known: bool = True) -> tuple[int, dict[str, Any]]:
        return 424, {"code": "missing", "upload_id": upload_id, "missing": missing, "base_known": base_known}


class _Routes:
    def __init__(self, market: Market) -> None:
        self.market = market

    async def info(self, request: Request) -> Response:
        limits = dict.fromkeys(
            ("files", "file_bytes", "tree_bytes", "openapi_bytes", "pack_frames_bytes", "pack_blob_bytes",
             "pack_content_bytes", "staged_bytes"), 2**30)  # fmt: skip
        account = self._account(request)
        return self._answer(
            200, {"marketplace_id": self.market.marketplace_id, "account": account, "cursor": "0", "limits": limits}
        )

    async def keys(self, request: Request) -> Response:
        if request.method == "POST":
            key = (await request.json())["public_key"]
            identity = signer_id(decoded(key, 32) or b"")
            self.market.keys[identity] = key
            return self._answer(201, self._key(identity))
        return self._answer(200, [self._key(identity) for identity in self.market.keys])

    def _key(self, identity: str) -> dict[str, Any]:
        return {
            "id": identity, "name": "x", "public_key": self.market.keys[identity], "created_at": "2026-01-01T00:00:00Z",
        }  # fmt: skip

    async def publish(self, request: Request) -> Response:
        name = f"{request.path_params['owner']}/{request.path_params['slug']}"
        head = await self._pack(request)
        if head is None:
            return self._answer(422, {"code": "pack_damaged"})
        return self._answer(*self.market.publish(head, name, self._account(request)))

    async def batch(self, request: Request) -> Response:
        staged = self.market.uploads.get(request.path_params["upload"])
        if staged is None:
            return self._answer(404, {"code": "upload_not_found"})
        if await self._pack(request, staged.head["base_tree"]) is None:
            return self._answer(422, {"code": "pack_damaged"})
        return self._answer(200, {"stored": [], "missing": self.market.missing(staged.tree)})

    async def blob(self, request: Request) -> Response:
        """HEAD and PATCH of a blob that is sent alone. What arrives is kept as it arrives."""
        sha256 = request.path_params["sha"]
        held = self.market.partial.get(sha256, b"")
        if request.method == "HEAD":
            return Response(status_code=200, headers={"Upload-Offset": str(len(held))})
        offset = int(request.headers["upload-offset"])
        if offset != len(held):
            return self._answer(409, {"code": "wrong_offset", "offset": len(held)})
        async for chunk in request.stream():
            self.market.partial[sha256] = self.market.partial.get(sha256, b"") + chunk
            self.market.received_bytes[sha256] += len(chunk)
        content = self.market.partial[sha256]
        complete = hashlib.sha256(content).hexdigest() == sha256
        if complete:
            self.market.blobs[sha256] = content
        return self._answer(200, {"offset": len(content), "complete": complete})

    async def commit(self, request: Request) -> Response:
        return self._answer(*self.market.commit(request.path_params["upload"], self._account(request)))

    async def operation(self, request: Request) -> Response:
        op = request.path_params["op"]
        if op in self.market.ops:
            return self._answer(200, {"op": op, "state": "committed", "published": self.market.ops[op]})
        upload_id = f"upload-{op}"
        if upload_id in self.market.uploads:
            missing = self.market.missing(self.market.uploads[upload_id].tree)
            return self._answer(200, {"op": op, "state": "staged", "upload_id": upload_id, "missing": missing})
        return self._answer(200, {"op": op, "state": "unknown"})

    async def changes(self, request: Request) -> Response:
        since = request.query_params["since"] or "0"
        if not since.isdigit() or int(since) > len(self.market.changes):
            return self._answer(410, {"code": "cursor_gone"})
        changes = [
            {"number": number, "at": "2026-01-01T00:00:00Z", "kind": "published", "refs": refs}
            for number, refs in enumerate(self.market.changes, start=1)
            if number > int(since)
        ]
        return self._answer(200, {"changes": changes, "cursor": str(len(self.market.changes)), "more": False})

    async def snapshot(self, request: Request) -> Response:
        apis = [self.market.refs(name) for name in self.market.heads]
        return self._answer(200, {"apis": apis, "cursor": str(len(self.market.changes))})

    async def api(self, request: Request) -> Response:
        name = f"{request.path_params['owner']}/{request.path_params['slug']}"
        if name not in self.market.heads:
            return self._answer(404, {"code": "object_not_found"})
        lines = [
            {"id": one["id"], "semver": one["semver"], "tree": one["tree"], "parents": one["parents"],
             "published_at": "2026-01-01T00:00:00Z"}
            for one in reversed(self.market.versions[name])
        ]  # fmt: skip
        return self._answer(200, {"refs": self.market.refs(name), "versions": lines})

    async def version(self, request: Request) -> Response:
        name = f"{request.path_params['owner']}/{request.path_params['slug']}"
        found = [one for one in self.market.versions.get(name, []) if one["semver"] == request.path_params["semver"]]
        if not found:
            return self._answer(404, {"code": "object_not_found"})
        one = found[0]
        document, signature = one["document"], one["signature"]
        if self.market.damage == "version":
            document = document | {"semver": "6.6.6"}
        if self.market.damage == "signature":
            signature = encoded(bytes(64))
        view = {
            "id": one["id"], "document": document, "signer": one["signer"], "signature": signature,
            "public_key": self.market.keys[one["signer"]], "published_at": "2026-01-01T00:00:00Z",
            "openapi": one["openapi"],
        }  # fmt: skip
        return self._answer(200, view)

    async def tree(self, request: Request) -> Response:
        tree = self.market.trees[request.path_params["tree"]]
        put = [
            {"path": path, "sha256": entry.sha256, "size_bytes": entry.size_bytes, "mode": int(f"{entry.mode:o}")}
            for path, entry in tree.entries.items()
        ]
        if self.market.damage == "tree":
            put[0]["path"] = "other.py"
        return self._answer(200, {"tree": tree.digest, "put": put, "delete": []})

    async def blobs(self, request: Request) -> Response:
        want = await request.json()
        frames = [make_frame(self.market.blobs[sha256]) for sha256 in want["want"]]
        described = [
            {"sha256": one.blob.sha256, "size_bytes": one.blob.size_bytes, "packed_bytes": one.blob.packed_bytes}
            for one in frames
        ]
        pack = bytearray(write_pack(json.dumps({"blobs": described}).encode(), frames))
        if self.market.damage == "blob":
            pack[-3] ^= 1
        return Response(bytes(pack), media_type="application/vnd.apimarket.pack")

    # -- Small parts -------------------------------------------------------------------------------------------

    async def _pack(self, request: Request, base_tree: str | None = None) -> dict[str, Any] | None:
        reader = PackReader()
        try:
            reader.feed(await request.body())
            head: dict[str, Any] = json.loads(reader.head or b"{}")
            reader.expect([PackedBlob(**blob) for blob in head["blobs"]])
            known = head.get("base_tree") or base_tree
            base = self.market.trees.get(known or "")
            if known and base is None:
                return head  # nothing else is looked at
            for frame in reader.frames():
                entry = base.entries.get(frame.blob.base_path or "") if base else None
                self.market.take(read_frame(frame, self.market.blobs[entry.sha256] if entry else None))
            reader.finish()
        except (PackDamaged, KeyError):
            return None
        return head

    def _account(self, request: Request) -> str:
        return self.market.tokens[request.headers["authorization"].removeprefix("Bearer ")]

    def _answer(self, status: int, body: Any) -> Response:
        if status >= 400:
            body = {"title": body["code"], "status": status, "detail": f"refused: {body['code']}", **body}
        return JSONResponse(body, status)


class FakeMarketplace:
    """`url` answers while the block runs."""

    def __init__(self, market: Market, url: str) -> None:
        self.market = market
        self.url = url


@contextmanager
def a_marketplace(market: Market | None = None) -> Iterator[FakeMarketplace]:
    held = market or Market()
    routes = _Routes(held)
    app = Starlette(
        routes=[
            Route(PREFIX, routes.info),
            Route(f"{PREFIX}/keys", routes.keys, methods=["GET", "POST"]),
            Route(f"{PREFIX}/apis/{{owner}}/{{slug}}/publish", routes.publish, methods=["POST"]),
            Route(f"{PREFIX}/uploads/{{upload}}/blobs", routes.batch, methods=["POST"]),
            Route(f"{PREFIX}/uploads/{{upload}}/blobs/{{sha}}", routes.blob, methods=["HEAD", "PATCH"]),
            Route(f"{PREFIX}/uploads/{{upload}}/commit", routes.commit, methods=["POST"]),
            Route(f"{PREFIX}/ops/{{op}}", routes.operation),
            Route(f"{PREFIX}/changes", routes.changes),
            Route(f"{PREFIX}/snapshot", routes.snapshot),
            Route(f"{PREFIX}/apis/{{owner}}/{{slug}}", routes.api),
            Route(f"{PREFIX}/apis/{{owner}}/{{slug}}/versions/{{semver}}", routes.version),
            Route(f"{PREFIX}/trees/{{tree}}", routes.tree),
            Route(f"{PREFIX}/blobs:batch", routes.blobs, methods=["POST"]),
        ]
    )

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            held.asked.append(f"{scope['method']} {scope['path'].removeprefix(PREFIX)}")
            if held.refuse is not None:
                await JSONResponse(held.refuse, held.refuse["status"])(scope, receive, send)
                return
        await app(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(guarded, lifespan="off", log_config=None))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        yield FakeMarketplace(held, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


__all__ = ["FakeMarketplace", "Market", "a_marketplace", "canonical"]
