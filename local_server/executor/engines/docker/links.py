"""Closes link-local addresses off from a container: at 169.254.169.254 a cloud tells its machines their credentials, to
whoever asks from there.

A route of the container's own network namespace refuses them. It is set by a second container that shares the namespace
and nothing else, has the one right that this takes, and ends at once; the container that runs user code never has it.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from docker.errors import APIError
from docker.types import ContainerConfig
from requests.exceptions import RequestException

from local_server.domain.executor_errors import EngineUnavailable
from local_server.executor.engines.docker.containers import remove_container
from local_server.executor.engines.docker.daemon import Client, Daemon
from local_server.executor.engines.docker.labels import Labels

_WAIT_S = 20
LINK_LOCAL = "169.254."
PUBLIC_RESOLVERS = ("1.1.1.1", "8.8.8.8")
_RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""Where a daemon looks, too: the second may name nothing but a resolver of the first's."""

# Alpine's images have `ip`, Debian's have Perl. The ioctl is SIOCADDRT with a `struct rtentry` of destination, gateway,
# mask and flags (RTF_UP | RTF_REJECT), the rest zeros; a route that is there already (EEXIST) is what is wanted.
_CLOSE = r"""
command -v ip >/dev/null && exec ip route replace unreachable 169.254.0.0/16
exec perl -e '
socket(my $socket, 2, 2, 0) or die "socket: $!\n";
my ($to, $by, $mask) = map { pack "S n C4 x8", 2, 0, @$_ } [169, 254, 0, 0], [0, 0, 0, 0], [255, 255, 0, 0];
ioctl($socket, 0x890B, pack "L! a16 a16 a16 S x200", 0, $to, $by, $mask, 0x0201) or $!{EEXIST} or die "route: $!\n";
'
"""


class Links:
    def __init__(self, daemon: Daemon, labels: Labels) -> None:
        self._daemon = daemon
        self._labels = labels

    async def close_off(self, container: str, image: str) -> str:
        """Of a container that runs, with a program of its image. Returns why they are still open; empty: they are not.
        A second time changes nothing."""
        name, config = self._labels.new_name("links"), _config(container, image, self._labels.of("links"))
        try:
            return await self._daemon.call(lambda client: _run(client, config, name))
        except APIError as error:
            return str(error.explanation or error)
        except EngineUnavailable as error:
            return error.detail


@dataclass(frozen=True)
class LinkGuard:
    """Of containers of one image."""

    links: Links
    image: str
    must: bool

    async def close_off(self, container: str) -> str:
        return await self.links.close_off(container, self.image)


def _run(client: Client, config: dict[str, Any], name: str) -> str:
    helper = str(client.create_container_from_config(cast("ContainerConfig", config), name)["Id"])  # type: ignore[no-untyped-call]
    try:
        client.start(helper)
        code = int(client.wait(helper, timeout=_WAIT_S)["StatusCode"])
        said = client.logs(helper).decode(errors="replace").strip() if code else ""
    except RequestException:
        return f"it took more than {_WAIT_S} s"
    finally:
        remove_container(client, helper)
    return f"exit code {code}: {said[-300:]}" if code else ""


def _config(container: str, image: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "Image": image,
        "Cmd": ["sh", "-c", _CLOSE],
        "Entrypoint": [""],
        "User": "0:0",
        "WorkingDir": "/",
        "Labels": labels,
        "HostConfig": {
            "NetworkMode": f"container:{container}",
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN"],
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": True,
            "IpcMode": "private",
            "Memory": 64 << 20,
            "PidsLimit": 16,
        },
    }


async def resolvers() -> tuple[str, ...]:
    """Which name servers a container is to ask where those of this machine are at link-local addresses, as Google's
    cloud has them: the daemon asks from within the container's namespace, where they are closed off. Empty: the
    daemon's own choice."""
    return await asyncio.to_thread(_resolvers)


def _resolvers(files: tuple[Path, ...] = _RESOLVERS) -> tuple[str, ...]:
    named = [server for file in files for server in _named(file)]
    others = [server for server in named if not server.startswith((LINK_LOCAL, "127.", "::1", "fe80:"))]
    if not any(server.startswith(LINK_LOCAL) for server in named):
        return ()
    return tuple(dict.fromkeys(others)) or PUBLIC_RESOLVERS


def _named(file: Path) -> list[str]:
    try:
        lines = [line.split() for line in file.read_text(errors="replace").splitlines()]
    except OSError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
