"""The supervisor's event loop: descriptors, timers and signals in one thread."""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import selectors
import signal
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

Callback = Callable[[], None]


class Timer:
    """A call due once; `cancel` may be called at any time, also after it has run."""

    def __init__(self, call: Callback) -> None:
        self.call: Optional[Callback] = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    def __init__(self) -> None:
        # poll, not epoll: epoll refuses regular files and /dev/null, and standard input may be either.
        self._selector = selectors.PollSelector()
        self._timers: List[Tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._signals: Dict[int, Callback] = {}
        self._running = True

    def stop(self) -> None:
        self._running = False

    def call_later(self, delay_s: float, call: Callback) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), timer))
        return timer

    def watch(self, fd: int, *, read: Optional[Callback] = None, write: Optional[Callback] = None) -> None:
        """Set what is called when `fd` is readable and writable; with neither it is no longer watched."""
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        known = fd in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, events, (read, write))
        else:
            self._selector.register(fd, events, (read, write))

    def on_signals(self, handlers: Dict[int, Callback]) -> None:
        """Call these from the loop, never from inside a signal handler."""
        receive, send = socket.socketpair()
        receive.setblocking(False)
        send.setblocking(False)
        self._signals = handlers
        self._wakeup = (receive, send)
        signal.set_wakeup_fd(send.fileno(), warn_on_full_buffer=False)
        for number in handlers:
            signal.signal(number, lambda *_: None)
        self.watch(receive.fileno(), read=self._run_signals)

    def _run_signals(self) -> None:
        for number in set(self._wakeup[0].recv(4096)):
            if number in self._signals:
                self._signals[number]()

    def run(self) -> None:
        while self._running:
            for key, events in self._selector.select(self._patience_s()):
                self._dispatch(key, events)
            self._run_due_timers()

    def _dispatch(self, key: selectors.SelectorKey, events: int) -> None:
        read, write = key.data
        # An earlier callback of the same round may have closed this descriptor, or given its number to another.
        if write and events & selectors.EVENT_WRITE and self._is_current(key):
            write()
        if read and events & selectors.EVENT_READ and self._is_current(key):
            read()

    def _is_current(self, key: selectors.SelectorKey) -> bool:
        current = self._selector.get_map().get(key.fd)
        return current is not None and (current.data is key.data or current.data == key.data)

    def _patience_s(self) -> Optional[float]:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    def _run_due_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()


class Outlet:
    """Writes to a descriptor without ever waiting for its reader; keeps what does not fit."""

    def __init__(self, loop: Loop, fd: int, read: Optional[Callback] = None) -> None:
        self._loop = loop
        self._fd = fd
        self._read = read
        self._buffer = bytearray()
        self._broken = False
        self.on_drained: Optional[Callback] = None

    @property
    def pending_bytes(self) -> int:
        return len(self._buffer)

    def write(self, data: bytes) -> None:
        if self._broken:
            return
        was_empty = not self._buffer
        self._buffer += data
        if was_empty:
            self._flush()

    def flush_now(self, timeout_s: float) -> None:
        """Wait, before the end of the process, until everything is written."""
        deadline = time.monotonic() + timeout_s
        while self._buffer and not self._broken and time.monotonic() < deadline:
            self._flush()
            if self._buffer:
                time.sleep(0.002)

    def _flush(self) -> None:
        try:
            while self._buffer:
                sent = os.write(self._fd, memoryview(self._buffer)[:65536])
                del self._buffer[:sent]
        except BlockingIOError:
            self._loop.watch(self._fd, read=self._read, write=self._flush)
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.EIO):
                raise
            # Nobody reads any more. What there was to say is lost; the program goes on.
            self._broken = True
            self._buffer.clear()
        self._loop.watch(self._fd, read=self._read)
        if self.on_drained is not None:
            self.on_drained()


class LineReader:
    """Cuts what a descriptor gives into lines; calls `on_end` once at its end."""

    def __init__(self, fd: int, on_line: Callable[[bytes], None], on_end: Callback, limit_bytes: int = 1 << 20) -> None:
        self._fd = fd
        self._on_line = on_line
        self._on_end = on_end
        self._limit_bytes = limit_bytes
        self._rest = bytearray()
        self._skipping = False

    def read(self) -> None:
        """Take what is there now."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_end()
            return
        self._rest += data
        *lines, rest = bytes(self._rest).split(b"\n") if b"\n" in data else [bytes(self._rest)]
        self._rest = bytearray(rest)
        for line in lines:
            if not self._skipping and line.strip():
                self._on_line(line)
            self._skipping = False
        if len(self._rest) > self._limit_bytes:
            # A line over the limit is not a message; what follows its newline may be one.
            self._skipping = True
            self._rest.clear()


class Channel:
    """A non-blocking stream socket that carries one JSON line a message, both ways."""

    def __init__(self, loop: Loop, sock: socket.socket, on_line: Callable[[bytes], None], on_end: Callback) -> None:
        sock.setblocking(False)
        self._loop = loop
        self.sock: Optional[socket.socket] = sock
        self._on_end = on_end
        self._reader = LineReader(sock.fileno(), on_line, self._ended, limit_bytes=8 << 20)
        self._outlet = Outlet(loop, sock.fileno(), read=self._reader.read)
        loop.watch(sock.fileno(), read=self._reader.read)

    def write(self, data: bytes) -> None:
        if self.sock is not None:
            self._outlet.write(data)

    def read_rest(self) -> None:
        """Take what has come and was not yet read."""
        for _ in range(64):
            if self.sock is None:
                return
            self._reader.read()

    def close(self) -> None:
        if self.sock is not None:
            self._loop.watch(self.sock.fileno())
            self.sock.close()
            self.sock = None

    def _ended(self) -> None:
        self.close()
        self._on_end()


def set_nonblocking(fd: int) -> None:
    os.set_blocking(fd, False)


def json_line(message: Dict[str, Any]) -> bytes:
    import json

    # Surrogates (undecodable file names in a traceback) have no UTF-8; a question mark is better than no message.
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
