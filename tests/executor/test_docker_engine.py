"""What only Docker promises: isolation, limits, and sandboxes that end without being asked."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import httpx2
import pytest

from local_server.domain.executor_errors import EngineUnavailable, ImageMissing, SandboxFailed
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Runtime
from local_server.executor.engine import EngineSettings, LayerRequest
from local_server.executor.engines.docker import DockerEngine, links
from local_server.executor.engines.docker.daemon import Daemon, check_address, daemon_url, read_facts
from local_server.executor.engines.docker.hardening import Box, container_config
from local_server.executor.engines.docker.images import PullCount, image_name
from local_server.executor.engines.docker.links import PUBLIC_RESOLVERS
from local_server.executor.engines.docker.networks import (
    create_in_own_subnet,
    ensure_network,
    network_name,
    remove_network,
    subnets,
)
from local_server.executor.layers.installer import Steps
from tests.contracts.engines import EngineCase, docker_case, get, nothing

FACTS = read_facts({"ServerVersion": "27", "OperatingSystem": "Debian", "NCPU": 4}, "unix:///var/run/docker.sock")

PROBE = """
import json, os, socket, sys

def attempt(act):
    try:
        return str(act())
    except Exception as error:
        return type(error).__name__ + ": " + str(error)

def connect(address):
    socket.create_connection(tuple(address), 1).close()
    return "connected"

def status():
    return {line.split(":")[0]: line.split(":")[1].strip() for line in open("/proc/self/status")}

def forks(count=2000):
    children = []
    try:
        for _ in range(count):
            child = os.fork()
            if child == 0:
                import time
                time.sleep(60)
                os._exit(0)
            children.append(child)
        return "no limit"
    except OSError as error:
        return f"{len(children)} then {error}"
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)

def hog():
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20) * 16))

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    expression = bytes.fromhex(scope["query_string"].decode()).decode()
    body = json.dumps(eval(expression)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


class Probe:
    """A program that evaluates what it is asked, inside its sandbox."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def ask(self, expression: str) -> Any:
        return json.loads(await get(f"{self.url}?{expression.encode().hex()}"))


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[EngineCase]:
    async for made in docker_case(tmp_path, Runtime.PYTHON):
        yield made


async def probe(case: EngineCase, **limits: Any) -> Probe:
    tree = case.tree(1, "one", {"main.py": PROBE})
    sandbox, reader = await case.sandbox(tree, **limits)
    return Probe(await case.serve(sandbox, reader, 1, tree))


CLOSED_OFF = """[
    line.split()[7] for line in open("/proc/net/route") if line.split()[1] == "0000FEA9" and line.split()[3] == "0201"
]"""
"""The masks of routes that refuse 169.254.0.0, as the kernel writes them."""


@pytest.mark.docker
class TestLinkLocalAddresses:
    async def test_are_closed_off_before_anything_runs_and_after_a_restart(self, case: EngineCase) -> None:
        tree = case.tree(1, "one", {"main.py": PROBE})
        sandbox, reader = await case.sandbox(tree)
        inside = Probe(await case.serve(sandbox, reader, 1, tree))
        assert await inside.ask(CLOSED_OFF) == ["0000FFFF"]
        for address in ("169.254.169.254", "168.63.129.16", "100.100.100.200"):
            assert "No route to host" in await inside.ask(f"attempt(lambda: connect(['{address}', 80]))")
        await case.kill_agent(sandbox)  # its policy starts the container again, with a network that is new
        await reader.until("hello")
        inside = Probe(await case.serve(sandbox, reader, 2, tree))
        assert await inside.ask(CLOSED_OFF) == ["0000FFFF"]

    async def test_are_closed_off_from_packages_that_are_installed(self, case: EngineCase) -> None:
        engine = case.engine
        assert isinstance(engine, DockerEngine)
        image, said = image_name(Runtime.PYTHON, None), list[str]()
        await engine._images.ensure(image, nothing)
        steps = Steps([["cat", "/proc/net/route"]], {}, "/")
        assert await engine._installer.run(image, steps, (), {}, said.append) == 0
        assert [line.split()[3] for line in said if "0000FEA9" in line] == ["0201"]

    async def test_what_closed_them_is_gone(self, case: EngineCase) -> None:
        inside = await probe(case)
        assert int((await inside.ask("status()"))["CapBnd"], 16) == 0
        client = docker.from_env()
        try:
            install_id = case.engine._settings.install_id  # type: ignore[attr-defined]
            labels = {"label": [f"dev.apimarket.install={install_id}", "dev.apimarket.role=links"]}
            assert client.containers.list(all=True, filters=labels) == []
        finally:
            client.close()

    @pytest.mark.parametrize("must", [False, True])
    async def test_where_they_cannot_be_closed_others_code_does_not_run(
        self, case: EngineCase, monkeypatch: pytest.MonkeyPatch, must: bool
    ) -> None:
        monkeypatch.setattr(links, "_CLOSE", "echo not here >&2; exit 3")
        settings = case.engine._settings  # type: ignore[attr-defined]
        case.engine._settings = replace(settings, for_others=must)  # type: ignore[attr-defined]
        tree = case.tree(1, "one", {"main.py": PROBE})
        sandbox, reader = await case.sandbox(tree)
        if must:
            with pytest.raises(SandboxFailed, match="exit code 3: not here"):
                await case.announce(sandbox, 1, tree)
            return
        inside = Probe(await case.serve(sandbox, reader, 1, tree))
        assert await inside.ask("1") == 1
        assert "exit code 3: not here" in str(reader.seen)

    @pytest.mark.parametrize(
        ("named", "asked"),
        [
            ("nameserver 127.0.0.53\n", ()),
            ("# nothing\nnameserver\n", ()),
            ("nameserver 169.254.169.254\nsearch c.internal\n", PUBLIC_RESOLVERS),
            ("nameserver 169.254.169.253\nnameserver 10.0.0.2\n", ("10.0.0.2",)),
            ("nameserver 168.63.129.16\nsearch x.internal.cloudapp.net\n", PUBLIC_RESOLVERS),
            ("nameserver fd00:ec2::253\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n", ("2001:db8::1",)),
            ("nameserver localhost\nnameserver 10.0.0.2\n", ()),
        ],
    )
    def test_a_resolver_among_them_is_replaced(self, tmp_path: Path, named: str, asked: tuple[str, ...]) -> None:
        (tmp_path / "resolv.conf").write_text(named)
        assert links._resolvers((tmp_path / "none", tmp_path / "resolv.conf")) == asked


@pytest.mark.docker
class TestHardening:
    async def test_a_program_has_no_privileges(self, case: EngineCase) -> None:
        inside = await probe(case)
        status = await inside.ask("status()")
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[capabilities], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert "0" not in status["Uid"].split()
        assert "0" not in status["Gid"].split()
        assert await inside.ask("os.path.exists('/var/run/docker.sock')") is False

    async def test_only_tmp_can_be_written(self, case: EngineCase) -> None:
        inside = await probe(case)
        for place in (
            "/x",
            "/srv/x",
            "/srv/api/trees/x",
            "/srv/api/layer/x",
            "/srv/agent/x",
            "/srv/support/x",
            "/usr/x",
        ):
            refusal = await inside.ask(f"attempt(lambda: open({place!r}, 'w'))")
            assert "Read-only" in refusal or "Permission denied" in refusal, place
        assert await inside.ask("attempt(lambda: open('/tmp/x', 'w').write('fine'))") == "4"
        full = await inside.ask("attempt(lambda: open('/tmp/y', 'wb').write(bytes(65 << 20)))")
        assert "No space left" in full

    async def test_the_servers_environment_stays_outside(
        self, case: EngineCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SERVER_SECRET", "do not tell")
        inside = await probe(case)
        assert "do not tell" not in json.dumps(await inside.ask("dict(os.environ)"))


@pytest.mark.docker
class TestLimits:
    async def test_a_fork_bomb_meets_the_limit_of_processes(self, case: EngineCase) -> None:
        inside = await probe(case)
        count, _, refusal = (await inside.ask("forks()")).partition(" then ")
        assert int(count) < 256
        assert "temporarily unavailable" in refusal
        assert await inside.ask("'alive'") == "alive"

    async def test_a_memory_hog_is_ended_and_told_as_such(self, case: EngineCase) -> None:
        tree = case.tree(1, "one", {"main.py": PROBE})
        sandbox, reader = await case.sandbox(tree, memory_mb=96)
        inside = Probe(await case.serve(sandbox, reader, 1, tree))
        with pytest.raises(httpx2.TransportError):
            await inside.ask("hog()")
        exited = await reader.until("exited", "hello")
        lines = [message["line"] for message in reader.seen if message["t"] == "log"]
        assert any("out of memory, the limit is 96 MB" in line for line in lines), reader.seen
        if exited["t"] == "exited":
            assert exited["out_of_memory"] is True
        again = await case.serve(sandbox, reader, 2, case.tree(2, "two"))
        assert await get(again) == "two"


@pytest.mark.docker
class TestNetwork:
    async def test_siblings_cannot_reach_each_other(self, case: EngineCase, tmp_path: Path) -> None:
        first = await probe(case)
        case.api_id = ApiId("another")
        second = await probe(case)
        host, port = second.url.removeprefix("http://").rstrip("/").split(":")
        assert await second.ask("'alive'") == "alive"
        assert await first.ask(f"attempt(lambda: connect(({host!r}, {port})))") != "connected"

    async def test_without_egress_nothing_outside_is_reached(self, case: EngineCase) -> None:
        inside = await probe(case, egress=False)
        for address in (("1.1.1.1", 53), ("169.254.169.254", 80)):
            assert await inside.ask(f"attempt(lambda: connect({address!r}))") != "connected"
        assert "gaierror" in await inside.ask("attempt(lambda: socket.getaddrinfo('example.com', 443))")

    async def test_a_subnet_of_its_own_is_taken_where_it_is_free(self) -> None:
        name = network_name(f"test-{secrets.token_hex(6)}", "subnet", egress=True)
        client = docker.from_env().api
        try:
            create_in_own_subnet(client, name, {}, internal=False)
            config = client.networks(names=[f"^{name}$"])[0]["IPAM"]["Config"]
            assert config[0]["Subnet"] in set(subnets(name))
            ensure_network(client, name, {}, internal=False)
        finally:
            remove_network(client, name)
            remove_network(client, name)
            client.close()

    async def test_networks_beyond_the_daemons_pools_get_a_subnet_of_their_own(self) -> None:
        found = list(subnets("apimarket-1"))
        assert len(set(found)) == len(found) == 16
        assert all(subnet.startswith("10.213.") and subnet.endswith("/27") for subnet in found)
        assert network_name("i", "a", egress=True) != network_name("i", "b", egress=True)
        assert network_name("i", "a", egress=False) == network_name("i", "a", egress=True) + "-internal"


@pytest.mark.docker
class TestGone:
    async def test_a_container_removed_by_hand_ends_its_sandbox(self, case: EngineCase) -> None:
        sandbox, reader = await case.sandbox(case.tree(1, "one"))
        await reader.until("hello")
        client = docker.from_env()
        client.containers.get(sandbox.id).remove(force=True)
        client.close()
        await reader.rest()
        assert sandbox.exit is not None
        assert sandbox.exit.detail == "the container was removed"

    async def test_a_container_killed_by_hand_ends_its_sandbox(self, case: EngineCase) -> None:
        sandbox, reader = await case.sandbox(case.tree(1, "one"))
        await reader.until("hello")
        client = docker.from_env()
        client.containers.get(sandbox.id).kill()
        client.close()
        await reader.rest()
        assert sandbox.exit is not None
        assert sandbox.exit.code == 137
        assert not sandbox.exit.out_of_memory
        assert case.remains(sandbox) == []

    async def test_three_crashes_in_ten_seconds_end_it(self, case: EngineCase) -> None:
        sandbox, reader = await case.sandbox(case.tree(1, "one"))
        await reader.until("hello")

        async def crash() -> None:
            # More than three: one that dies before the engine is attached again is not seen as a crash of its own.
            with suppress(docker.errors.NotFound):
                for _ in range(8):
                    await case.kill_agent(sandbox)
                    await asyncio.sleep(0.6)

        crashing = asyncio.create_task(crash())
        await reader.rest()
        crashing.cancel()
        await asyncio.wait({crashing})
        assert sandbox.exit is not None
        assert "crashed 3 times" in sandbox.exit.detail
        assert case.remains(sandbox) == []


@pytest.mark.docker
class TestAdopting:
    async def test_what_is_ours_and_wrong_is_removed_and_nothing_else(self, case: EngineCase) -> None:
        client = docker.from_env()
        assert isinstance(case.engine, DockerEngine)
        ours = {"dev.apimarket.install": case.engine._settings.install_id, "dev.apimarket.role": "sandbox"}
        others = {"dev.apimarket.install": f"other-{secrets.token_hex(4)}"}
        wrong, foreign = (
            client.containers.run("python:3.11-slim", ["sleep", "60"], detach=True, network="none", labels=labels)
            for labels in ({**ours, "dev.apimarket.protocol": "0"}, others)
        )
        try:
            assert await case.engine.adopt() == []
            left = {container.id for container in client.containers.list(all=True)}
            assert wrong.id not in left
            assert foreign.id in left
        finally:
            foreign.remove(force=True)
            client.close()


class Between:
    """Stands between the engine and the daemon, and can let the daemon seem gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = os.environ["DOCKER_HOST"].removeprefix("unix://")
        far_reader, far_writer = await asyncio.open_unix_connection(there)
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
            await self._server.wait_closed()
            self.path.unlink(missing_ok=True)
            self._server = None
            self._writers.clear()


@pytest.mark.docker
@pytest.mark.skipif(not os.environ.get("DOCKER_HOST", "").startswith("unix:"), reason="needs a daemon on a Unix socket")
class TestDaemonGone:
    async def test_a_sandbox_is_taken_up_again_when_the_daemon_is_back(self, case: EngineCase, tmp_path: Path) -> None:
        between = Between(tmp_path / "docker.sock")
        await between.open()
        assert isinstance(case.engine, DockerEngine)
        environment = {**os.environ, "DOCKER_HOST": f"unix://{between.path}"}
        settings = EngineSettings(tmp_path, case.engine._settings.install_id, environment)
        case.engine = DockerEngine(settings)
        tree = case.tree(1, "one")
        sandbox, reader = await case.sandbox(tree)
        url = await case.serve(sandbox, reader, 1, tree)
        await between.close()
        assert not (await case.engine.health()).available
        assert await get(url) == "one"
        with pytest.raises(SandboxFailed):
            await sandbox.send({"t": "hello"})
        await between.open()
        hello = await reader.until("hello")
        assert [gen["gen"] for gen in hello["gens"]] == [1]
        assert (await case.engine.health()).available
        await sandbox.stop(grace_s=1)
        await case.engine.close()
        await between.close()


@pytest.mark.docker
class TestImages:
    async def test_a_missing_image_is_named_with_the_daemons_reason(self, tmp_path: Path) -> None:
        engine = DockerEngine(EngineSettings(tmp_path, "test-images", dict(os.environ)))
        try:
            with pytest.raises(ImageMissing, match=r"python:0\.0\.0-slim") as missing:
                await engine.prepare(LayerRequest(Runtime.PYTHON, "0.0.0", tmp_path), nothing)
            assert missing.value.hint.endswith("docker pull python:0.0.0-slim")
        finally:
            await engine.close()

    def test_a_manifest_version_chooses_the_image(self) -> None:
        assert image_name(Runtime.PYTHON, None) == "python:3.11-slim"
        assert image_name(Runtime.PYTHON, "3.12") == "python:3.12-slim"
        assert image_name(Runtime.NODE, "20") == "node:20-alpine"
        assert image_name(Runtime.GO, "1.22") == "golang:1.22-alpine"

    def test_pulling_tells_each_layer_once(self) -> None:
        count = PullCount("python:3.11-slim")
        events: list[dict[str, Any]] = [
            {"status": "Pulling from library/python", "id": "3.11-slim"},
            {"status": "Pulling fs layer", "id": "a"},
            {"status": "Already exists", "id": "b"},
            {"status": "Downloading", "id": "a", "progressDetail": {"current": 1}},
            {"status": "Downloading", "id": "a", "progressDetail": {"current": 2}},
            {"status": "Pull complete", "id": "a"},
            {"status": "Digest: sha256:0"},
        ]
        lines = [line for event in events if (line := count.see(event))]
        assert lines == [f"python:3.11-slim layer {done}" for done in ("0/1", "1/2", "2/2")]


class TestDaemon:
    async def test_no_daemon_is_a_state_and_not_an_exception(self, tmp_path: Path) -> None:
        settings = EngineSettings(tmp_path, "none", {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"})
        engine = DockerEngine(settings)
        health = await engine.health()
        assert not health.available
        assert "is Docker started?" in health.detail
        with pytest.raises(EngineUnavailable):
            await engine.prepare(LayerRequest(Runtime.PYTHON, None, tmp_path), nothing)
        await engine.close()

    @pytest.mark.parametrize("url", ["tcp://10.0.0.9:2375", "ssh://ada@build"])
    def test_a_daemon_of_another_machine_is_refused(self, url: str) -> None:
        with pytest.raises(EngineUnavailable, match="another machine"):
            check_address(url)

    def test_containers_are_dialled_on_native_linux_only(self) -> None:
        assert FACTS.dials_containers
        desktop = read_facts({"OperatingSystem": "Docker Desktop"}, "unix:///run/docker.sock")
        rootless = read_facts({"SecurityOptions": ["name=rootless"]}, "unix:///run/user/1000/docker.sock")
        assert not desktop.dials_containers
        assert not rootless.dials_containers

    def test_docker_host_is_where_the_daemon_is(self) -> None:
        assert daemon_url({"DOCKER_HOST": "unix:///x.sock"}) == "unix:///x.sock"

    async def test_close_may_be_called_twice(self) -> None:
        daemon = Daemon({"DOCKER_HOST": "unix:///none.sock"})
        daemon.close()
        daemon.close()


class TestContainerConfig:
    def test_published_ports_listen_on_loopback_only(self) -> None:
        box = Box("image", ["run"], "network", {}, published={8001: 41000})
        config = container_config(box, FACTS)
        assert config["HostConfig"]["PortBindings"] == {"8001/tcp": [{"HostIp": "127.0.0.1", "HostPort": "41000"}]}

    def test_more_processors_than_there_are_become_all_of_them(self) -> None:
        config = container_config(Box("image", ["run"], "network", {}, cpus=64), FACTS)
        assert config["HostConfig"]["NanoCpus"] == 4_000_000_000
