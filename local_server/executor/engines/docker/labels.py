"""The names and labels by which an installation knows its own containers and networks."""

import secrets
from dataclasses import dataclass

from local_server.executor.engines.docker.hardening import LABEL
from local_server.executor.engines.docker.networks import network_name

PROTOCOL = "1"
"""Containers of another protocol are not adopted; raise it when agents or mounts change incompatibly."""


@dataclass(frozen=True, slots=True)
class Labels:
    install_id: str

    def of(self, role: str, **labels: str) -> dict[str, str]:
        """`role`: sandbox, installer, builder, links, network, outside."""
        every = {"install": self.install_id, "role": role, "protocol": PROTOCOL, **labels}
        return {LABEL + name: value for name, value in every.items()}

    def outside(self) -> str:
        """The network of installers and builders."""
        return network_name(self.install_id, "outside", egress=True)

    def new_name(self, what: str) -> str:
        """A container name: readable in `docker ps`, never taken."""
        readable = "".join(char if char.isalnum() or char in "-_." else "-" for char in what)
        return f"apimarket-{readable[:100]}-{secrets.token_hex(4)}"
