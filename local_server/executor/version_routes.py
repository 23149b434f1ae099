"""HTTP of versions: what there is of them, where the traffic goes, channels, and marks of their end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter, Query, Request

from local_server.domain.deployments import DesiredState, State
from local_server.domain.registry import Api
from local_server.domain.versions import LATEST, ApiVersion, Pointer
from local_server.executor.fleet import Fleet, Move
from local_server.executor.routes import failure_view
from local_server.executor.tree_differences import FileDifference, Side, TreeDifference, TreeDifferences
from local_server.executor.versions import Ending, Versions
from local_server.registry.reference import register_convertor
from local_server.wire.versions import (
    ChannelsView,
    FileDifferenceView,
    MarkVersion,
    MoveTraffic,
    PendingMove,
    PutChannel,
    RollBack,
    ShareView,
    TrafficSplitView,
    TreeDifferenceView,
    TreeSideView,
    VersionView,
)


@dataclass(frozen=True, slots=True)
class VersionPorts:
    """What the routes are handed by the composition root."""

    versions: Callable[[Request], Versions]
    differences: Callable[[Request], TreeDifferences]
    find: Callable[[Request, str], Awaitable[Api]]
    """By id, slug or owner/slug. Raises ApiNotFound."""
    base_url: Callable[[Request], str]
    """Where the server answers, without a slash at the end."""


def make_router(ports: VersionPorts) -> APIRouter:
    register_convertor()
    router = APIRouter(prefix="/apis/{id:api}", tags=["versions"])
    _add_versions(router, ports)
    _add_traffic(router, ports)
    _add_channels(router, ports)
    _add_differences(router, ports)
    return router


def _add_versions(router: APIRouter, ports: VersionPorts) -> None:
    @router.get("/versions")
    async def list_versions(request: Request, id: str) -> list[VersionView]:
        """Every version of the API, newest first."""
        fleet = await ports.versions(request).fleet(await ports.find(request, id))
        return [version_view(fleet, version, ports.base_url(request)) for version in fleet.versions.values()]

    @router.get("/versions/{version}")
    async def get_version(request: Request, id: str, version: str) -> VersionView:
        """One version, by its full number."""
        fleet = await ports.versions(request).fleet(await ports.find(request, id))
        return version_view(fleet, fleet.get(version), ports.base_url(request))

    @router.patch("/versions/{version}")
    async def mark_version(request: Request, id: str, version: str, body: MarkVersion) -> VersionView:
        """Deprecate a version, name the day of its end, or yank it; or take that back. Its files never change."""
        api, given = await ports.find(request, id), body.model_fields_set
        ending = None
        if given & {"deprecated", "sunset_at"}:
            ending = Ending(body.deprecated if body.deprecated is not None else True, body.sunset_at)
        fleet = await ports.versions(request).mark(api, version, ending=ending, yank=body.yanked, reason=body.reason)
        return version_view(fleet, fleet.get(version), ports.base_url(request))

    @router.post("/versions/{version}/start", status_code=202)
    async def start_version(request: Request, id: str, version: str) -> VersionView:
        """Run a version again that was stopped or has failed, with the traffic as it is."""
        fleet = await ports.versions(request).start(await ports.find(request, id), version)
        return version_view(fleet, fleet.get(version), ports.base_url(request))

    @router.post("/versions/{version}/stop", status_code=202)
    async def stop_version(request: Request, id: str, version: str) -> VersionView:
        """Stop a version that has no traffic, after the requests under way, and keep it stopped."""
        fleet = await ports.versions(request).stop(await ports.find(request, id), version)
        return version_view(fleet, fleet.get(version), ports.base_url(request))


def _add_traffic(router: APIRouter, ports: VersionPorts) -> None:
    @router.get("/traffic")
    async def get_traffic(request: Request, id: str) -> TrafficSplitView:
        """Where the URL without a pin leads."""
        return traffic_view(await ports.versions(request).fleet(await ports.find(request, id)))

    @router.put("/traffic", status_code=202)
    async def move_traffic(request: Request, id: str, body: MoveTraffic) -> TrafficSplitView:
        """Move the traffic, or a share of it, to a version or to the directory: at once if that is ready, else once it
        is. What does not become ready moves nothing."""
        api = await ports.find(request, id)
        return traffic_view(await ports.versions(request).begin(api, Move(body.target, body.weight)))

    @router.post("/rollback", status_code=202)
    async def roll_back(request: Request, id: str, body: RollBack | None = None) -> TrafficSplitView:
        """The traffic as it was before its last move, or all of it to one version."""
        api, target = await ports.find(request, id), body.version if body else None
        return traffic_view(await ports.versions(request).roll_back(api, target))


def _add_channels(router: APIRouter, ports: VersionPorts) -> None:
    @router.get("/channels")
    async def list_channels(request: Request, id: str) -> ChannelsView:
        """Where each channel leads. `dev`, the directory, is always there too."""
        return channels_view(await ports.versions(request).fleet(await ports.find(request, id)))

    @router.put("/channels/{name}", status_code=202)
    async def put_channel(request: Request, id: str, name: str, body: PutChannel) -> ChannelsView:
        """Have a channel lead to a version, once that is ready."""
        api = await ports.find(request, id)
        return channels_view(await ports.versions(request).put_channel(api, name, body.version))

    @router.delete("/channels/{name}")
    async def remove_channel(request: Request, id: str, name: str) -> ChannelsView:
        """Forget a channel; the version stays as it is."""
        return channels_view(await ports.versions(request).remove_channel(await ports.find(request, id), name))


def _add_differences(router: APIRouter, ports: VersionPorts) -> None:
    @router.get("/diff")
    async def diff_versions(
        request: Request,
        id: str,
        first: str | None = Query(None, alias="from", max_length=80, description=_FROM),
        second: str | None = Query(None, alias="to", max_length=80, description=_TO),
        path: str | None = Query(None, max_length=4096, description="Only this file, with more of its lines."),
    ) -> TreeDifferenceView:
        """How the files of the API differ between two of its states, file by file and line by line. A state is the
        number of a version or what leads to one (`1.2`, `beta`), a generation (`g14`), `serving`, or `dev`."""
        api = await ports.find(request, id)
        return difference_view(await ports.differences(request).between(api, first, second, path))


_FROM = "The state before. None: the newest version that is not the other; without one, what serves."
_TO = "The state after. None: what the directory holds; without one, the newest version."


def difference_view(found: TreeDifference) -> TreeDifferenceView:
    return TreeDifferenceView(
        first=_side_view(found.first),
        second=_side_view(found.second),
        same=not found.files,
        files=[_file_view(one) for one in found.files],
        more=found.more,
    )


def _side_view(side: Side) -> TreeSideView:
    tree = side.tree
    return TreeSideView(name=side.name, tree=tree.digest, files=len(tree.entries), size_bytes=tree.size_bytes)


def _file_view(one: FileDifference) -> FileDifferenceView:
    change, lines = one.change, one.lines
    before, after = change.before, change.after
    return FileDifferenceView(
        path=change.path,
        path_before=change.path_before,
        change=change.word,
        kind=one.kind,
        size_before=before.size_bytes if before is not None else None,
        size_after=after.size_bytes if after is not None else None,
        mode_before=f"{before.mode:o}" if before is not None else None,
        mode_after=f"{after.mode:o}" if after is not None else None,
        added=lines.added if lines is not None else None,
        removed=lines.removed if lines is not None else None,
        lines=list(lines.hunks) if lines is not None else [],
        complete=one.kind != "text" or (lines is not None and lines.whole),
    )


def version_view(fleet: Fleet, version: ApiVersion, base_url: str) -> VersionView:
    runner = fleet.runners.get(version.semver)
    record = runner.record if runner is not None else None
    failure = record.failure if record is not None else None
    return VersionView(
        version=version.semver,
        id=version.id,
        tree=version.tree,
        url=f"{base_url}/{fleet.api.full_name}@{version.semver}/",
        state=record.state if record is not None else State.STOPPED,
        desired_state=record.row.desired_state if record is not None else DesiredState.STOPPED,
        serving=runner is not None and runner.live is not None,
        weight=fleet.pointer.weight(version.semver),
        channels=[name for name, semver in channels_view(fleet).channels.items() if semver == version.semver],
        error=failure.headline if failure is not None else None,
        failure=failure_view(failure) if failure is not None else None,
        progress=record.progress if record is not None else "",
        published=version.signature is not None,
        created_at=version.created_at,
        deprecated_at=version.deprecated_at,
        sunset_at=version.sunset_at,
        yanked_at=version.yanked_at,
        yanked_reason=version.yanked_reason,
    )


def traffic_view(fleet: Fleet) -> TrafficSplitView:
    move = fleet.move
    return TrafficSplitView(
        shares=share_views(fleet.pointer),
        pending=PendingMove(target=move.target, weight=move.weight, channel=move.channel, back=move.back)
        if move is not None
        else None,
        earlier=[share_views(pointer) for pointer in fleet.traffic.earlier],
        revision=fleet.traffic.revision,
    )


def share_views(pointer: Pointer) -> list[ShareView]:
    return [ShareView(target=target, weight=weight) for target, weight in pointer.shares]


def channels_view(fleet: Fleet) -> ChannelsView:
    newest = {LATEST: fleet.newest} if fleet.newest is not None else {}
    return ChannelsView(channels={**fleet.channels, **newest})
