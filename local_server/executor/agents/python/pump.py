"""Carries what a program prints to the server, line by line, and keeps a flood from drowning everything else."""

from __future__ import annotations

import codecs
import os
from collections import deque
from typing import Deque, Dict, List

from .loop import Loop, Outlet, json_line

LINES_PER_SECOND = 2000
# So that a flood on one stream leaves the other a word: the reason of a failure, as a rule.
_LINES_PER_STREAM = 1800
LINE_LIMIT_BYTES = 16 * 1024
# Once the lines of a second are used up the rest of that second is read and counted, but only so much of it: then the
# pipe is left to fill, and the program waits in its own `write`.
FLOOD_BYTES_PER_SECOND = 8 * 1024 * 1024
# More than this waiting for the server and no more output is taken, so that a protocol message never waits long.
BACKLOG_BYTES = 256 * 1024
_CHUNK_BYTES = 64 * 1024
_TAIL_LINES = 20


class _Stream:
    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.rest = b""
        self.skipping = False
        """The line so far was cut and passed on; what comes up to its newline is dropped."""
        self.lines_left = _LINES_PER_STREAM
        self.tail: Deque[str] = deque(maxlen=_TAIL_LINES)


class Pump:
    """Both output pipes of one generation."""

    def __init__(self, loop: Loop, outlet: Outlet, gen: int, out_fd: int, err_fd: int) -> None:
        self._loop = loop
        self._outlet = outlet
        self._gen = gen
        self._streams = [_Stream("out", out_fd), _Stream("err", err_fd)]
        self._by_fd: Dict[int, _Stream] = {stream.fd: stream for stream in self._streams}
        self._window_open = False
        self._lines_left = LINES_PER_SECOND
        self._flood_bytes_left = FLOOD_BYTES_PER_SECOND
        self._left_out = 0
        for stream in self._streams:
            os.set_blocking(stream.fd, False)
        self.resume()

    def tail(self) -> List[str]:
        """The last lines of standard error; of standard output when that is empty."""
        out, err = self._streams
        return list(err.tail or out.tail)

    def resume(self) -> None:
        """Take output again, unless a limit still stands."""
        if self._flood_bytes_left > 0:
            for stream in self._by_fd.values():
                self._loop.watch(stream.fd, read=lambda stream=stream: self._read(stream))  # type: ignore[misc]

    def finish(self) -> None:
        """Pass on what is still in the pipes, then close them."""
        for stream in self._streams:
            for _ in range(64):
                if stream.fd not in self._by_fd or not self._take(stream):
                    break
            if stream.fd in self._by_fd:
                self._close(stream)
        self._close_window()

    def _pause(self) -> None:
        for fd in self._by_fd:
            self._loop.watch(fd)

    def _read(self, stream: _Stream) -> None:
        self._take(stream)
        if self._outlet.pending_bytes > BACKLOG_BYTES or self._flood_bytes_left <= 0:
            self._pause()

    def _take(self, stream: _Stream) -> bool:
        """Read once; whether there may be more."""
        try:
            data = os.read(stream.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close(stream)
            return False
        self._open_window()
        self._split(stream, data)
        return True

    def _close(self, stream: _Stream) -> None:
        self._loop.watch(stream.fd)
        del self._by_fd[stream.fd]
        os.close(stream.fd)
        if stream.rest and not stream.skipping:
            self._pass_on(stream, stream.rest)

    def _split(self, stream: _Stream, data: bytes) -> None:
        if self._lines_left <= 0 or stream.lines_left <= 0:
            self._drop(stream, data)
            return
        lines = (stream.rest + data).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if stream.skipping:
                stream.skipping = False
            else:
                self._pass_on(stream, line)
        if len(rest) > LINE_LIMIT_BYTES:
            if not stream.skipping:
                self._pass_on(stream, rest)
            stream.skipping = True
            rest = b""
        stream.rest = rest

    def _drop(self, stream: _Stream, data: bytes) -> None:
        self._flood_bytes_left -= len(data)
        count = data.count(b"\n")
        if count == 0:
            # Still the same line. It is as good as cut.
            stream.skipping = stream.skipping or len(stream.rest) + len(data) > LINE_LIMIT_BYTES
            stream.rest = b"" if stream.skipping else stream.rest + data
            return
        self._left_out += count - (1 if stream.skipping else 0)
        stream.skipping = False
        *last, rest = data.rsplit(b"\n", _TAIL_LINES + 1)
        stream.tail.extend(_decode(line) for line in last[1:])
        stream.rest = rest

    def _pass_on(self, stream: _Stream, line: bytes) -> None:
        text = _decode(line)
        stream.tail.append(text)
        if self._lines_left <= 0 or stream.lines_left <= 0:
            self._left_out += 1
            return
        self._lines_left -= 1
        stream.lines_left -= 1
        self._say(stream.name, text)

    def _say(self, stream: str, text: str) -> None:
        self._outlet.write(json_line({"t": "log", "gen": self._gen, "stream": stream, "line": text}))

    def _open_window(self) -> None:
        if not self._window_open:
            self._window_open = True
            self._loop.call_later(1.0, self._close_window)

    def _close_window(self) -> None:
        if self._left_out:
            self._say(
                "err", f"[apimarket] {self._left_out} lines left out: at most {LINES_PER_SECOND} a second are passed on"
            )
        self._window_open = False
        self._left_out = 0
        self._lines_left = LINES_PER_SECOND
        for stream in self._streams:
            stream.lines_left = _LINES_PER_STREAM
        self._flood_bytes_left = FLOOD_BYTES_PER_SECOND
        if self._outlet.pending_bytes <= BACKLOG_BYTES:
            self.resume()
        elif self._by_fd:
            self._open_window()


def _decode(line: bytes) -> str:
    if line.endswith(b"\r"):
        line = line[:-1]
    if len(line) <= LINE_LIMIT_BYTES:
        return line.decode("utf-8", "replace")
    # An incremental decoder leaves out the character that the cut went through.
    return codecs.getincrementaldecoder("utf-8")("replace").decode(line[:LINE_LIMIT_BYTES])
