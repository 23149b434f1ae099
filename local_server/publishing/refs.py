"""What an owner changes of a published API: who sees it, which versions are taken back, whether it goes on. Every
change names the revision that was read, and is one more in the feed."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from local_server.domain.events import ApiChanged, ApiRemoved, FeedMoved, VersionChanged
from local_server.domain.manifest import Visibility
from local_server.domain.refs import ChangeKind, RefName, Refs
from local_server.domain.registry import Api, ApiStage, User
from local_server.domain.sync_errors import NotYours, ObjectNotFound, StaleRef
from local_server.marketplace.listings import Listings
from local_server.publishing.commit import Listed, parsed
from local_server.publishing.reading import readable
from local_server.storage.base import Storage, Tx
from local_server.system import System


class RefChanges:
    """`stop` ends what runs of an API."""

    def __init__(
        self, storage: Storage, system: System, listings: Listings, stop: Callable[[Api], Awaitable[None]]
    ) -> None:
        self._storage = storage
        self._system = system
        self._listings = listings
        self._stop = stop

    async def show_to(self, user: User, owner: str, slug: str, visibility: Visibility, revision: int) -> Refs:
        """Raises ObjectNotFound, NotYours, StaleRef, as the others do."""

        def act(tx: Tx) -> Refs:
            before = self._locked(tx, user, owner, slug, RefName.VISIBILITY, revision)
            if before.visibility is visibility:
                return before
            after = replace(before, visibility=visibility, visibility_rev=before.visibility_rev + 1)
            api = self._save(tx, after)
            self._list(tx, api, after)
            return self._told(tx, ChangeKind.VISIBILITY, before, after)

        return await self._storage.write(act, lasting=True)

    async def yank(self, user: User, owner: str, slug: str, semver: str, reason: str | None, revision: int) -> Refs:
        """Take a version out of sight, or with None as the reason put it back."""

        def act(tx: Tx) -> Refs:
            before = self._locked(tx, user, owner, slug, RefName.YANKED, revision)
            if tx.versions.by_semver(before.api_id, semver) is None:
                raise ObjectNotFound("version", f"{owner}/{slug}@{semver}")
            yanked = {number: why for number, why in before.yanked.items() if number != semver}
            yanked |= {} if reason is None else {semver: reason}
            if yanked == before.yanked:
                return before
            now = self._system.now()
            tx.versions.yank(before.api_id, semver, None if reason is None else now, reason or "")
            after = replace(before, yanked=yanked, yanked_rev=before.yanked_rev + 1)
            tx.emit(VersionChanged(before.api_id, semver))
            return self._told(tx, ChangeKind.YANKED, before, after)

        return await self._storage.write(act, lasting=True)

    async def remove(self, user: User, owner: str, slug: str, revision: int) -> Refs:
        """Nothing of it is there for others any more, and the name stays taken."""

        def act(tx: Tx) -> tuple[Refs, Api]:
            before = self._locked(tx, user, owner, slug, RefName.HEAD, revision)
            return self._remove(tx, before)

        refs, api = await self._storage.write(act, lasting=True)
        await self._stop(api)
        return refs

    async def forget(self, api: Api) -> None:
        """The same for an API that is removed by other means; one that was never published is left alone."""

        def act(tx: Tx) -> None:
            tx.published.lock(api.user_id)
            before = tx.published.refs_of(api.id)
            if before is not None and not before.removed:
                self._remove(tx, before)

        await self._storage.write(act, lasting=True)

    # -- Small parts -------------------------------------------------------------------------------------------

    def _locked(self, tx: Tx, user: User, owner: str, slug: str, name: RefName, revision: int) -> Refs:
        """As they are, and stay until the commit."""
        tx.published.lock(user.id)
        refs = readable(tx, user, owner, slug)
        if refs.user_id != user.id:
            raise NotYours(owner, user.handle)
        if refs.removed:
            raise ObjectNotFound("API", f"{owner}/{slug}")
        if refs.revision(name) != revision:
            raise StaleRef(name, revision, refs.revision(name))
        return refs

    def _remove(self, tx: Tx, before: Refs) -> tuple[Refs, Api]:
        after = replace(before, removed=True)
        api = self._save(tx, after, ApiStage.REMOVED)
        self._list(tx, api, after)
        tx.emit(ApiRemoved(api.id, api.slug))
        return self._told(tx, ChangeKind.REMOVED, before, after), api

    def _save(self, tx: Tx, refs: Refs, stage: ApiStage | None = None) -> Api:
        api = tx.registry.get(refs.api_id)
        assert api is not None  # a published API is never deleted
        manifest = replace(api.manifest, visibility=refs.visibility)
        changed = replace(api, manifest=manifest, stage=stage or api.stage, updated_at=self._system.now())
        if stage is None:
            tx.emit(ApiChanged(api.id))
        return tx.registry.save(changed, api.revision)

    def _list(self, tx: Tx, api: Api, refs: Refs) -> None:
        if refs.head is not None:
            openapi = parsed(tx.versions.openapi(api.id, refs.head.semver))
            self._listings.take_over(tx, api, Listed(api.manifest, refs.head.tree, openapi))

    def _told(self, tx: Tx, kind: ChangeKind, before: Refs, after: Refs) -> Refs:
        tx.published.put_refs(after)
        change = tx.published.append(kind, before, after, self._system.now())
        tx.emit(FeedMoved(after.api_id, change.number))
        return after
