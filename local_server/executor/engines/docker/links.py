"""Closes off from a container the addresses at which a cloud tells its machines their credentials, to whoever asks from
there.

Routes and rules of the container's own network namespace refuse them. They are set by a second container that shares
the namespace and nothing else, has the one right that this takes, and ends at once; the container that runs user code
never has it.
"""

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
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
_CLOSED_4 = (
    "169.254.0.0/16",  # link-local: most clouds
    "168.63.129.16/32",  # Azure
    "100.100.100.200/32",  # Alibaba
)
_CLOSED_6 = (
    "fe80::/10",  # link-local: OpenStack
    "fd00:ec2::/32",  # Amazon
    "fd20:ce::254/128",  # Google
    "fd00:42::42/128",  # Scaleway
)
CLOSED = f"A cloud's metadata ({', '.join(_CLOSED_4 + _CLOSED_6)})"
PUBLIC_RESOLVERS = ("1.1.1.1", "8.8.8.8")
_RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""Where a daemon looks, too: the second may name nothing but a resolver of the first's."""

# Alpine's images have `ip`, Debian's have Perl, which asks the kernel itself: RTM_NEWROUTE and RTM_NEWRULE of
# rtnetlink(7) take the same message. What is there already (EEXIST) is what is wanted.
#
# IPv6 takes rules, for a program that binds its socket to an interface is not led by a route that has none: by the
# default route it would leave. Without an address other than that of `lo` there is no IPv6 to close.
_CLOSE = r"""
grep -qvs ' lo$' /proc/net/if_inet6 || CLOSED_6=
command -v ip >/dev/null || exec perl -e '
use Socket qw(inet_pton AF_INET AF_INET6);
socket(my $kernel, 16, 3, 0) or die "socket: $!\n";
sub refuse {
    my ($act, $family, $range) = @_;
    my ($address, $bits) = split "/", $range;
    $address = inet_pton($family, $address);
    my $body = pack "C8 L S S a*", $family, $bits, 0, 0, 254, 3, 0, 7, 0, 4 + length $address, 1, $address;
    $body .= pack "S S L", 8, 6, 1;
    send $kernel, pack("L S S L L", 16 + length $body, $act, 0x605, 1, 0) . $body, 0 or die "send: $!\n";
    recv $kernel, my $answer, 4096, 0;
    $! = -unpack "x16 l", $answer;
    $! == 0 or $!{EEXIST} or die "$range: $!\n";
}
refuse(24, AF_INET, $_) for split " ", $ENV{CLOSED_4};
refuse(32, AF_INET6, $_) for split " ", $ENV{CLOSED_6};
'
set -e
for range in $CLOSED_4; do ip route replace unreachable $range; done
for range in $CLOSED_6; do
    ip -6 rule | grep -q "to ${range%/128} " || ip -6 rule add to $range priority 1 type unreachable
done
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
        "Env": [f"CLOSED_4={' '.join(_CLOSED_4)}", f"CLOSED_6={' '.join(_CLOSED_6)}"],
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
    """Which name servers a container is to ask where those of this machine are at closed addresses, as in Google's
    cloud and in Azure: the daemon asks from within the container's namespace. Empty: the daemon's own choice."""
    return await asyncio.to_thread(_resolvers)


def _resolvers(files: tuple[Path, ...] = _RESOLVERS) -> tuple[str, ...]:
    named = [server for file in files for server in _named(file)]
    if not any(_is_closed(server) for server in named):
        return ()
    others = [server for server in named if not _is_closed(server) and not server.startswith(("127.", "::1"))]
    return tuple(dict.fromkeys(others)) or PUBLIC_RESOLVERS


def _is_closed(server: str) -> bool:
    try:
        address = ip_address(server.partition("%")[0])
    except ValueError:
        return False
    return any(address in ip_network(closed) for closed in _CLOSED_4 + _CLOSED_6)


def _named(file: Path) -> list[str]:
    try:
        lines = [line.split() for line in file.read_text(errors="replace").splitlines()]
    except OSError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
