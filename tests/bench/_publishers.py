"""The peers of `scripts/bench sync`: each takes a directory to another place, over one counting proxy.

A peer is a context manager that starts its server, and yields what counts and how to publish what the directory holds.
Those that are not installed raise `Absent`, with the way to have them; npm's are fetched into a directory of their own.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.bench._counting import Count, counting
from tests.bench._gateways import START_S, Absent, fetch, program_of
from tests.bench.reload import free_port


class Publisher(NamedTuple):
    count: Count
    publish: Callable[[int], None]
    """Take the directory there as version number N: 1, 2, …"""


Peer = Callable[[Path, Path], AbstractContextManager[Publisher]]
"""(a directory for its own files, the directory to publish) -> it, ready"""


def run(command: list[str], directory: Path, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=directory, env=os.environ | dict(env or {}), capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} … failed: {done.stdout[-1000:]}{done.stderr[-2000:]}")


@contextmanager
def serving(command: list[str], place: Path, port: int) -> Iterator[None]:
    """`command` until the end of the block, from when it takes connections."""
    with (place / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=place, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        _wait_until_listens(port, process, place / "server.log")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_listens(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens at port {port}. The log says: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def git(place: Path, project: Path) -> Iterator[Publisher]:
    """`git push` of one commit to `git daemon`."""
    program, port = program_of("git", "git"), free_port()
    run([program, "init", "--quiet", "--bare", "there.git"], place)
    run([program, "init", "--quiet"], project)
    daemon = [program, "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all",
              "--enable=receive-pack", f"--base-path={place}", str(place)]  # fmt: skip
    who = {f"GIT_{role}_{what}": "bench@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    with serving(daemon, place, port), counting(port) as proxy:
        url = f"git://127.0.0.1:{proxy.port}/there.git"

        def publish(number: int) -> None:
            run([program, "add", "--all"], project)
            run([program, "commit", "--quiet", "--message", f"version {number}"], project, who)
            proxy.count.clear()
            run([program, "push", "--quiet", url, "HEAD:refs/heads/main"], project)

        yield Publisher(proxy.count, publish)


@contextmanager
def rsync(place: Path, project: Path) -> Iterator[Publisher]:
    """`rsync -az` to its daemon."""
    program, port = program_of("rsync", "rsync"), free_port()
    (place / "there").mkdir()
    (place / "rsyncd.conf").write_text(
        f"use chroot = no\n[there]\npath = {place}/there\nread only = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
    )
    daemon = [program, "--daemon", "--no-detach", "--address=127.0.0.1", f"--port={port}", "--config=rsyncd.conf"]
    with serving(daemon, place, port), counting(port) as proxy:

        def publish(number: int) -> None:
            proxy.count.clear()
            run([program, "-az", "--delete", f"{project}/", f"rsync://127.0.0.1:{proxy.port}/there/"], place)

        yield Publisher(proxy.count, publish)


REGISTRY = """
version: 0.1
log: {{ level: error }}
storage: {{ filesystem: {{ rootdirectory: {place}/there }} }}
http: {{ addr: "127.0.0.1:{port}" }}
"""


@contextmanager
def docker(place: Path, project: Path) -> Iterator[Publisher]:
    """`docker push` of an image that is nothing but the directory, to Docker's own registry."""
    program, registry = program_of("docker", "docker.io"), program_of("docker-registry", "docker-registry")
    port = free_port()
    if subprocess.run([program, "info"], capture_output=True).returncode:
        raise Absent("no Docker engine answers; start one, or set DOCKER_HOST")
    (place / "config.yml").write_text(REGISTRY.format(place=place, port=port))
    (place / "Dockerfile").write_text('FROM scratch\nCOPY . /app/\nCMD ["/app"]\n')
    server = [registry, "serve", "config.yml"]
    with serving(server, place, port), counting(port) as proxy:
        image = f"127.0.0.1:{proxy.port}/bench"

        def publish(number: int) -> None:
            build = [program, "build", "--quiet", "--file", str(place / "Dockerfile"), "--tag", image, str(project)]
            run(build, place, {"DOCKER_BUILDKIT": "0"})
            proxy.count.clear()
            run([program, "push", "--quiet", image], place)

        try:
            yield Publisher(proxy.count, publish)
        finally:
            subprocess.run([program, "rmi", "--force", image], capture_output=True)


VERDACCIO = """
storage: ./there
uplinks: {}
packages: { '**': { access: $all, publish: $all } }
max_body_size: 100mb
log: { type: stdout, format: pretty, level: warn }
"""


@contextmanager
def npm(place: Path, project: Path) -> Iterator[Publisher]:
    """`npm publish` to a local registry."""
    node, program, port = program_of("node", "nodejs"), program_of("npm", "npm"), free_port()
    # Verdaccio asks for this one by a tag, which not every mirror has.
    (place / "package.json").write_text(json.dumps({"overrides": {"node-fetch": "2.7.0"}}))
    fetch([program, "install", "--silent", "--no-fund", "--no-audit", "verdaccio@~6.1"], place)
    (place / "config.yaml").write_text(VERDACCIO)
    server = [node, "node_modules/verdaccio/bin/verdaccio", "--config", "config.yaml", "--listen", f"127.0.0.1:{port}"]
    with serving(server, place, port), counting(port) as proxy:
        where = f"//127.0.0.1:{proxy.port}/"

        def publish(number: int) -> None:
            (project / "package.json").write_text(json.dumps({"name": "bench", "version": f"1.0.{number}"}))
            proxy.count.clear()
            run([program, "publish", f"--registry=http:{where}", f"--{where}:_authToken=bench"], project)

        yield Publisher(proxy.count, publish)


PEERS: Mapping[str, Peer] = {"git push": git, "rsync -az": rsync, "docker push": docker, "npm publish": npm}
