"""The ports inside a sandbox that generations may listen on."""

import secrets
from collections import deque
from collections.abc import Iterable

from local_server.domain.executor_errors import SandboxFailed

COUNT = 16
_LOWEST, _BLOCKS = 8001, 500


class PortPool:
    """Leases ports in turn, so that the port of a generation that just ended rests longest before its next use."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._free = deque(ports)
        self._leased: set[int] = set()

    def lease(self) -> int:
        """Raises SandboxFailed when all are leased."""
        if not self._free:
            raise SandboxFailed(
                f"All {len(self._leased)} ports of the sandbox are in use by generations that have not ended",
                hint="Wait until older generations have drained, then save again.",
            )
        port = self._free.popleft()
        self._leased.add(port)
        return port

    def release(self, port: int) -> None:
        """A port that is not leased: nothing happens."""
        if port in self._leased:
            self._leased.discard(port)
            self._free.append(port)

    def take(self, ports: Iterable[int]) -> None:
        """Mark ports as leased that an adopted sandbox uses already."""
        for port in ports:
            if port in self._free:
                self._free.remove(port)
                self._leased.add(port)


def random_block() -> range:
    """Sixteen ports for a new sandbox that is reached at its own address. Random, because the address of a sandbox that
    ended is given to the next one at once: a request still on its way there must find nobody, not another API."""
    first = _LOWEST + COUNT * secrets.randbelow(_BLOCKS)
    return range(first, first + COUNT)
