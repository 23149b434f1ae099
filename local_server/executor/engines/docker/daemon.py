"""The way to the Docker daemon: the SDK for single calls, connections of our own for what lasts.

The SDK blocks, so its calls run in a small pool. Attaching, watching events and pulling last long and must end at once
when they are cancelled; they speak HTTP over an asyncio connection to the same address.
"""

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import docker
from docker.context import ContextAPI
from docker.errors import DockerException
from requests.exceptions import RequestException

from local_server.domain.executor_errors import EngineUnavailable

T = TypeVar("T")
Client = docker.APIClient

_CALL_S = 60
_CONNECT_S = 10.0
_LINE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What does not change while the daemon runs."""

    version: str
    operating_system: str
    cpus: int
    rootless: bool
    dials_containers: bool
    """Whether this machine reaches the containers' own addresses (native Linux), or only published ports."""


class Refused(Exception):
    """The daemon answered a connection of ours with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Stream:
    """An open connection to the daemon, behind the head of its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]) -> None:
        self.reader, self.writer, self.headers = reader, writer, headers

    async def json_lines(self) -> AsyncIterator[dict[str, Any]]:
        """The JSON values of an answer, one a line."""
        if length := self.headers.get("content-length"):
            yield json.loads(await self.reader.readexactly(int(length)))
            return
        held = b""
        while size := int((await self.reader.readline()).split(b";")[0] or b"0", 16):
            held += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
            *lines, held = held.split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)
        if held.strip():
            yield json.loads(held)

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (OSError, ssl.SSLError):
            return  # the other side was first


class Daemon:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._pool = ThreadPoolExecutor(8, "docker")
        self._client: Client | None = None
        self._facts: DaemonFacts | None = None
        self.url = daemon_url(environment)

    async def call(self, act: Callable[[Client], T]) -> T:
        """Run one SDK call in the pool. Raises EngineUnavailable when the daemon cannot be reached; what the daemon
        refuses stays a docker.errors.APIError."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.call_here, act)

    def _call(self, act: Callable[[Client], T]) -> T:
        _knock(self.url)
        if self._client is None:
            check_address(self.url)
            base = {"base_url": self.url, "tls": self._tls()} if self.url else {}
            self._client = Client(version="auto", timeout=_CALL_S, **base)
        return act(self._client)

    def _tls(self) -> Any:
        if not self._environment.get("DOCKER_TLS_VERIFY"):
            return False
        certificate, key, authority = self._certificates()
        return docker.tls.TLSConfig(client_cert=(certificate, key), ca_cert=authority, verify=True)

    def _tls_context(self) -> ssl.SSLContext:
        certificate, key, authority = self._certificates()
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(certificate, key)
        return context

    def _certificates(self) -> tuple[str, str, str]:
        folder = self._environment.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")
        certificate, key, authority = (os.path.join(folder, name) for name in ("cert.pem", "key.pem", "ca.pem"))
        return certificate, key, authority

    async def make(self, act: Callable[[Client], str], undo: Callable[[Client, str], None]) -> str:
        """Run a call that makes something and returns its id. When it is cancelled meanwhile, what it makes all the
        same is undone before the caller goes on."""
        making = asyncio.ensure_future(self.call(act))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            await asyncio.wait({making})
            if not making.cancelled() and making.exception() is None:
                made = making.result()
                await self.call(lambda client: undo(client, made))
            raise

    def call_here(self, act: Callable[[Client], T]) -> T:
        """The same in the caller's own thread. Blocking."""
        try:
            return self._call(act)
        except docker.errors.APIError:
            raise
        except (DockerException, RequestException, OSError) as error:
            raise EngineUnavailable("docker", self._reason(error)) from error

    async def facts(self) -> DaemonFacts:
        if self._facts is None:
            info = await self.call(lambda client: client.info())
            self._facts = read_facts(info, self.url)
        return self._facts

    def forget(self) -> None:
        """The daemon may have gone, and be another one when it is back."""
        self._facts = None

    async def open(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Stream:
        """Send a request whose answer lasts. Raises EngineUnavailable, or Refused with the daemon's own words."""
        version = await self.call(lambda client: client.api_version)
        lines = [f"{method} /v{version}{path} HTTP/1.1", "Host: docker", "Content-Length: 0"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise EngineUnavailable("docker", self._reason(error)) from error
        stream = Stream(reader, writer, {})
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            status, stream.headers = await _read_head(reader)
            if status >= 400:
                raise Refused(status, await _read_refusal(reader, stream.headers))
        except (OSError, EOFError) as error:
            await stream.close()
            raise EngineUnavailable("docker", self._reason(error)) from error
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(self.url)
        if address.scheme == "unix":
            return await asyncio.open_unix_connection(address.path, limit=_LINE_BYTES)
        if address.scheme == "npipe":
            return await _open_pipe(address.path)
        context = self._tls_context() if self._environment.get("DOCKER_TLS_VERIFY") else None
        return await asyncio.open_connection(address.hostname, address.port or 2375, ssl=context, limit=_LINE_BYTES)

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, PermissionError) or "Permission denied" in str(error):
            return f"no permission to use {self.url} (is your user in the group 'docker'?)"
        if isinstance(error, FileNotFoundError) or "No such file" in str(error):
            return f"nothing listens at {self.url} (is Docker started?)"
        if "Connection refused" in str(error):
            return f"nothing listens at {self.url} (is Docker started?)"
        return f"{self.url}: {str(error) or type(error).__name__}"

    def close(self) -> None:
        """Let go of the pool and the SDK's connections. May be called twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()


def daemon_url(environment: Mapping[str, str]) -> str:
    """Where the daemon listens: DOCKER_HOST, else the docker command's current context, else the usual place."""
    if host := environment.get("DOCKER_HOST"):
        return host
    usual = "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"
    try:
        context = ContextAPI.get_current_context()
    except DockerException:
        return usual
    return (context.Host if context else None) or usual


def check_address(url: str) -> None:
    """Raises EngineUnavailable for a daemon on another machine: it cannot see the files of an API on this one."""
    address = urlsplit(url)
    here = {"localhost", "127.0.0.1", "::1", None, ""}
    if address.scheme in {"unix", "npipe"} or (address.scheme in {"tcp", "http", "https"} and address.hostname in here):
        return
    raise EngineUnavailable(
        "docker",
        f"DOCKER_HOST is {url}, another machine, which cannot see the files on this one; "
        "use a daemon of this machine, or --engine process",
    )


def read_facts(info: Mapping[str, Any], url: str) -> DaemonFacts:
    system = str(info.get("OperatingSystem", ""))
    rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
    native = sys.platform == "linux" and "Docker Desktop" not in system and not rootless and url.startswith("unix:")
    return DaemonFacts(str(info.get("ServerVersion", "")), system, int(info.get("NCPU") or 1), rootless, native)


def query(path: str, **parameters: str) -> str:
    """A path with its query string."""
    return path + "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())


def _knock(url: str) -> None:
    """Connect, and raise OSError when nobody is there: the SDK would leave a socket open. Takes 50 µs."""
    address = urlsplit(url)
    if address.scheme == "unix":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_S)
            probe.connect(address.path)


async def _open_pipe(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(_LINE_BYTES, loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    # Only the Windows loop has named pipes.
    transport, _ = await loop.create_pipe_connection(lambda: protocol, path.replace("/", "\\"))  # type: ignore[attr-defined]
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.split(":", 1) for line in head[1:] if ":" in line)
    return int(head[0].split(" ")[1]), {name.lower(): value.strip() for name, value in fields}


async def _read_refusal(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> str:
    length = int(headers.get("content-length", "0") or 0)
    body = await reader.readexactly(min(length, _LINE_BYTES)) if length else await reader.readline()
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()
