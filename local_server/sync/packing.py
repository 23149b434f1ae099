"""Makes the packs that are sent: the request to publish with its small blobs, and batches of further ones. Blocking."""

import json
from collections.abc import Iterable
from typing import Any

from local_server.domain.outbox import Outgoing
from local_server.domain.packs import MAX_BLOB_BYTES, Frame, make_frame, write_pack
from local_server.domain.signatures import encoded
from local_server.domain.trees import Tree, TreeEntry
from local_server.storage.blobs import BlobStore
from local_server.sync.plan import PushPlan


def publish_pack(entry: Outgoing, plan: PushPlan, base: Tree | None, head_rev: int, blobs: BlobStore) -> bytes:
    """The request that publishes `entry`. `base` is the tree that the plan tells the difference from."""
    frames = make_frames(plan.inline, plan, base, blobs)
    document = json.loads(entry.document)
    head = {
        "op": entry.op,
        "semver": entry.semver,
        "base_tree": plan.base,
        "put": [_put(path, plan.put[path]) for path in sorted(plan.put)],
        "delete": sorted(plan.delete),
        "tree": entry.tree,
        "if_head_rev": head_rev,
        "parents": list(entry.parents),
        "manifest": document["manifest"],
        "openapi": None if entry.openapi is None else json.loads(entry.openapi),
        "signer": entry.signer,
        "signature": encoded(entry.signature),
        "blobs": [_described(frame) for frame in frames],
    }
    return write_pack(_compact(head), frames)


def batch_pack(wanted: Iterable[str], plan: PushPlan | None, base: Tree | None, blobs: BlobStore) -> bytes:
    """Some blobs of an upload. Without a plan it is not known which base the marketplace compares with: each is sent
    whole."""
    frames = make_frames(wanted, plan, base, blobs)
    return write_pack(_compact({"blobs": [_described(frame) for frame in frames]}), frames)


def make_frames(wanted: Iterable[str], plan: PushPlan | None, base: Tree | None, blobs: BlobStore) -> list[Frame]:
    """In the order of their hashes."""
    frames = []
    for sha256 in sorted(wanted):
        content = _read(sha256, blobs)
        path = plan.bases.get(sha256) if plan else None
        before = base.entries.get(path) if base and path else None
        # A machine that only ever saw the base's outline has nothing to compare with.
        if path and before and before.size_bytes <= MAX_BLOB_BYTES and blobs.has(before.sha256):
            frames.append(make_frame(content, path, _read(before.sha256, blobs)))
        else:
            frames.append(make_frame(content))
    return frames


def _read(sha256: str, blobs: BlobStore) -> bytes:
    with blobs.open(sha256) as file:
        return file.read()


def _put(path: str, entry: TreeEntry) -> dict[str, Any]:
    put = {"path": path, "sha256": entry.sha256, "size_bytes": entry.size_bytes}
    return put if entry.mode == 0o644 else put | {"mode": int(f"{entry.mode:o}")}


def _described(frame: Frame) -> dict[str, Any]:
    blob = frame.blob
    described: dict[str, Any] = {
        "sha256": blob.sha256,
        "size_bytes": blob.size_bytes,
        "packed_bytes": blob.packed_bytes,
    }
    if blob.base_path is not None:
        described |= {
            "base_path": blob.base_path,
            "prefix_bytes": blob.prefix_bytes,
            "suffix_bytes": blob.suffix_bytes,
        }
    return described


def _compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
