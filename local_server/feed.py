"""Turns what happened inside into what is streamed to clients: domain events in, wire events out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from local_server.analytics.traffic import TrafficWindows
from local_server.domain.events import (
    ApiChanged,
    ApiRegistered,
    ApiRemoved,
    EngineChanged,
    Event,
    GenerationFinished,
    LogWritten,
    OutboxChanged,
    PullMoved,
    StateChanged,
    TrafficMoved,
    VersionChanged,
    VersionCreated,
)
from local_server.domain.executions import Execution, by_api
from local_server.domain.ids import ApiId, OpId
from local_server.domain.registry import Api
from local_server.events.bus import Bus, Lost
from local_server.events.sse import Stream
from local_server.executor.routes import log_views
from local_server.views import Views, execution_view, traffic_view
from local_server.wire.events import (
    ApiGone,
    ApiUpdated,
    EngineUpdated,
    LogsWritten,
    OutboxUpdated,
    PullUpdated,
    RequestsLogged,
    Resync,
    TrafficUpdated,
)
from local_server.wire.outbox import OutboxEntryView

TRAFFIC_S = 1.0

Find = Callable[[ApiId], Awaitable[Api | None]]

Outgoing = Callable[[OpId], Awaitable[OutboxEntryView | None]]


async def _nothing_outgoing(op: OpId) -> OutboxEntryView | None:
    """Until it is known who knows."""
    return None


class Feed:
    """Feeds one `Stream` from the bus, the request log and the traffic figures."""

    def __init__(self, bus: Bus, stream: Stream, views: Views, traffic: TrafficWindows, find: Find) -> None:
        self._bus = bus
        self._stream = stream
        self._views = views
        self._traffic = traffic
        self._find = find
        self.outgoing: Outgoing = _nothing_outgoing

    async def follow_bus(self) -> None:
        """Pass on what is published. Never returns."""
        async with self._bus.subscribe() as subscription:
            async for event in subscription:
                if isinstance(event, Lost):
                    self._stream.send("resync", Resync())
                else:
                    await self._pass_on(event)

    async def follow_traffic(self) -> None:
        """Once a second, the figures that changed. Never returns."""
        while True:
            await asyncio.sleep(TRAFFIC_S)
            changed = self._traffic.changed()
            if changed:
                apis = {api_id: traffic_view(figures) for api_id, figures in changed.items()}
                self._stream.send("traffic", TrafficUpdated(apis={str(key): view for key, view in apis.items()}))

    async def requests(self, rows: Sequence[Execution]) -> None:
        """A batch of the request log was written."""
        for api_id, part in by_api(rows).items():
            if self._stream.wanted(f"requests:{api_id}") and (api := await self._find(api_id)) is not None:
                views = [execution_view(api, row) for row in part]
                self._stream.send(f"requests:{api_id}", RequestsLogged(api_id=api_id, requests=views))

    async def _pass_on(self, event: Event) -> None:
        match event:
            case ApiRemoved():
                self._stream.send("api", ApiGone(id=event.api_id, name=event.slug))
            case EngineChanged():
                changed = EngineUpdated(engine=event.engine, available=event.available, detail=event.detail)
                self._stream.send("engine", changed)
            case OutboxChanged():
                if self._stream.wanted("outbox") and (entry := await self.outgoing(event.op)):
                    self._stream.send("outbox", OutboxUpdated(entry=entry))
            case PullMoved():
                moved = PullUpdated(
                    remote=event.remote, name=event.name, done_bytes=event.done_bytes, total_bytes=event.total_bytes
                )
                self._stream.send("pull", moved)
            case LogWritten():
                topic = f"log:{event.api_id}" + (f"@{event.version}" if event.version else "")
                if self._stream.wanted(topic) and (api := await self._find(event.api_id)):
                    self._stream.send(topic, LogsWritten(api_id=api.id, lines=log_views(api, event.lines)))
            case (
                ApiRegistered()
                | ApiChanged()
                | StateChanged()
                | GenerationFinished()
                | VersionCreated()
                | VersionChanged()
                | TrafficMoved()
            ):
                if self._stream.wanted("api") and (api := await self._find(event.api_id)):
                    self._stream.send("api", ApiUpdated(api=self._views.api(api)))
