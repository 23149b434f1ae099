"""One network for each API, so that siblings cannot reach each other; containers of one network cannot either.

The daemon's default address pools hold about thirty networks. Beyond that a network gets a small subnet of its own.
"""

import hashlib
from collections.abc import Iterator, Mapping

from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from local_server.executor.engines.docker.daemon import Client
from local_server.executor.engines.docker.hardening import LABEL

_SUBNETS = 2048
_ATTEMPTS = 16
_OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}


def network_name(install_id: str, key: str, *, egress: bool) -> str:
    """The name is made from what the network is for, so that two containers of one API share it."""
    digest = hashlib.sha256(f"{install_id}\0{key}".encode()).hexdigest()[:16]
    return f"apimarket-{digest}" + ("" if egress else "-internal")


def is_internal(name: str) -> bool:
    """Whether the network leads nowhere outside."""
    return name.endswith("-internal")


def ensure_network(client: Client, name: str, labels: Mapping[str, str], *, internal: bool) -> None:
    """Create the network unless it is there. Blocking. Raises docker.errors.APIError."""
    if client.networks(names=[f"^{name}$"]):
        return
    try:
        _create(client, name, labels, internal, None)
    except APIError as error:
        if error.status_code == 409:  # somebody else was first
            return
        if "address pool" not in str(error.explanation):
            raise
        create_in_own_subnet(client, name, labels, internal=internal)


def create_in_own_subnet(client: Client, name: str, labels: Mapping[str, str], *, internal: bool) -> None:
    """Where the daemon has no address pool left. Blocking. Raises docker.errors.APIError."""
    *others, last = subnets(name)
    for subnet in others:
        try:
            _create(client, name, labels, internal, subnet)
        except APIError as error:
            if "overlap" not in str(error.explanation):
                raise
        else:
            return
    _create(client, name, labels, internal, last)


def subnets(name: str) -> Iterator[str]:
    """Candidates of 32 addresses each, for twice as many containers as an API may have, within 10.213.0.0/16, beginning
    at a place the name decides."""
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for attempt in range(_ATTEMPTS):
        index = (first + attempt * 257) % _SUBNETS
        yield f"10.213.{index >> 3}.{(index & 7) << 5}/27"


def _create(client: Client, name: str, labels: Mapping[str, str], internal: bool, subnet: str | None) -> None:
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]) if subnet else None
    client.create_network(
        name,
        driver="bridge",
        internal=internal,
        options=_OPTIONS,
        ipam=ipam,
        labels=dict(labels),
        check_duplicate=True,
    )


def remove_network(client: Client, name: str) -> None:
    """Remove a network unless a container still uses it or it is gone already. Blocking."""
    try:
        client.remove_network(name)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 403:  # it has active endpoints: another container of the same API
            raise


def remove_unused_networks(client: Client, install_id: str) -> None:
    """Remove this installation's networks that no container uses. Blocking."""
    for network in client.networks(filters={"label": f"{LABEL}install={install_id}"}):
        remove_network(client, network["Name"])
