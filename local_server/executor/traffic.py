"""What the executor needs of a gateway: to point an API's traffic at a generation, and to know when one is idle."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from local_server.domain.ids import ApiId
from local_server.domain.routing import Route, Steering


class Lane(Protocol):
    """The gateway's way to one generation, with a connection pool of its own."""

    @property
    def address(self) -> tuple[str, int]:
        """Where the generation listens: who calls there passes the gateway by, and is nobody's traffic."""

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no request is under way, then close idle connections. False when some were still open at the
        end of the time. New requests must have been routed elsewhere before."""

    async def close(self) -> None:
        """Break off what is left. May be called twice."""


LaneT = TypeVar("LaneT", bound=Lane)


class Traffic(Protocol[LaneT]):
    """A gateway, which takes back only lanes that it opened itself."""

    def open(
        self,
        api_id: ApiId,
        generation: int,
        digest: str,
        address: tuple[str, int],
        version: str = "",
        *,
        several: bool = False,
    ) -> LaneT:
        """A lane to a generation that is ready, of the directory or of a version. Connects lazily. With `several` it
        runs in more than one place, or will, and `spread` says where."""

    def spread(self, lane: LaneT, addresses: Sequence[tuple[str, int]]) -> None:
        """From now on a lane that was opened for several leads to these, one at least. One step; what is under way on
        others is broken off."""

    def route(self, route: Route, lane: LaneT | None) -> None:
        """From now on requests for the route's API, or for the version of it, go to `lane`; with None they are held
        or refused as `route.availability` says. Replaces what stood there in one step."""

    def steer(self, api_id: ApiId, steering: Steering) -> None:
        """From now on the URLs of the API lead to its versions like this. Replaces what was said before."""

    def forget(self, api_id: ApiId) -> None:
        """The API is gone: its URLs answer 404."""
