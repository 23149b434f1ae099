"""What is known of a sandbox's container, from its making or from its labels."""

from dataclasses import dataclass
from pathlib import Path

from local_server.domain.ids import ApiId


@dataclass(frozen=True, slots=True)
class Place:
    """A host directory and where the container sees it."""

    host: Path
    inside: str


@dataclass(frozen=True, slots=True)
class ContainerIdentity:
    id: str
    api_id: ApiId
    layer_key: str
    name: str
    memory_mb: int
    places: tuple[Place, ...]
    ports: range
    version: str = ""
    replica: int = 1

    def inside(self, host_path: Path) -> str:
        """Where the container sees it. Raises ValueError for what is not mounted."""
        for place in self.places:
            if host_path.is_relative_to(place.host):
                rest = host_path.relative_to(place.host).as_posix()
                return place.inside if rest == "." else f"{place.inside}/{rest}"
        raise ValueError(f"{host_path} is not mounted in the container of {self.name}")
