"""The port that a server of ours listens on, and who has it where it is taken."""

import errno
import socket

import psutil

from local_server.domain.server_errors import AddressRefused, PortTaken

BACKLOG = 2048


def listen(host: str, port: int, verb: str = "serve") -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises PortTaken, which says who has it and how to have `verb`
    take another; AddressRefused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(port, _holder(port), verb) from None
        # Python appends where; that is told anyway.
        raise AddressRefused(host, port, (error.strerror or str(error)).partition(" (while ")[0].lower()) from None


def _holder(port: int) -> str:
    """Who listens on the port, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return "another program"
    return "another program"
