"""One HTTP/1.1 connection to an API: our own client, for the sake of the hot path.

Flow control goes both ways: reading stops while more than 64 KiB of an answer wait to be passed on, and `drain`
blocks a sender while the transport's buffer is full.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

import httptools

from local_server.gateway.response_head import KnownHeads

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.response_head import AnswerHead

    class Watcher(Protocol):
        def advanced(self) -> None:
            """Something came, or it ended. Called from the connection's own callbacks: must not block."""


WINDOW_BYTES = 64 * 1024
HEAD_LIMIT_BYTES = 256 * 1024


class Broken(Exception):
    """The connection ended, or said something that is not HTTP, before the answer was whole."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time: `begin`, `write`…, `head`, `body`…; then it may be pooled if `reusable`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drain_waiter: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._can_write = True
        self._paused = False
        self.uses = 0
        self.idle_since = 0.0
        self.on_idle_lost: Callable[[Connection], None] | None = None
        self.heads = KnownHeads()
        """Those that its peer has sent before, on whichever connection: the pool puts its own here."""
        self.watcher: Watcher | None = None
        """Whom to tell of every advance, in place of those who wait in `head` and `body`."""
        self.lost = False
        self._reset(False)
        self.complete = True  # nothing is under way yet

    def _reset(self, is_head: bool) -> None:
        self._is_head = is_head
        self._interim = False
        self._until_eof = False
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._keep_alive = False
        self._error: Exception | None = None
        self.known: AnswerHead | None = None
        """The answer's head, if it was known before it came."""
        self.status = 0
        self.headers: RawHeaders = []
        self.head_done = False
        self.complete = False
        self.answered = False
        """Whether any byte of an answer has come."""
        self.request_done = False

    # -- For the exchange -------------------------------------------------------------------------------------------

    def begin(self, is_head: bool) -> None:
        """Take up a new exchange."""
        self.uses += 1
        self._reset(is_head)

    @property
    def error(self) -> Exception | None:
        """Why the exchange ended before its time, if it did."""
        return self._error

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: both messages are whole, and nobody wants to close."""
        return self.complete and self.request_done and self._keep_alive and not self.lost and self._error is None

    def looks_alive(self) -> bool:
        """Whether the peer has not closed as far as the kernel knows, even if the event loop has not heard of it."""
        if self.lost or self._error is not None:
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False  # the end, or bytes nobody asked for

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.lost and self._error is None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Return once the transport takes more. Returns at once when the connection is gone."""
        while not self._can_write and not self.lost and self._error is None:
            self._drain_waiter = self._loop.create_future()
            await self._drain_waiter

    async def head(self) -> None:
        """Return once status and headers are known. Raises Broken, or what `break_off` was given."""
        while not self.head_done:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def body(self) -> bytes:
        """What has come of the body, at least a byte unless it is complete. Raises like `head`, but only after all
        that came before the break has been handed out."""
        while not self._chunks and not self.complete:
            if self._error is not None:
                raise self._error
            await self._wait()
        return self.take()

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        chunks = self._chunks
        if not chunks:
            return b""
        self._chunks = []
        self._buffered = 0
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def break_off(self, error: Exception) -> None:
        """End the exchange now, for `error`. Does nothing where one has ended it before."""
        if self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def close(self) -> None:
        self.lost = True
        if self._transport is not None:
            if self.complete and self.request_done:
                self._transport.close()
            else:
                self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self.watcher is not None:
            self.watcher.advanced()
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._drain_waiter is not None:
            if not self._drain_waiter.done():
                self._drain_waiter.set_result(None)
            self._drain_waiter = None

    # -- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        if self.complete or self._error is not None:
            self._fail("sent more than its answer")
            return
        first, self.answered = not self.answered, True
        if first and not self._is_head and (found := self.heads.find(data)):
            self._take_known(*found)
            return
        if not self.head_done:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self._fail(f"sent more than {HEAD_LIMIT_BYTES} bytes of headers")
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("switched protocols without being asked")
        except httptools.HttpParserError as error:
            self._fail(f"did not speak HTTP/1.1 ({error.__context__ or error})")
        if self._buffered > WINDOW_BYTES and not self._paused and not self.complete and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if first and self.reusable and not self._is_head:
            self.heads.learn(data, self.status, self.headers)
        if self.head_done:
            self._wake()

    def _take_known(self, head: AnswerHead, body: bytes) -> None:
        """The whole answer has come, under a head that needs no parsing."""
        self.known, self.status, self.headers = head, head.status, head.headers
        self._keep_alive = self.head_done = self.complete = True
        if body:
            self._chunks.append(body)
        self._wake()

    def eof_received(self) -> None:
        self.lost = True
        if self._until_eof and self.head_done and not self.complete and self._error is None:
            self.complete = True
            self._wake()
        self._tell_pool()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.complete and self._error is None:
            self._error = Broken("closed the connection" if exc is None else f"broke the connection ({exc})")
        self._transport = None
        del self._parser  # it refers back to this object
        self._wake()
        self._tell_pool()

    def _tell_pool(self) -> None:
        if self.on_idle_lost is not None:
            tell, self.on_idle_lost = self.on_idle_lost, None
            tell(self)

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    def _fail(self, what: str) -> None:
        self._keep_alive = False
        if not self.complete:
            self.break_off(Broken(what))
        else:
            self.close()

    # -- httptools --------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:  # a second answer to one question
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_done:  # later ones are trailers
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if not 100 <= status < 600:
            raise Broken(f"gave the status {status}, and HTTP has 100 to 599")
        if status < 200:
            self._interim = True
            self.headers = []
            return
        self.status = status
        self._keep_alive = self._parser.should_keep_alive()
        self._check_framing()
        self.head_done = True
        if self._is_head:
            # The parser cannot know that no body follows, so it is of no further use.
            self._parser = httptools.HttpResponseParser(self)
            self.complete = True

    def _check_framing(self) -> None:
        framed = self.status in (204, 304)
        for name, value in self.headers:
            if name == b"transfer-encoding":
                if value.lower() != b"chunked":
                    raise Broken(f"used the transfer coding {value.decode('latin-1')[:40]!r}")
                framed = True
            elif name == b"content-length":
                framed = True
        self._until_eof = not framed and not self._is_head

    def on_body(self, body: bytes) -> None:
        if self.complete:
            self._keep_alive = False
            return
        self._chunks.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        self.complete = True
