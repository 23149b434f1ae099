"""What a container may do, as the JSON of the Engine API's "create a container".

One place decides it, for sandboxes, installers and builders alike: no capabilities, no new privileges, a read-only
root, a user that is not root, and limits on memory, processors, processes and open files. Seccomp is the daemon's own
default profile. The Docker socket is never mounted.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_server.executor.engines.docker.daemon import DaemonFacts

LABEL = "dev.apimarket."
NOBODY = 65534
PIDS = 256
OPEN_FILES = 8192
"""Not more than daemons themselves are commonly allowed: a container cannot raise what its daemon does not have."""


@dataclass(frozen=True, slots=True)
class Mount:
    host: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """One container to create."""

    image: str
    command: Sequence[str]
    network: str
    labels: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    memory_mb: int = 512
    cpus: float = 1.0
    pids: int = PIDS
    tmp_mb: int = 64
    restart: str = "no"
    hostname: str = ""
    offline: bool = False
    """Its network leads nowhere outside."""
    resolvers: Sequence[str] = ()
    """Name servers to ask; none: those that the daemon chooses."""
    published: Mapping[int, int] = field(default_factory=dict)
    """Port inside -> port of 127.0.0.1, where the containers' own addresses cannot be reached."""


def container_user(facts: DaemonFacts) -> str:
    """The user in a container: the server's own, so that file modes mean the same on both sides; `nobody` when the
    server is root. Under a rootless daemon the root inside *is* the server's user, and without privileges outside."""
    if facts.rootless:
        return "0:0"
    uid, gid = (os.getuid(), os.getgid()) if hasattr(os, "getuid") else (1000, 1000)
    return f"{uid}:{gid}" if uid else f"{NOBODY}:{NOBODY}"


def give_to_container(directory: Path) -> None:
    """Make a directory and let the user in a container write into it. Blocking."""
    directory.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "getuid") and os.getuid() == 0:
        os.chown(directory, NOBODY, NOBODY)


def container_config(box: Box, facts: DaemonFacts) -> dict[str, Any]:
    return {
        "Image": box.image,
        "Cmd": list(box.command),
        "Entrypoint": [""],  # runs the command as it is, whatever the image would put before it
        "Env": [f"{name}={value}" for name, value in box.environment.items()],
        "User": container_user(facts),
        "Hostname": box.hostname[:63],
        "WorkingDir": "/",
        "Labels": dict(box.labels),
        "OpenStdin": True,
        "StdinOnce": False,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "ExposedPorts": {f"{port}/tcp": {} for port in box.published},
        "HostConfig": _limits(box, facts),
    }


def _limits(box: Box, facts: DaemonFacts) -> dict[str, Any]:
    memory_bytes = box.memory_mb << 20
    return {
        "Binds": [],
        "Mounts": [_mount(mount) for mount in box.mounts],
        "NetworkMode": box.network,
        # On an internal network names would be asked for in vain for ten seconds, or, as CVE-2024-29018 had it, not
        # in vain at all: nobody answers here, and one second tells.
        "Dns": ["127.0.0.1"] if box.offline else list(box.resolvers),
        "DnsOptions": ["timeout:1", "attempts:1"] if box.offline else [],
        "PortBindings": {
            f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(host)}] for port, host in box.published.items()
        },
        "RestartPolicy": {"Name": box.restart},
        "ReadonlyRootfs": True,
        # Programs may run from /tmp: interpreters are there anyway, so forbidding it stops nobody, and breaks
        # foreign-function trampolines, unpacked helpers and `go run`.
        "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,size={box.tmp_mb}m,mode=1777"},  # noqa: S108 - inside the container
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Privileged": False,
        "IpcMode": "private",
        "Memory": memory_bytes,
        "MemorySwap": memory_bytes,
        "NanoCpus": int(min(box.cpus, facts.cpus) * 1e9),
        "PidsLimit": box.pids,
        "Ulimits": [{"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES}],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
    }


def _mount(mount: Mount) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(mount.host), "Target": mount.inside, "ReadOnly": not mount.writable}
