"""Takes over the sandboxes that an earlier server left, in which its last good generation may still answer."""

import asyncio
from collections.abc import Mapping, Sequence

from local_server.domain.manifest import Manifest
from local_server.executor.box import Box, Ready
from local_server.executor.boxes import Boxes
from local_server.executor.engine import Sandbox
from local_server.executor.live import Live, Replica


class Adopted:
    """Those of one API; `boxes` holds them from now on."""

    def __init__(self, boxes: Boxes, sandboxes: Sequence[Sandbox], manifest: Manifest) -> None:
        self._boxes = boxes
        self._found = [boxes.adopt(sandbox, manifest) for sandbox in sandboxes]
        self._ports: dict[Box, Mapping[int, int]] = {}
        """Of each: generation -> where it listens."""

    async def look(self) -> set[int]:
        """The generations that answer in one of them, or more. One that says nothing is taken as empty."""
        answers = await asyncio.gather(*(box.generations() for box in self._found), return_exceptions=True)
        for box, ports in zip(self._found, answers, strict=True):
            self._ports[box] = {} if isinstance(ports, BaseException) else ports
            for number, port in self._ports[box].items():
                box.adopt(number, port)
        return {number for ports in self._ports.values() for number in ports}

    def replicas(self, number: int, size: int) -> tuple[Replica, ...]:
        """Where that generation answers: one for each of `size` replicas at most, in their order."""
        there = [box for box in self._found if number in self._ports[box] and box.replica <= size]
        one_each = {box.replica: box for box in there}
        return tuple(Replica(box, Ready(self._ports[box][number], "", 0.0, 0.0)) for _, box in sorted(one_each.items()))

    async def settle(self, live: Live | None) -> None:
        """It serves on; end whatever else answers, and the sandboxes that nobody needs."""
        serving = [(replica.box, live.number) for replica in live.replicas] if live is not None else []
        self._boxes.prefer([*(box for box, _ in serving), *self._found])
        answering = [(box, number) for box, ports in self._ports.items() for number in ports]
        ends = [box.stop(number) for box, number in answering if (box, number) not in serving]
        await asyncio.gather(*ends)
        await self._boxes.close_idle()
