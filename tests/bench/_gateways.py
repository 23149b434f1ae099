"""The peers of `scripts/bench gateway`: each a reverse proxy for one upstream, configured to do nothing else.

A peer is a context manager that yields a proxy running on one core. Those that are not
installed raise `Absent`, with the way to have them; npm's and PyPI's are fetched into a directory of their own.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.bench.reload import free_port

START_S = 30.0


class Absent(Exception):
    """The peer is not on this machine, and how to have it."""


Peer = Callable[[Path, int, int], AbstractContextManager["Proxy"]]
"""(a directory for its files, the upstream's port, the core to run on) -> it, running"""


class Proxy(NamedTuple):
    url: str
    pid: int
    """Of the process that was started; others may be its children."""


def program_of(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise Absent(f"{name} is not on PATH; on Debian: apt install {package}")
    return found


@contextmanager
def running(
    command: list[str], url: str, core: int, directory: Path, env: Mapping[str, str] | None = None
) -> Iterator[Proxy]:
    """`command` on one core until it answers at `url`, and until the end of the block."""
    with (directory / "output.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=directory, stdout=log, stderr=log, env=os.environ | dict(env or {}), start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )  # fmt: skip
    try:
        wait_until_answers(url, process, directory / "output.log")
        yield Proxy(url, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{url} does not answer. The log says: {log.read_text(errors='replace')[-2000:]}")


NGINX = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  {rest}
}}
"""


@contextmanager
def nginx_with(rest: str, directory: Path, url: str, core: int) -> Iterator[Proxy]:
    program = program_of("nginx", "nginx-light")
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(directory=directory, rest=rest))
    with running([program, "-c", str(config), "-p", str(directory)], url, core, directory) as proxy:
        yield proxy


@contextmanager
def nginx(directory: Path, upstream: int, core: int) -> Iterator[Proxy]:
    port = free_port()
    rest = f"""
  upstream api {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}"""
    with nginx_with(rest, directory, f"http://127.0.0.1:{port}/", core) as proxy:
        yield proxy


@contextmanager
def caddy(directory: Path, upstream: int, core: int) -> Iterator[Proxy]:
    program, port = program_of("caddy", "caddy"), free_port()
    (directory / "Caddyfile").write_text(
        f"{{\n admin off\n auto_https off\n}}\nhttp://127.0.0.1:{port} {{\n reverse_proxy 127.0.0.1:{upstream}\n}}\n"
    )
    command = [program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    env = {"GOMAXPROCS": "1", "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    with running(command, f"http://127.0.0.1:{port}/", core, directory, env) as proxy:
        yield proxy


@contextmanager
def haproxy(directory: Path, upstream: int, core: int) -> Iterator[Proxy]:
    program, port = program_of("haproxy", "haproxy"), free_port()
    config = directory / "haproxy.cfg"
    config.write_text(
        "global\n nbthread 1\n"
        "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n http-reuse always\n"
        f"frontend in\n bind 127.0.0.1:{port}\n default_backend api\n"
        f"backend api\n server one 127.0.0.1:{upstream}\n"
    )
    with running([program, "-db", "-f", str(config)], f"http://127.0.0.1:{port}/", core, directory) as proxy:
        yield proxy


FASTIFY = """
const fastify = require('fastify')({ logger: false });
fastify.register(require('@fastify/http-proxy'), { upstream: 'http://127.0.0.1:UPSTREAM', http2: false });
fastify.listen({ host: '127.0.0.1', port: PORT });
"""


@contextmanager
def fastify(directory: Path, upstream: int, core: int) -> Iterator[Proxy]:
    node, npm, port = program_of("node", "nodejs"), program_of("npm", "npm"), free_port()
    (directory / "package.json").write_text("{}")
    fetch([npm, "install", "--silent", "--no-fund", "--no-audit", "fastify@5", "@fastify/http-proxy@11"], directory)
    (directory / "proxy.cjs").write_text(FASTIFY.replace("UPSTREAM", str(upstream)).replace("PORT", str(port)))
    with running([node, "proxy.cjs"], f"http://127.0.0.1:{port}/", core, directory) as proxy:
        yield proxy


AIOHTTP = """
import aiohttp
from aiohttp import web

HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host"}


async def handle(request):
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP]
    body = request.content if request.can_read_body else None
    url = "http://127.0.0.1:UPSTREAM" + request.path_qs
    async with request.app["session"].request(request.method, url, headers=headers, data=body) as answer:
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP]
        out = web.StreamResponse(status=answer.status, headers=kept)
        await out.prepare(request)
        async for chunk in answer.content.iter_any():
            await out.write(chunk)
        return out


async def session(app):
    app["session"] = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
    yield
    await app["session"].close()


app = web.Application()
app.cleanup_ctx.append(session)
app.router.add_route("*", "/{rest:.*}", handle)
web.run_app(app, host="127.0.0.1", port=PORT, access_log=None, print=None)
"""


@contextmanager
def aiohttp(directory: Path, upstream: int, core: int) -> Iterator[Proxy]:
    port = free_port()
    site = directory / "site"
    fetch([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), "aiohttp>=3.12,<4"], directory)
    (directory / "proxy_app.py").write_text(AIOHTTP.replace("UPSTREAM", str(upstream)).replace("PORT", str(port)))
    command = [sys.executable, "proxy_app.py"]
    env = {"PYTHONPATH": str(site)}
    with running(command, f"http://127.0.0.1:{port}/", core, directory, env) as proxy:
        yield proxy


def fetch(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Absent(f"{' '.join(command[:4])} … failed: {done.stderr.strip().splitlines()[-1:]}")


PEERS: Mapping[str, Peer] = {
    "nginx proxy_pass": nginx,
    "HAProxy": haproxy,
    "Caddy reverse_proxy": caddy,
    "Node: @fastify/http-proxy": fastify,
    "Python: aiohttp": aiohttp,
}
