"""Outgoing versions, plans and conflicts as the wire has them."""

from local_server.domain.contract_changes import Change
from local_server.domain.merge import FileConflict, TreeMerge
from local_server.domain.outbox import Outgoing, RemoteRef, Trouble
from local_server.domain.registry import Api
from local_server.domain.trees import TreeEntry
from local_server.storage.blobs import BlobStore
from local_server.sync.conflicts import Conflict, Resolved
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.plan import FileChange
from local_server.sync.publishing import PublishPlan
from local_server.sync.pulling import Pulled
from local_server.sync.service import Overview
from local_server.wire.outbox import (
    CloneView,
    ConflictView,
    ContractChangeView,
    FieldConflictView,
    FileChangeView,
    FileConflictView,
    FileSideView,
    OutboxEntryView,
    OutboxView,
    PublishPlanView,
    PulledView,
    RemoteApiView,
    RemoteView,
    ResolvedView,
    SideView,
    TroubleView,
)

MAX_SHOWN_BYTES = 256 * 1024


def entry_view(entry: Outgoing, api: Api | None) -> OutboxEntryView:
    return OutboxEntryView(
        op=entry.op,
        api_id=entry.api_id,
        api=api.slug if api else entry.slug,
        name=entry.name,
        remote=entry.remote,
        version=entry.semver,
        version_id=entry.version,
        tree=entry.tree,
        state=entry.state,
        attempts=entry.attempts,
        next_at=entry.next_at,
        trouble=trouble_view(entry.trouble),
        sent_bytes=entry.sent_bytes,
        total_bytes=entry.total_bytes,
        sent_blobs=entry.sent_blobs,
        total_blobs=entry.total_blobs,
        url=f"{entry.remote}/{entry.name}@{entry.semver}/",
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


def trouble_view(trouble: Trouble | None) -> TroubleView | None:
    return TroubleView(code=trouble.code, detail=trouble.detail, hint=trouble.hint) if trouble else None


def outbox_view(overview: Overview, markets: Marketplaces) -> OutboxView:
    return OutboxView(
        entries=[entry_view(entry, overview.apis.get(entry.api_id)) for entry in overview.entries],
        remotes=[
            _remote_view(remote.url, remote.account, remote.marketplace_id, markets) for remote in overview.remotes
        ],
        apis=[ref_view(ref, overview.apis.get(ref.api_id or "")) for ref in overview.refs],
        clones=[clone_view(ref, overview.apis[ref.clone]) for ref in overview.clones if ref.clone in overview.apis],
    )


def _remote_view(url: str, account: str, marketplace_id: str, markets: Marketplaces) -> RemoteView:
    contact = markets.contacts.get(url)
    return RemoteView(
        url=url,
        account=account,
        marketplace_id=marketplace_id,
        reachable=contact.reachable if contact else None,
        trouble=trouble_view(contact.trouble) if contact else None,
        seen_at=contact.seen_at if contact else None,
    )


def ref_view(ref: RemoteRef, api: Api | None) -> RemoteApiView:
    return RemoteApiView(
        remote=ref.remote,
        name=ref.name,
        api=api.slug if api else None,
        version=ref.head.semver if ref.head else None,
        base=ref.base.semver if ref.base else None,
        ahead=ref.is_ahead,
        visibility=ref.visibility,
        deleted=ref.deleted,
        yanked=dict(ref.yanked),
    )


def clone_view(ref: RemoteRef, api: Api) -> CloneView:
    base, head = ref.base, ref.head
    assert base is not None
    assert head is not None
    return CloneView(
        remote=ref.remote,
        name=ref.name,
        api=api.slug,
        version=base.semver,
        newest=head.semver,
        update=ref.is_ahead and not ref.pinned and not ref.deleted and head.semver not in ref.yanked,
        pinned=ref.pinned,
        deleted=ref.deleted,
        yanked=ref.yanked.get(base.semver),
    )


def plan_view(plan: PublishPlan) -> PublishPlanView:
    entry = plan.entry
    return PublishPlanView(
        name=entry.name,
        remote=entry.remote,
        version=entry.semver,
        version_id=entry.version,
        tree=entry.tree,
        generation=plan.generation,
        published=plan.published,
        files=[_file_change(change) for change in plan.files],
        total_files=plan.total_files,
        total_bytes=plan.total_bytes,
        send_bytes=plan.send_bytes,
        requests=1 if len(plan.push.inline) == len(plan.push.sizes) else 3,
        contract_known=plan.contract_known,
        contract=[_contract_change(change) for change in plan.contract],
        bump=plan.bump.value if plan.bump else None,
        asked_version=plan.asked_version,
        warnings=list(plan.warnings),
        visibility=plan.visibility.value,
    )


def _file_change(change: FileChange) -> FileChangeView:
    return FileChangeView(
        path=change.path,
        change=change.change,
        size_bytes=change.after.size_bytes if change.after else 0,
        before_bytes=change.before.size_bytes if change.before else 0,
    )


def _contract_change(change: Change) -> ContractChangeView:
    return ContractChangeView(rule=change.rule, severity=change.severity, operation=change.operation, text=change.text)


def pulled_view(pulled: Pulled) -> PulledView:
    return PulledView(
        name=pulled.ref.name,
        remote=pulled.ref.remote,
        version=pulled.head.semver,
        version_id=pulled.head.version,
        tree=pulled.head.tree,
        fetched_bytes=pulled.fetched_bytes,
        new_versions=list(pulled.new_versions),
        moved=pulled.moved,
        written=pulled.written,
        conflict=pulled.conflict,
        yanked=pulled.ref.yanked.get(pulled.head.semver),
        directory=pulled.api.directory if pulled.api else None,
        api_id=pulled.api.id if pulled.api else None,
        kept=list(pulled.kept),
        updated=pulled.updated,
        pinned=pulled.ref.pinned,
    )


def conflict_view(conflict: Conflict, merge: TreeMerge, blobs: BlobStore) -> ConflictView:
    """Reads the texts of what clashes. Blocking."""
    newest = conflict.newest
    both = [
        path
        for path, entry in conflict.mine.entries.items()
        if conflict.base.entries.get(path) != entry
        and conflict.theirs.entries.get(path) not in (entry, conflict.base.entries.get(path))
    ]
    unsettled = {found.path for found in merge.conflicts}
    base = conflict.ref.base
    return ConflictView(
        name=conflict.ref.name,
        remote=conflict.ref.remote,
        op=newest.op if newest else None,
        base=SideView(version=base.semver, version_id=base.version, tree=base.tree) if base else None,
        mine=SideView(
            version=newest.semver if newest else None,
            version_id=newest.version if newest else None,
            tree=conflict.mine.digest,
        ),
        theirs=SideView(version=conflict.head.semver, version_id=conflict.head.version, tree=conflict.theirs.digest),
        merged=sorted(path for path in both if path not in unsettled),
        files=[_file_conflict(found, blobs) for found in merge.conflicts],
        next_version=conflict.next_version,
    )


def _file_conflict(found: FileConflict, blobs: BlobStore) -> FileConflictView:
    return FileConflictView(
        path=found.path,
        kind=found.kind,
        base=_side(found.base, blobs),
        mine=_side(found.mine, blobs),
        theirs=_side(found.theirs, blobs),
        fields=[
            FieldConflictView(key=one.key, base=one.base, mine=one.mine, theirs=one.theirs) for one in found.fields
        ],
        draft=found.draft,
        other=found.other,
    )


def _side(entry: TreeEntry | None, blobs: BlobStore) -> FileSideView | None:
    if entry is None:
        return None
    text = None
    if entry.size_bytes <= MAX_SHOWN_BYTES:
        with blobs.open(entry.sha256) as file:
            content = file.read()
        try:
            text = None if b"\0" in content else content.decode()
        except UnicodeDecodeError:
            text = None
    return FileSideView(sha256=entry.sha256, size_bytes=entry.size_bytes, mode=int(f"{entry.mode:o}"), text=text)


def resolved_view(resolved: Resolved, api: Api) -> ResolvedView:
    return ResolvedView(
        how=resolved.how,
        tree=resolved.tree.digest,
        version=resolved.entry.semver if resolved.entry else None,
        entry=entry_view(resolved.entry, api) if resolved.entry else None,
        written=resolved.written,
    )
