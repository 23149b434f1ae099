"""The way to one API as gateways beside the executor know it: what the executor says to its own gateway, to be kept."""

from dataclasses import dataclass, field

from local_server.domain.ids import ApiId
from local_server.domain.routing import Route, Steering


@dataclass(frozen=True, slots=True)
class Upstream:
    """A generation that is ready, and where it listens."""

    generation: int
    digest: str
    host: str
    port: int
    several: bool = False
    """It runs in more than one place, or will."""
    others: tuple[tuple[str, int], ...] = ()
    """Where else it listens."""

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        return ((self.host, self.port), *self.others)


@dataclass(frozen=True, slots=True)
class Place:
    """What stands at the directory of an API, or at a version of it."""

    route: Route
    upstream: Upstream | None


@dataclass(frozen=True, slots=True)
class Way:
    """All of one API: whoever follows it changes from one state to the next in one step."""

    api_id: ApiId
    places: tuple[Place, ...]
    steering: Steering = field(default_factory=Steering)
