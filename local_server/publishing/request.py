"""Reads what a pack says of itself, and believes nothing of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from local_server.domain.ids import Digest
from local_server.domain.manifest_values import Wrong, semver
from local_server.domain.names import check_slug
from local_server.domain.packs import PackedBlob
from local_server.domain.publishing import MAX_OPENAPI_BYTES, OP, Limits, PublishRequest, TreeDelta, request_hash
from local_server.domain.registry import User
from local_server.domain.signatures import SIGNATURE_BYTES, SignerId, decoded
from local_server.domain.sync_errors import BadSignature, PackDamaged, PublishRefused
from local_server.domain.trees import TreeEntry
from local_server.domain.version_documents import canonical, version_document, version_id
from local_server.wire.sync import BatchHead, PackedBlobView, PublishHead, PutFile

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Draft:
    """A version that is asked for: the request, and the bytes that were signed."""

    request: PublishRequest
    document: bytes
    openapi: bytes | None

    @cached_property
    def version(self) -> Digest:
        return version_id(self.document)

    @property
    def request_hash(self) -> str:
        return request_hash(self.version, self.request.if_head_rev)


def read_publish(head: bytes, user: User, owner: str, slug: str) -> tuple[PublishRequest, list[PackedBlob]]:
    """Raises PackDamaged, PublishRefused, BadSignature, InvalidName."""
    said = _model(PublishHead, head)
    if not OP.fullmatch(said.op):
        raise PublishRefused("op", f"found {said.op[:80]!r}; allowed: 8 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'")
    signature = decoded(said.signature, SIGNATURE_BYTES)
    if signature is None:
        raise BadSignature(said.signer)
    request = PublishRequest(
        op=said.op,
        user_id=user.id,
        owner=owner,
        slug=check_slug(slug),
        semver=_semver(said.semver),
        delta=_delta(said),
        tree=Digest(said.tree),
        if_head_rev=said.if_head_rev,
        parents=tuple(Digest(parent) for parent in said.parents),
        manifest=said.manifest,
        openapi=said.openapi,
        signer=SignerId(said.signer),
        signature=signature,
    )
    return request, _packed(said.blobs)


def read_batch(head: bytes) -> list[PackedBlob]:
    """Raises PackDamaged, PublishRefused."""
    return _packed(_model(BatchHead, head).blobs)


def draft_of(request: PublishRequest, limits: Limits) -> Draft:
    """Raises PublishRefused for what no version can be made of."""
    request.delta.check(limits)
    manifest = _written("manifest", request.manifest)
    openapi = None if request.openapi is None else _written("openapi", request.openapi)
    if openapi is not None and len(openapi) > MAX_OPENAPI_BYTES:
        raise PublishRefused("openapi", f"has {len(openapi):,} bytes; {MAX_OPENAPI_BYTES:,} are allowed")
    document = version_document(request.full_name, request.semver, request.tree, request.parents, json.loads(manifest))
    return Draft(request, document, openapi)


def _model(model: type[M], head: bytes) -> M:
    try:
        # Not pydantic's own parser: what was signed are the numbers and texts as Python's reads them.
        return model.model_validate(json.loads(head))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PublishRefused(".".join(str(part) for part in first["loc"]) or "head", first["msg"]) from None
    except (ValueError, RecursionError):
        raise PackDamaged("its head is not JSON") from None


def _semver(text: str) -> str:
    try:
        return semver(text)
    except Wrong as wrong:
        raise PublishRefused("semver", str(wrong)) from None


def _delta(said: PublishHead) -> TreeDelta:
    put = {one.path: _entry(one) for one in said.put}
    if len(put) != len(said.put):
        raise PublishRefused("put", "a path stands there twice")
    return TreeDelta(None if said.base_tree is None else Digest(said.base_tree), put, frozenset(said.delete))


def _entry(one: PutFile) -> TreeEntry:
    return TreeEntry(one.sha256, one.size_bytes, 0o755 if one.mode == 755 else 0o644)


def _packed(views: Sequence[PackedBlobView]) -> list[PackedBlob]:
    return [
        PackedBlob(one.sha256, one.size_bytes, one.packed_bytes, one.base_path, one.prefix_bytes, one.suffix_bytes)
        for one in views
    ]


def _written(field: str, document: Any) -> bytes:
    try:
        return canonical(document)
    except (ValueError, RecursionError) as error:  # NaN, half of a surrogate pair, too deep
        raise PublishRefused(field, f"cannot be written as canonical JSON: {error}") from None
