"""Server events become messages. One stream and one heartbeat for the whole app, batches of at most four a second.

Messages are sentences: `FleetChanged`, `OutgoingChanged`, `ServerChanged`, `LinkChanged`. They are posted to the app,
which hands them to the screens that are open.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.message import Message

from apimarket_tui.backend import Backend, Trouble, attempt, trouble_of
from apimarket_tui.fleet import Fleet
from apimarket_tui.outgoing import Outgoing

if TYPE_CHECKING:
    from local_server.wire.events import WireEvent
    from local_server.wire.outbox import OutboxEntryView, OutboxView
    from local_server.wire.server import ServerView

BATCH_S = 0.25
HEARTBEAT_S = 2.0
RETRY_S = 1.0
NOT_FOR_ACCOUNTS = 403
POLL_S = 5.0
"""Between two looks where there are no events to wait for."""
REREAD_S = 30.0
"""An event may fall between reading the list and opening the stream: reading again heals what was missed."""


class FleetChanged(Message, bubble=False):
    """APIs or their figures changed: read the fleet again."""


class OutgoingChanged(Message, bubble=False):
    """What is on its way to marketplaces, or what they have, changed."""


class ServerChanged(Message, bubble=False):
    """What the server says of itself changed."""


class LinkChanged(Message, bubble=False):
    """The server went away, or came back."""


class Live:
    """What is known of the server, kept while it is away. `post` receives the messages."""

    def __init__(
        self,
        backend: Backend,
        post: Callable[[Message], object],
        clock: Callable[[], datetime],
        *,
        batch_s: float = BATCH_S,
        heartbeat_s: float = HEARTBEAT_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self.fleet = Fleet()
        self.outgoing = Outgoing()
        self.server: ServerView | None = None
        self.heard_at: datetime | None = None
        """When the server last answered."""
        self.lost: Trouble | None = None
        """Why it does not answer now."""
        self.confined = False
        """It answers, and tells an account nothing of itself."""
        self.loaded = False
        """Whether the list of APIs has ever been read."""
        self._backend, self._post, self._clock = backend, post, clock
        self._batch_s, self._heartbeat_s, self._retry_s = batch_s, heartbeat_s, retry_s
        self._dirty = asyncio.Event()
        self._changed: set[type[Message]] = set()
        """What the next batch tells of."""
        self._stale = asyncio.Event()
        self._beat = asyncio.Event()

    # -- Tasks, each run by the app as a worker until it ends

    async def keep_heartbeat(self) -> None:
        """Ask the server about itself every few seconds: the only way to learn that it is gone."""
        while True:
            answer = await attempt(self._backend.server())
            if not isinstance(answer, Trouble):
                self._answered()
                self._take_server(answer)
            elif answer.status == NOT_FOR_ACCOUNTS:
                self._answered()
                self._confine()
            else:
                self.report(answer)
            pause_s = self._retry_s if self.lost else self._heartbeat_s
            self._beat.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._beat.wait(), pause_s)

    async def keep_lists(self) -> None:
        """Read the whole list whenever what we have may be wrong: at the start, after a loss, on a Resync."""
        self._stale.set()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stale.wait(), REREAD_S)
            self._stale.clear()
            apis = await attempt(self._backend.apis())
            if isinstance(apis, Trouble):
                self.report(apis)
                if not apis.unreachable:
                    await asyncio.sleep(self._retry_s)
                    self._stale.set()
                continue
            self.fleet.replace(apis)
            self.loaded = True
            self._answered()
            self.changed()
            outbox = await attempt(self._backend.outbox())
            if not isinstance(outbox, Trouble):
                self.take_outbox(outbox)
            elif not outbox.unreachable:
                self.outgoing.refused = outbox
                self._tell(OutgoingChanged)

    async def keep_events(self) -> None:
        """Follow the stream; where the server refuses it (a wrong token), say so and try again."""
        while True:
            try:
                async for event in following(self._backend, ("api", "traffic", "engine", "outbox")):
                    self._apply(event)
            except Exception as error:
                trouble = trouble_of(error)
                if trouble is None:
                    raise
                self.report(trouble)
            await asyncio.sleep(self._retry_s)

    async def keep_batches(self) -> None:
        """Tell of changes at most once in `batch_s`, however many there are."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            changed, self._changed = self._changed, set()
            for message in changed:
                self._post(message())
            await asyncio.sleep(self._batch_s)

    # -- What others tell

    def report(self, trouble: Trouble) -> None:
        """A call failed. One that reached no server, or was not let in, means there is no server for us."""
        if (trouble.unreachable or trouble.status == 401) and self.lost is None:
            self.lost = trouble
            self._beat.set()
            self._post(LinkChanged())

    def look_now(self) -> None:
        """Ask the server about itself at once, rather than at the next beat."""
        self._beat.set()

    def changed(self) -> None:
        """The fleet was changed by an answer to an act of ours."""
        self._tell(FleetChanged)

    def take_outgoing(self, entry: "OutboxEntryView") -> None:
        """One version moved on."""
        self.outgoing.put(entry)
        self._tell(OutgoingChanged)

    def take_outbox(self, outbox: "OutboxView") -> None:
        self.outgoing.replace(outbox)
        self._tell(OutgoingChanged)

    def reread(self) -> None:
        """Read all lists again: what was done may have changed more than its answer tells."""
        self._stale.set()

    def _tell(self, message: type[Message]) -> None:
        self._changed.add(message)
        self._dirty.set()

    def _answered(self) -> None:
        self.heard_at = self._clock()
        if self.lost is not None:
            self.lost = None
            self._stale.set()
            self._post(LinkChanged())

    def _confine(self) -> None:
        if not self.confined:
            self.confined = True
            self._post(ServerChanged())

    def _take_server(self, server: "ServerView") -> None:
        before, self.server = self.server, server
        if before is None or before.model_dump(exclude=_RESTLESS) != server.model_dump(exclude=_RESTLESS):
            self._post(ServerChanged())

    def _apply(self, event: "WireEvent") -> None:
        self.heard_at = self._clock()
        match event.topic:
            case "api":
                self.fleet.put(event.api)
            case "api-removed":
                self.fleet.drop(event.id)
            case "traffic":
                self.fleet.put_traffic(event.apis)
            case "engine":
                if self.server is not None:
                    told = {"engine": event.engine, "engine_available": event.available, "engine_detail": event.detail}
                    self._take_server(self.server.model_copy(update=told))
                return
            case "outbox":
                self.take_outgoing(event.entry)
                return
            case "resync":
                self._stale.set()
                return
            case _:
                return
        self._tell(FleetChanged)


_RESTLESS = {"uptime_s", "memory_bytes"}
"""Fields that change at every look; nobody needs to be told."""


async def following(backend: Backend, topics: Sequence[str]) -> "AsyncIterator[WireEvent]":
    """The backend's events, with the stream closed as soon as the reader stops. An account gets none of a machine that
    is not its own: it is told every few seconds to read again."""
    from local_server.wire.events import Resync

    stream = backend.events(topics)
    try:
        async for event in stream:
            yield event
        return
    except Exception as error:
        trouble = trouble_of(error)
        if trouble is None or trouble.status != NOT_FOR_ACCOUNTS:
            raise
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    while True:
        yield Resync()
        await asyncio.sleep(POLL_S)
