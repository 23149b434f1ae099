"""What is known here of a marketplace's APIs, after it told of them: pure."""

from dataclasses import replace

from local_server.domain.ids import ApiId, Digest
from local_server.domain.outbox import Head, RemoteRef
from local_server.domain.publish_errors import HistoryRewritten
from local_server.wire.sync import RefsView


def known_now(remote: str, refs: RefsView, known: RemoteRef | None, api_id: ApiId | None = None) -> RemoteRef:
    """`known`, or a new ref, with what `refs` says. Raises HistoryRewritten when the marketplace went back in time: a
    database restored from a backup may not silently become the truth."""
    ref = known or RemoteRef(remote, refs.owner, refs.slug, api_id, None, None)
    if ref.head is not None and refs.head_rev < ref.head.revision and not refs.removed:
        raise HistoryRewritten(ref.name, ref.head.revision, refs.head_rev)
    head = ref.head
    if refs.head is not None:
        head = Head(Digest(refs.head.version), refs.head.semver, Digest(refs.head.tree), refs.head_rev)
    return replace(
        ref,
        api_id=ref.api_id or api_id,
        head=head,
        visibility=refs.visibility,
        yanked=dict(refs.yanked),
        deleted=refs.removed,
    )
