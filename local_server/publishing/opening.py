"""Puts together what takes published versions in and shows them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from local_server.domain.ids import UserId
from local_server.domain.publishing import Limits
from local_server.domain.registry import Api
from local_server.events.bus import Bus
from local_server.marketplace.listings import Listings
from local_server.publishing.collection import Collection
from local_server.publishing.commit import Committing
from local_server.publishing.keys import SigningKeys
from local_server.publishing.parts import Parts
from local_server.publishing.reading import Reading
from local_server.publishing.refs import RefChanges
from local_server.publishing.routes import Publications
from local_server.publishing.service import Intake, ReadManifest
from local_server.publishing.tokens import AccessTokens
from local_server.storage.base import Storage
from local_server.storage.blobs import BlobStore
from local_server.system import System


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is kept, and who is told."""

    storage: Storage
    blobs: BlobStore
    bus: Bus
    system: System
    parts: Path
    """A directory for blobs that are not whole yet, on the file system of `blobs`."""


def make_publications(
    place: Place,
    listings: Listings,
    read_manifest: ReadManifest,
    stop: Callable[[Api], Awaitable[None]],
    *,
    limits: Limits = Limits(),
    runs: Callable[[UserId], bool] = lambda user_id: False,
) -> Publications:
    """`stop` ends what runs of an API. `runs` says of which accounts what they publish is run here, too: strangers'
    code only where it is held apart, or where whoever runs the server meant it to."""
    storage, blobs, system = place.storage, place.blobs, place.system
    marketplace_id = storage.install_id
    parts = Parts(place.parts, blobs)
    committing = Committing(system, listings, marketplace_id, runs)
    intake = Intake(storage, blobs, system, committing, parts, read_manifest, marketplace_id, limits)
    return Publications(
        marketplace_id=marketplace_id,
        intake=intake,
        reading=Reading(storage, blobs, place.bus),
        refs=RefChanges(storage, system, listings, stop),
        keys=SigningKeys(storage, system),
        tokens=AccessTokens(storage, system),
        collection=Collection(storage, system, parts),
        blobs=blobs,
        runs=runs,
    )
