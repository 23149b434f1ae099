"""A second server, as far as events go: `python told.py URL` commits and publishes some, and ends."""

import asyncio
import sys

from local_server.domain.deployments import Failure, State
from local_server.domain.events import ApiChanged, Event, LogLine, LogWritten, StateChanged
from local_server.domain.ids import ApiId
from local_server.events.pg_bus import PgBus
from local_server.storage.base import Tx
from local_server.storage.postgres import PostgresStorage
from tests.storage.factories import NOON

COMMITTED: list[Event] = [ApiChanged(ApiId(f"api-{number}")) for number in range(20)]
PUBLISHED: list[Event] = [
    StateChanged(ApiId("api"), State.FAILED, Failure("start", "It broke: \u00fc \U0001f600"), "starting"),
    StateChanged(ApiId("end"), State.RUNNING, None),
]
LOG = LogWritten(ApiId("api"), [LogLine(ApiId("api"), 1, "out", "a line", NOON)])
LARGE = StateChanged(ApiId("large"), State.FAILED, Failure("start", "x" * 20_000))


async def main(url: str) -> None:
    bus = PgBus(url)
    running = asyncio.create_task(bus.run())
    await bus.listening.wait()
    storage = await PostgresStorage.open(url, bus.committed, tell=bus.tell)

    def act(tx: Tx) -> None:
        for event in COMMITTED:
            tx.emit(event)

    def in_vain(tx: Tx) -> None:
        tx.emit(ApiChanged(ApiId("never")))
        raise ZeroDivisionError

    await storage.write(act)
    await asyncio.gather(storage.write(in_vain), return_exceptions=True)
    bus.publish(LOG)
    bus.publish(LARGE)
    for event in PUBLISHED:
        bus.publish(event)
    await storage.close()
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us has read everything
    running.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
