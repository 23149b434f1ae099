"""Limits that gateways count together: what a call costs more, and whether one too many is let in.

One gateway carries calls of `wrk` without a limit that would ever be reached, counted in its memory and then in a
Redis; CPU is the kernel's too. Then two gateways, each a process, have 64 clients who ask as fast as they can for twice
as many calls as there are. Run: scripts/bench limits [--seconds 5]
"""

import argparse
import asyncio
import re
import subprocess
from contextlib import ExitStack

import psutil

from local_server.settings import Settings
from tests.bench._gateways import program_of
from tests.limiter.gateways import Gateway, gateway
from tests.limiter.redis_server import RedisServer

NEVER_REACHED = 1_000_000_000
CLIENTS, GATEWAYS, LIMIT = 64, 2, 5_000
HEADER = f"{'CPU a request, limit counted':<28} {'clients':>7} {'requests/s':>10} {'gateway µs':>10} {'Redis µs':>8}"


def cpu_s(pid: int | None) -> float:
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def load(one: Gateway, connections: int, seconds: int) -> int:
    """Returns how many requests were answered."""
    command = [program_of("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", f"{one.url}/me/hello/"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answered = re.search(r"(\d+) requests in", told)
    if answered is None or "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(told)
    return int(answered[1])


def cost(name: str, url: str, redis_pid: int | None, seconds: int) -> None:
    with gateway(url, NEVER_REACHED) as one:
        for connections in (1, 32):
            load(one, connections, 1)  # warm: pools fill
            before = cpu_s(one.pid), cpu_s(redis_pid)
            requests = load(one, connections, seconds)
            ours, its = cpu_s(one.pid) - before[0], cpu_s(redis_pid) - before[1]
            each_us = [spent_s / requests * 1e6 for spent_s in (ours, its)]
            print(f"{name:<28} {connections:>7} {requests / seconds:>10,.0f} {each_us[0]:>10.1f} {each_us[1]:>8.1f}")


async def admitted(gateways: list[Gateway]) -> int:
    """Of twice the limit, asked by all clients at once."""

    async def client(number: int) -> int:
        port = gateways[number % len(gateways)].port
        request = f"GET /me/hello/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        for _ in range(2 * LIMIT // CLIENTS + 1):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            await reader.readexactly(int(length[1]))
            count += head.startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        return count

    return sum(await asyncio.gather(*map(client, range(CLIENTS))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=Settings().redis_timeout_s, help="seconds for the Redis")
    options = parser.parse_args()
    seconds, patience_s = options.seconds, options.patience
    with RedisServer.started() as redis:
        print(HEADER, "-" * len(HEADER), sep="\n")
        cost("in the gateway's memory", "", None, seconds)
        cost("in a Redis", redis.url, redis.pid, seconds)
    with RedisServer.started() as redis:  # one that has counted nothing
        for name, url in (("alone", ""), ("together", redis.url)):
            with ExitStack() as stack:
                gateways = [stack.enter_context(gateway(url, LIMIT, patience_s)) for _ in range(GATEWAYS)]
                count = asyncio.run(admitted(gateways))
            told = f"{count:,} of {LIMIT:,} admitted, {(count - LIMIT) / LIMIT:+.1%}"
            if alone := sum(each.alone for each in gateways):
                told += f" ({alone:,} calls did not have their answer within {patience_s * 1000:g} ms)"
            print(f"{GATEWAYS} gateways that count {name}, {CLIENTS} clients: {told}")


if __name__ == "__main__":
    main()
