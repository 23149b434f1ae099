"""How many are under way, as a collector is told."""

from local_server.domain.ids import ApiId
from local_server.gateway.asgi import Gateway
from local_server.system import RealSystem

ONE, OTHER = ApiId("one"), ApiId("other")


class Traveller:
    def break_off(self) -> None:
        """Nothing is under way in truth."""


class TestInFlight:
    async def test_every_lane_of_an_api_counts(self) -> None:
        gateway = Gateway(lambda execution: None, RealSystem())
        old, new = (gateway.routing.open(ONE, number, "d", ("127.0.0.1", 1)) for number in (1, 2))
        gateway.routing.open(OTHER, 1, "d", ("127.0.0.1", 1))
        travellers = [Traveller() for _ in range(3)]
        old.enter(travellers[0])
        new.enter(travellers[1])
        new.enter(travellers[2])
        assert gateway.routing.in_flight() == {ONE: 3, OTHER: 0}
        new.leave(travellers[1])
        assert gateway.routing.in_flight() == {ONE: 2, OTHER: 0}
        await gateway.close()
        assert gateway.routing.in_flight() == {}
