"""What is published here, as it crosses HTTP."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from local_server.domain.packs import MAX_BLOB_BYTES, MAX_CONTENT_BYTES, MAX_FRAMES_BYTES
from local_server.domain.publishing import MAX_OPENAPI_BYTES, Limits, Outcome
from local_server.domain.refs import Refs
from local_server.domain.signatures import SigningKey, encoded
from local_server.domain.trees import Tree, TreeEntry
from local_server.domain.versions import ApiVersion
from local_server.publishing.reading import Changes
from local_server.publishing.service import OpState
from local_server.storage.publishing import Told
from local_server.wire import sync as wire


def limits_view(limits: Limits) -> wire.SyncLimits:
    return wire.SyncLimits(
        files=limits.files,
        file_bytes=limits.file_bytes,
        tree_bytes=limits.tree_bytes,
        openapi_bytes=MAX_OPENAPI_BYTES,
        pack_frames_bytes=MAX_FRAMES_BYTES,
        pack_blob_bytes=MAX_BLOB_BYTES,
        pack_content_bytes=MAX_CONTENT_BYTES,
        staged_bytes=limits.staged_bytes,
    )


def key_view(key: SigningKey) -> wire.SigningKeyView:
    return wire.SigningKeyView(
        id=key.id,
        name=key.name,
        public_key=encoded(key.public_key),
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )


def published_view(outcome: Outcome) -> wire.PublishedView:
    published = outcome.published
    return wire.PublishedView(
        api=published.api,
        version=published.version,
        semver=published.semver,
        tree=published.tree,
        head_rev=published.head_rev,
        change=published.change,
        replayed=outcome.replayed,
    )


def op_view(op: str, state: OpState) -> wire.OpView:
    if state.outcome is not None:
        return wire.OpView(op=op, state="committed", published=published_view(state.outcome))
    if state.upload is None:
        return wire.OpView(op=op, state="unknown")
    return wire.OpView(
        op=op,
        state="staged",
        upload_id=state.upload.id,
        received=list(state.received),
        missing=list(state.missing),
    )


def refs_view(refs: Refs) -> wire.RefsView:
    head = refs.head
    return wire.RefsView(
        id=refs.api_id,
        owner=refs.owner,
        slug=refs.slug,
        head=wire.HeadView(version=head.version, semver=head.semver, tree=head.tree) if head else None,
        head_rev=refs.head_rev,
        visibility=refs.visibility,
        visibility_rev=refs.visibility_rev,
        yanked=dict(refs.yanked),
        yanked_rev=refs.yanked_rev,
        removed=refs.removed,
    )


def api_view(refs: Refs, versions: Sequence[ApiVersion]) -> wire.PublishedApiView:
    return wire.PublishedApiView(refs=refs_view(refs), versions=[_line_view(version) for version in versions])


def version_view(version: ApiVersion, openapi: bytes | None) -> wire.PublishedVersionView:
    return wire.PublishedVersionView(
        id=version.id,
        document=json.loads(version.document),
        signer=version.signer or "",
        public_key=encoded(version.public_key or b""),
        signature=encoded(version.signature or b""),
        published_at=version.created_at,
        openapi=None if openapi is None else json.loads(openapi),
        yanked=version.yanked_reason if version.is_yanked else None,
    )


def changes_view(changes: Changes) -> wire.ChangesView:
    return wire.ChangesView(
        changes=[_change_view(told) for told in changes.told], cursor=str(changes.cursor), more=changes.more
    )


def tree_view(tree: Tree, base: Tree | None) -> wire.TreeView:
    known: Mapping[str, object] = base.entries if base else {}
    put = [_put_view(path, entry) for path, entry in sorted(tree.entries.items()) if known.get(path) != entry]
    delete = sorted(known.keys() - tree.entries.keys())
    return wire.TreeView(tree=tree.digest, base=base.digest if base else None, put=put, delete=delete)


def _put_view(path: str, entry: TreeEntry) -> wire.PutFile:
    mode: Literal[644, 755] = 755 if entry.mode == 0o755 else 644
    return wire.PutFile(path=path, sha256=entry.sha256, size_bytes=entry.size_bytes, mode=mode)


def _line_view(version: ApiVersion) -> wire.VersionLineView:
    return wire.VersionLineView(
        id=version.id,
        semver=version.semver,
        tree=version.tree,
        parents=list(version.parents),
        published_at=version.created_at,
        yanked=version.yanked_reason if version.is_yanked else None,
    )


def _change_view(told: Told) -> wire.ChangeView:
    change = told.change
    if not told.withdrawn:
        return wire.ChangeView(number=change.number, at=change.at, kind=change.kind, refs=refs_view(change.refs))
    refs = change.refs
    name = wire.RefsView(
        id=refs.api_id, owner=refs.owner, slug=refs.slug, head_rev=0, visibility="private", visibility_rev=0, yanked={},
        yanked_rev=0, removed=True,
    )  # fmt: skip
    return wire.ChangeView(number=change.number, at=change.at, kind="withdrawn", refs=name)
