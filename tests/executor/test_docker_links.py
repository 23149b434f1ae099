"""In a network that has IPv6, as a daemon may give to every container, a cloud's metadata is closed off too."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest
from docker.types import IPAMConfig, IPAMPool

from local_server.domain.manifest import Runtime
from local_server.executor.engines.docker import DockerEngine
from local_server.executor.engines.docker.images import image_name
from local_server.executor.engines.docker.networks import remove_network, subnets
from tests.contracts.engines import docker_case, nothing
from tests.e2e.conftest import wait_for

IMAGE = image_name(Runtime.PYTHON, None)
SO_BINDTODEVICE = 25

TRY = f"""
import errno, json, socket, sys

def attempt(address, device):
    with socket.socket(socket.AF_INET6) as connection:
        connection.settimeout(2)
        if device:
            connection.setsockopt(socket.SOL_SOCKET, {SO_BINDTODEVICE}, device)
        scope = socket.if_nametoindex("eth0") if address.startswith("fe80:") else 0
        try:
            connection.connect((address, 9, 0, scope))
        except TimeoutError:
            return "nobody answers"
        except OSError as error:
            return errno.errorcode[error.errno]
        return "connected"

print(json.dumps([[attempt(address, device) for device in (b"", b"eth0")] for address in sys.argv[1:]]))
"""


@pytest.fixture
def container() -> Iterator[tuple[str, str]]:
    """A container in a network with IPv6, and the address of the network's gateway."""
    client, name, prefix = docker.from_env().api, f"test-{secrets.token_hex(6)}", f"fd{secrets.token_hex(1)}"
    pools = [IPAMPool(subnet=f"{prefix}:1::/64"), IPAMPool(subnet=next(subnets(name)))]
    client.create_network(name, enable_ipv6=True, ipam=IPAMConfig(pool_configs=pools))
    config = client.create_host_config(network_mode=name)
    made = client.create_container(IMAGE, ["sleep", "60"], host_config=config)["Id"]
    try:
        client.start(made)
        yield made, f"{prefix}:1::1"
    finally:
        client.remove_container(made, force=True)
        remove_network(client, name)
        client.close()


def tried(container: str, *addresses: str) -> dict[str, Any]:
    client = docker.from_env().api
    try:
        act = client.exec_create(container, ["python", "-c", TRY, *addresses])["Id"]
        return dict(zip(addresses, json.loads(client.exec_start(act)), strict=True))
    finally:
        client.close()


@pytest.mark.docker
class TestWithIpv6:
    async def test_metadata_is_refused_even_to_who_names_the_interface(
        self, tmp_path: Path, container: tuple[str, str]
    ) -> None:
        made, gateway = container
        metadata = ("fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe")
        async for case in docker_case(tmp_path, Runtime.PYTHON):
            engine = cast("DockerEngine", case.engine)
            await engine._images.ensure(IMAGE, nothing)
            for _ in range(2):  # a server that takes the container up again does it again
                assert await engine._links.close_off(made, IMAGE) == ""
        wait_for(lambda: tried(made, gateway)[gateway] == ["ECONNREFUSED"] * 2, "the gateway to take up its address")
        assert tried(made, *metadata) == dict.fromkeys(metadata, ["ENETUNREACH"] * 2)
