"""A bus whose events reach subscribers in every server of one PostgreSQL database, by LISTEN and NOTIFY.

What a transaction emits is notified within it, so that it is told exactly when it is committed. What is told without a
transaction (how far a deployment has come) is notified on a connection of our own. A server that was cut off cannot
know what it missed: its subscribers find a `Lost`, and read everything anew.

https://www.postgresql.org/docs/current/sql-notify.html
"""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, get_args

import psycopg
from pydantic import TypeAdapter, ValidationError

from local_server.domain.events import ApiChanged, Event, LogWritten
from local_server.events.bus import LOST, QUEUE_LIMIT, Bus, Lost

logger = logging.getLogger(__name__)

CHANNEL = "apimarket_events"
MOST_BYTES = 7_900
"""PostgreSQL carries less than 8,000 at once."""
PAUSE_S = 1.0
CHECK_S = 30.0
"""A connection on which nothing comes is asked whether it is still one."""

_KINDS: Mapping[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Event)}
_LOST = "Lost"

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class PgBus(Bus):
    """`publish` tells everybody, everywhere; `committed` only those here, of what others were told with the commit.
    Use on one event loop, and keep `run` running."""

    def __init__(self, conninfo: str, limit: int = QUEUE_LIMIT) -> None:
        super().__init__(limit)
        self._conninfo = conninfo
        self._limit = limit
        self._server = secrets.token_hex(8)
        self._unsent: deque[Event | Lost] = deque()
        self._to_send = asyncio.Event()
        self.listening = asyncio.Event()
        """Set while what other servers tell arrives here."""

    def publish(self, event: Event) -> None:
        super().publish(event)
        if isinstance(event, LogWritten):
            return
        if len(self._unsent) >= self._limit:
            self._unsent.clear()
            self._unsent.append(LOST)
        self._unsent.append(event)
        self._to_send.set()

    def committed(self, event: Event) -> None:
        super().publish(event)

    def tell(self, event: Event) -> tuple[str, str] | None:
        """(channel, payload) for a NOTIFY within the transaction of the event. May be called on any thread. None for
        lines of a log: there are too many of them, and they are read where the API runs."""
        return None if isinstance(event, LogWritten) else (CHANNEL, self._payload(event))

    async def run(self) -> None:
        """Never returns; where a connection breaks, new ones are made."""
        while True:
            try:
                await self._exchange()
            except* psycopg.OperationalError as broken:
                logger.warning("Cut off from what other servers tell: %s", str(broken.exceptions[0]).strip())
            await asyncio.sleep(PAUSE_S)

    async def _exchange(self) -> None:
        async with AsyncExitStack() as stack:
            incoming, outgoing = [await stack.enter_async_context(await self._connect()) for _ in range(2)]
            await incoming.execute(f"listen {CHANNEL}".encode())
            self.lose()  # of what was told before nothing arrived
            self.listening.set()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._receive(incoming), name="bus-receive")
                    tasks.create_task(self._send(outgoing), name="bus-send")
            finally:
                self.listening.clear()

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, connect_timeout=10)

    async def _receive(self, connection: Connection) -> None:
        while True:
            async for notification in connection.notifies(timeout=CHECK_S):
                self._take(notification.payload)
            await connection.execute("select 1")

    async def _send(self, connection: Connection) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while self._unsent:
                # Taken out when it was sent: what the connection broke under is sent by the next one, perhaps twice.
                first = self._unsent[0]
                await connection.execute("select pg_notify(%s, %s)", [CHANNEL, self._payload(first)])
                if self._unsent and self._unsent[0] is first:
                    self._unsent.popleft()

    def _take(self, payload: str) -> None:
        try:
            sender, kind, told = json.loads(payload)
            if sender == self._server:
                return
            if kind == _LOST:
                self.lose()
                return
            event = _KINDS[kind].validate_python(told, strict=False)
        except (ValueError, TypeError, KeyError, ValidationError):
            # Of a newer program: what it is about may be read, if not how it is told.
            logger.info("Another server told of something that is unknown here; everything is read anew")
            self.lose()
            return
        super().publish(event)

    def _payload(self, event: Event | Lost) -> str:
        """What does not fit becomes a hint to read the API anew, which is what followers would do with it anyway."""
        kind = type(event).__name__
        told = None if isinstance(event, Lost) else _KINDS[kind].dump_python(event, mode="json")
        payload = json.dumps([self._server, kind, told], separators=(",", ":"))
        if len(payload) <= MOST_BYTES:
            return payload
        api_id = getattr(event, "api_id", None)
        return self._payload(LOST if api_id is None else ApiChanged(api_id))
