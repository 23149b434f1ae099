"""The bytes that a version is: a canonical JSON document whose SHA-256 is the version's id."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from local_server.domain.ids import Digest


def version_document(
    api: str, semver: str, tree: Digest, parents: Sequence[Digest], manifest: Mapping[str, Any]
) -> bytes:
    """`api` is `owner/name` on the marketplace; `manifest` its document as JSON knows it."""
    document = {"api": api, "semver": semver, "tree": tree, "parents": list(parents), "manifest": manifest}
    return canonical(document)


def canonical(document: Mapping[str, Any]) -> bytes:
    """Keys sorted, no spaces, UTF-8: one spelling of one value."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def version_id(document: bytes) -> Digest:
    return Digest(hashlib.sha256(document).hexdigest())
