"""Asks a generation that says it is ready whether it can answer."""

import asyncio
from contextlib import suppress

INTERVAL_S = 0.05


async def answers(address: tuple[str, int], path: str, host: str, timeout_s: float, any_status: bool = False) -> str:
    """Wait until `GET path` answers 2xx or 3xx (or, with `any_status`, speaks HTTP at all).

    Returns the empty string when it does, else what it did instead until the time was over.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    last = f"GET {path} did not answer within {timeout_s:g} s"
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            async with asyncio.timeout(left):
                status = await _status(address, path, host)
        except TimeoutError:
            break
        except OSError as error:
            last = f"GET {path} failed: {error}"
        else:
            if status is not None and (any_status or 200 <= status < 400):
                return ""
            last = f"GET {path} answered {status}" if status else "what listens on $PORT does not speak HTTP"
            if any_status:
                break  # something else than HTTP listens there; it will not change its mind
        await asyncio.sleep(INTERVAL_S)
    return last


async def _status(address: tuple[str, int], path: str, host: str) -> int | None:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: apimarket\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return None
    return int(words[1])
