"""How a connection to an API comes about."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from local_server.gateway.upstream import Connection

CONNECT_TIMEOUT_S = 5.0


class ConnectFailed(Exception):
    """No connection came about: nothing of the request has gone out."""


async def connect(address: tuple[str, int]) -> Connection:
    """A new connection to `address`. Raises ConnectFailed."""
    loop = asyncio.get_running_loop()
    sock = await _connected_socket(loop, address)
    connection = Connection(loop, sock)
    try:
        await loop.create_connection(lambda: connection, sock=sock)
    except OSError as error:
        raise ConnectFailed(error.strerror or str(error)) from None
    return connection


async def _connected_socket(loop: asyncio.AbstractEventLoop, address: tuple[str, int]) -> socket.socket:
    """Our own, not one that asyncio makes, since `looks_alive` asks the kernel about it."""
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            family, where = await _resolve(loop, *address)
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, where)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, TimeoutError):
            raise ConnectFailed(f"did not answer in {CONNECT_TIMEOUT_S:g} s") from None
        if isinstance(error, OSError):
            raise ConnectFailed(error.strerror or str(error)) from None
        raise
    return sock


async def _resolve(
    loop: asyncio.AbstractEventLoop, host: str, port: int
) -> tuple[socket.AddressFamily, tuple[str, int]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return family, (host, port)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return found[0][0], (str(found[0][4][0]), port)
