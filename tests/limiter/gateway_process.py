"""A gateway in a process of its own, that counts limits in the Redis at URL, or alone where that is empty.

`python -m tests.limiter.gateway_process URL LIMIT WINDOW_S PATIENCE_S` prints its port, and ends when its standard
input does; then it prints how many calls it limited alone. Whatever is asked of `/me/hello/` is answered with `hello`.
"""

import asyncio
import sys

from local_server.domain.ids import ApiId
from local_server.domain.manifest import RateLimit
from local_server.domain.routing import Route
from local_server.gateway.asgi import Gateway
from local_server.gateway.edge import Edge
from local_server.gateway.hosts import Hosts
from local_server.gateway.serving import uvicorn_options
from local_server.limiter.counter import RedisCounter
from local_server.limiter.script import Script
from local_server.system import RealSystem
from tests.gateway.conftest import answering, control, raw_server, serving


async def run(url: str, limit: RateLimit, patience_s: float) -> None:
    gateway = Gateway(lambda _: None, RealSystem(), hosts=Hosts())
    if not url:
        await serve(gateway, limit)
        print(0)
        return
    counter = RedisCounter(Script(url), "apimarket:test", patience_s)
    shared = gateway.callers.share_limits(counter)
    await counter.open()
    await serve(gateway, limit)
    await counter.close()
    print(sum(shared.fallbacks.values()))


async def serve(gateway: Gateway, limit: RateLimit) -> None:
    hello = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
    async with raw_server(hello) as upstream, serving(Edge(control, gateway), **uvicorn_options()) as port:
        route = Route(ApiId("me/hello"), slug="hello", owner="me", availability="serving", rate_limit=limit)
        gateway.routing.route(route, gateway.routing.open(route.api_id, 1, "0" * 64, ("127.0.0.1", upstream)))
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await gateway.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], RateLimit(int(sys.argv[2]), int(sys.argv[3])), float(sys.argv[4])))
