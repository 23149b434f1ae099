"""Puts APIs into the catalogue, with the plans their manifests offer. Each act is part of another's transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from local_server.domain.catalogue import README_BYTES, Listing, ListingTexts, endpoints_of, price_of, readme_text
from local_server.domain.ids import ApiId, Digest, PlanId
from local_server.domain.manifest import Manifest, PlanSpec, Visibility
from local_server.domain.plans import Plan, offer_of
from local_server.domain.registry import Api, ApiStage
from local_server.domain.trees import Tree
from local_server.storage.base import Tx
from local_server.system import System

README_NAMES = ("README.md", "readme.md", "Readme.md", "README.MD", "README")

OPEN_PLAN = PlanSpec("free", 0, "EUR", "month", None, None, "block")
"""What an API offers whose manifest names no plan: nobody could subscribe to it otherwise."""


class Published(Protocol):
    """What of a version makes a listing."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def tree(self) -> Digest: ...
    @property
    def openapi(self) -> Mapping[str, Any] | None: ...


class Listings:
    """`content` reads so many bytes of what is stored under a SHA-256; it raises OSError for what is not."""

    def __init__(self, system: System, content: Callable[[str, int], bytes]) -> None:
        self._system = system
        self._content = content

    def take_over(self, tx: Tx, api: Api, version: Published) -> None:
        """`version` is what the API is from now on: its listing and its offers become what it says."""
        self._list(tx, api, version.manifest, tx.deployments.tree(version.tree), version.openapi)

    def show(self, tx: Tx, api: Api) -> None:
        """The same for an API that lives in a directory of this machine: as it is registered, with the README of what
        serves. What comes from elsewhere is left as it was published."""
        if api.directory:
            self._list(tx, api, api.manifest, _serving_tree(tx, api.id), None)

    def _list(self, tx: Tx, api: Api, manifest: Manifest, tree: Tree | None, openapi: Mapping[str, Any] | None) -> None:
        if manifest.visibility is Visibility.PRIVATE or api.stage is ApiStage.REMOVED:
            if tx.catalogue.card(api.id) is not None:
                tx.catalogue.remove(api.id)
                tx.plans.offer(api.id, [])
            return
        specs = manifest.plans or (OPEN_PLAN,)
        tx.plans.offer(api.id, [self._plan(tx, api.id, spec) for spec in specs])
        self._put(tx, self._listing(api, manifest, specs), ListingTexts(self._readme(tree), endpoints_of(openapi)))

    def _put(self, tx: Tx, listing: Listing, texts: ListingTexts) -> None:
        """Unless it is there already, as it is: a listing that did not change is no news."""
        known = tx.catalogue.card(listing.api_id)
        if known is not None:
            same = replace(listing, published_at=known.listing.published_at, updated_at=known.listing.updated_at)
            if same == known.listing and tx.catalogue.texts(listing.api_id) == texts:
                return
        tx.catalogue.put(listing, texts, self._system.now())

    def _plan(self, tx: Tx, api_id: ApiId, spec: PlanSpec) -> Plan:
        """The version of the plan that says what `spec` does, made if need be."""
        versions = tx.plans.versions(api_id, spec.code)
        newest = versions[-1] if versions else None
        if newest is not None and offer_of(newest, spec) == "same":
            return newest
        number = newest.version + 1 if newest is not None else 1
        plan = Plan(PlanId(self._system.new_id()), api_id, number, spec, self._system.now())
        tx.plans.add(plan)
        return plan

    def _listing(self, api: Api, manifest: Manifest, plans: Sequence[PlanSpec]) -> Listing:
        now = self._system.now()
        free, price_from, currency = price_of(plans)
        return Listing(
            api_id=api.id,
            owner=api.owner,
            slug=api.slug,
            summary=manifest.summary,
            tags=manifest.tags,
            category=manifest.category,
            runtime=manifest.runtime,
            visibility=manifest.visibility,
            version=manifest.version,
            free=free,
            price_from_minor=price_from,
            currency=currency,
            published_at=now,
            updated_at=now,
        )

    def _readme(self, tree: Tree | None) -> str:
        entry = next((tree.entries[name] for name in README_NAMES if name in tree.entries), None) if tree else None
        if entry is None:
            return ""
        try:
            return readme_text(self._content(entry.sha256, README_BYTES))
        except OSError:  # collected, or on another machine: the listing is worth more than its README
            return ""


def _serving_tree(tx: Tx, api_id: ApiId) -> Tree | None:
    deployment = tx.deployments.get(api_id)
    if deployment is None or deployment.last_good is None:
        return None
    generation = tx.deployments.generation(api_id, deployment.last_good)
    return tx.deployments.tree(generation.tree) if generation is not None else None
