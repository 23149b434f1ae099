"""The way to a generation that runs several times: which of its replicas a request goes on.

It goes on the one with the fewest under way, in turn among equals. One that failed a moment ago is passed over as long
as there are others, and one that keeps failing is left alone (breaker.py), each by itself: callers are refused only
where nobody is left. What takes no connection has had nothing of the request, which goes on another at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_server.domain.gateway_errors import UpstreamTimeout
from local_server.gateway.breaker import PROBED_S, Breaker
from local_server.gateway.connecting import ConnectFailed
from local_server.gateway.lane import Lane
from local_server.gateway.pool import Pool
from local_server.gateway.upstream import Broken, Connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_server.domain.ids import ApiId
    from local_server.gateway.breaker import Changed, Circuit, CircuitState
    from local_server.gateway.cache import Shelf
    from local_server.gateway.lane import Traveller

Address = tuple[str, int]

PASSED_OVER_S = 1.0
"""A replica that failed is not asked for this long, unless there is no other."""
SILENT = "was silent for too long"


class Replica:
    """One of the places where a generation listens."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.pool = Pool(address)
        self.breaker = Breaker()
        self.under_way = 0
        self.turn = 0
        """When it was last chosen, in the order of choices."""
        self._failed_s = float("-inf")
        self._connecting: set[asyncio.Timeout] = set()

    def rank(self, now_s: float) -> tuple[bool, int, int]:
        """The least of all is asked next."""
        return self.is_passed_over(now_s), self.under_way, self.turn

    def is_passed_over(self, now_s: float) -> bool:
        return now_s - self._failed_s < PASSED_OVER_S

    async def open(self) -> Connection:
        """A new connection. Raises ConnectFailed."""
        try:
            async with asyncio.timeout(None) as waiting:
                self._connecting.add(waiting)
                try:
                    return await self.pool.open()
                finally:
                    self._connecting.discard(waiting)
        except TimeoutError:
            raise ConnectFailed("was stopped") from None

    def failed(self, token: object, reason: str, now_s: float, *, counts: bool = True) -> None:
        """Nothing came of a request. Without `counts` it says little: it is only passed over."""
        self._failed_s = now_s
        if counts:
            self.breaker.failed(token, reason, now_s)
            if not self.breaker.closed:
                self.pool.close_idle()

    def retire(self) -> None:
        """It is gone: no connection to it comes about any more, and how it does is nobody's concern."""
        self.breaker.changed = lambda breaker: None
        self.pool.closed = True
        self.pool.close_idle()
        for waiting in self._connecting:
            waiting.reschedule(0)  # an address that has vanished may take seconds to say so


@dataclass(eq=False, slots=True)
class _Errand:
    """Something under way on a replica; its circuit knows it by this."""

    replica: Replica
    repeatable: bool = True
    """It is sent again when the connection it went out on had been left idle, and breaks."""


class Replicas:
    """In the place of a lane's pool, and of its breaker by `circuit`. Whatever is taken or opened is to be given back:
    what became of it tells how its replica is."""

    def __init__(self) -> None:
        self.circuit = AnyCircuit(self)
        self.all: list[Replica] = []
        self.retain = True
        self.closed = False
        self._errands: dict[Connection | Traveller, _Errand] = {}
        self._turns = 0

    def __len__(self) -> int:
        return sum(len(replica.pool) for replica in self.all)

    def lead_to(self, addresses: Sequence[Address]) -> None:
        """From now on these are all there are. What is under way on others is broken off."""
        known = {replica.address: replica for replica in self.all}
        self.all = [known.pop(address) if address in known else self._added(address) for address in addresses]
        for replica in known.values():
            replica.retire()
            self._break_off(replica)

    def _added(self, address: Address) -> Replica:
        replica = Replica(address)
        replica.breaker.changed = lambda breaker: self.circuit.changed(breaker)
        return replica

    def _break_off(self, replica: Replica) -> None:
        for whose, errand in list(self._errands.items()):
            if errand.replica is replica:
                whose.break_off(Broken("was stopped")) if isinstance(whose, Connection) else whose.break_off()

    # -- Choosing -----------------------------------------------------------------------------------------------------

    def _next(self, now_s: float, but: Sequence[Replica] = ()) -> Replica | None:
        able = [replica for replica in self.all if replica not in but and not replica.breaker.rest_s(now_s)]
        return min(able, key=lambda replica: replica.rank(now_s), default=None)

    @property
    def others(self) -> bool:
        """Whether one may be asked that has not failed a moment ago."""
        now_s = _now()
        replica = self._next(now_s)
        return replica is not None and not replica.is_passed_over(now_s)

    def _send(self, whose: Connection | Traveller, errand: _Errand) -> None:
        self._turns += 1
        errand.replica.turn = self._turns
        errand.replica.under_way += 1
        self._errands[whose] = errand

    # -- As a pool ----------------------------------------------------------------------------------------------------

    def take(self, replayable: bool) -> Connection | None:
        """A used connection to the replica whose turn it is, or None: then `open` one."""
        replica = self._next(_now())
        connection = replica.pool.take(replayable) if replica is not None else None
        if replica is not None and connection is not None:
            self._send(connection, _Errand(replica, replayable))
        return connection

    def put_back(self, connection: Connection) -> None:
        """What was taken was not used after all."""
        if (errand := self._end(connection)) is not None:
            errand.replica.pool.put_back(connection)

    async def open(self) -> Connection:
        """A new connection to the first that takes one. Raises ConnectFailed where none does."""
        failure = ConnectFailed("was replaced" if self.closed else "was left alone")
        tried: list[Replica] = []
        while not self.closed and (replica := self._next(_now(), tried)) is not None:
            tried.append(replica)
            errand = _Errand(replica)
            if replica.breaker.wait_s(errand, _now()):
                continue
            try:
                return await self._opened(errand)
            except ConnectFailed as error:
                failure = error
                replica.failed(errand, str(error), _now())
        raise failure

    async def _opened(self, errand: _Errand) -> Connection:
        errand.replica.under_way += 1
        try:
            connection = await errand.replica.open()
        except ConnectFailed:
            raise  # it tells something of the replica
        except BaseException:
            errand.replica.breaker.let_go(errand)
            raise
        finally:
            errand.replica.under_way -= 1
        if self.closed:
            connection.close()
            raise ConnectFailed("was replaced")
        self._send(connection, errand)
        return connection

    def give(self, connection: Connection) -> None:
        """Take a connection back: kept if it can be used again, closed otherwise."""
        errand = self._end(connection)
        if errand is None:
            connection.close()
            return
        self._judge(errand, connection)
        if self.retain and not self.closed:
            errand.replica.pool.give(connection)
        else:
            connection.close()

    def _end(self, whose: Connection | Traveller) -> _Errand | None:
        errand = self._errands.pop(whose, None)
        if errand is not None:
            errand.replica.under_way -= 1
        return errand

    def _judge(self, errand: _Errand, connection: Connection) -> None:
        """What became of the request tells how the replica is."""
        replica, error = errand.replica, connection.error
        if connection.head_done:
            if replica.breaker.failures:
                replica.breaker.succeeded()
        elif isinstance(error, UpstreamTimeout):
            replica.failed(errand, SILENT, _now())
        elif isinstance(error, Broken):
            replica.failed(errand, str(error), _now(), counts=connection.uses == 1 or not errand.repeatable)
        replica.breaker.let_go(errand)

    def close_idle(self) -> None:
        for replica in self.all:
            replica.pool.close_idle()

    # -- For what brings its own connection ---------------------------------------------------------------------------

    def seat(self, traveller: Traveller) -> Replica:
        """Where to connect, until `leave`. Raises ConnectFailed."""
        self.leave(traveller)
        replica = self._next(_now())
        if replica is None:
            raise ConnectFailed("was left alone")
        errand = _Errand(replica)
        replica.breaker.wait_s(errand, _now())
        self._send(traveller, errand)
        return replica

    def leave(self, traveller: Traveller) -> None:
        if (errand := self._end(traveller)) is not None:
            errand.replica.breaker.let_go(errand)

    def reached(self, whose: Connection | Traveller) -> None:
        """An answer began."""
        if (errand := self._errands.get(whose)) is not None:
            errand.replica.breaker.succeeded()

    def missed(self, traveller: Traveller, reason: str) -> None:
        """None did."""
        if (errand := self._errands.get(traveller)) is not None:
            errand.replica.failed(errand, reason, _now())


class AnyCircuit:
    """Of all replicas together: closed as long as one of theirs is. How each of them is, `Replicas` tells it."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self.changed: Changed = lambda circuit: None

    @property
    def closed(self) -> bool:
        return any(replica.breaker.closed for replica in self._replicas.all)

    @property
    def state(self) -> CircuitState:
        states = {replica.breaker.state for replica in self._replicas.all}
        return next((state for state in ("closed", "half_open") if state in states), "open")

    @property
    def _worst(self) -> Breaker:
        breakers = [replica.breaker for replica in self._replicas.all]
        return max(breakers, key=lambda breaker: breaker.failures, default=Breaker())

    @property
    def failures(self) -> int:
        return self._worst.failures

    @property
    def reason(self) -> str:
        return self._worst.reason

    def wait_s(self, token: object, now_s: float) -> float:
        """0 where one of them may be asked; the one that is, counts the request as its own."""
        return min((replica.breaker.rest_s(now_s) for replica in self._replicas.all), default=PROBED_S)

    def succeeded(self) -> None:
        """Whose answer it was, the connection tells when it is given back."""

    def failed(self, token: object, reason: str, now_s: float) -> None:
        """The same."""

    def let_go(self, token: object) -> None:
        """The same."""


class SpreadLane(Lane):
    """A lane to a generation that runs several times, or comes to."""

    def __init__(
        self, api_id: ApiId, generation: int, digest: str, address: Address, shelf: Shelf, version: str = ""
    ) -> None:
        super().__init__(api_id, generation, digest, address, shelf, version)
        self.several = True
        self.replicas = Replicas()
        self.replicas.lead_to([address])
        self.pool = self.replicas
        self.breaker: Circuit = self.replicas.circuit

    def lead_to(self, addresses: Sequence[Address]) -> None:
        """From now on its requests go there, and nowhere else."""
        self.replicas.lead_to(addresses)
        self.address = addresses[0]
        self.moves += 1

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(replica.address for replica in self.replicas.all)

    @property
    def others(self) -> bool:
        return self.replicas.others

    def part(self, breaker: Breaker) -> str:
        found = (replica.address for replica in self.replicas.all if replica.breaker is breaker)
        return next((f" at {host}:{port}" for host, port in found), "")

    def seat(self, traveller: Traveller) -> Address:
        return self.replicas.seat(traveller).address

    def reached(self, whose: Connection | Traveller) -> None:
        self.replicas.reached(whose)

    def missed(self, traveller: Traveller, reason: str) -> None:
        self.replicas.missed(traveller, reason)

    def leave(self, traveller: Traveller) -> None:
        self.replicas.leave(traveller)
        super().leave(traveller)


def _now() -> float:
    return asyncio.get_running_loop().time()
