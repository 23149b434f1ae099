"""Creating, starting and removing containers: the blocking steps, for the daemon's pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from docker.errors import APIError, NotFound
from docker.types import ContainerConfig

from local_server.domain.executor_errors import SandboxFailed
from local_server.executor.engines.docker.daemon import Client, DaemonFacts
from local_server.executor.engines.docker.hardening import LABEL, Box, container_config

SIGKILL_CODE = 137


@dataclass(frozen=True, slots=True)
class ContainerState:
    running: bool
    restarting: bool
    restarts: int
    """How often its policy started it again."""
    exit_code: int
    out_of_memory: bool
    detail: str
    network: str
    address: str
    labels: Mapping[str, str]
    image: str
    published: Mapping[int, int]
    """Port inside -> port of 127.0.0.1."""


def create_container(client: Client, box: Box, facts: DaemonFacts, name: str) -> str:
    """The new container's id. Raises docker.errors.APIError."""
    config = cast("ContainerConfig", container_config(box, facts))
    return str(client.create_container_from_config(config, name)["Id"])  # type: ignore[no-untyped-call]


def inspect_container(client: Client, container: str) -> ContainerState | None:
    """None when there is no such container."""
    try:
        found = cast("dict[str, Any]", client.inspect_container(container))
    except NotFound:
        return None
    state, settings = found["State"], found["NetworkSettings"]
    addresses = [str(network["IPAddress"]) for network in settings["Networks"].values() if network["IPAddress"]]
    bindings = (found["HostConfig"].get("PortBindings") or {}).items()
    return ContainerState(
        running=bool(state["Running"]) and not state["Restarting"],
        restarting=bool(state["Restarting"]),
        restarts=int(found.get("RestartCount") or 0),
        exit_code=int(state["ExitCode"]),
        out_of_memory=bool(state["OOMKilled"]),
        detail=str(state.get("Error") or ""),
        network=next(iter(settings["Networks"]), ""),
        address=addresses[0] if addresses else "",
        labels=found["Config"]["Labels"] or {},
        image=str(found["Config"]["Image"]),
        published={int(port.split("/")[0]): int(hosts[0]["HostPort"]) for port, hosts in bindings if hosts},
    )


def remove_container(client: Client, container: str) -> None:
    """Kill and remove it, with its anonymous volumes; nothing happens when it is gone."""
    try:
        client.remove_container(container, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # its removal is under way already
            raise


def never_restart(client: Client, container: str) -> None:
    """From now on the container stays ended when it ends."""
    try:
        client.update_container(container, restart_policy={"Name": "no"})  # type: ignore[arg-type]
    except NotFound:
        return
    except APIError as error:
        if "marked for removal" not in str(error.explanation):
            raise


def ours(client: Client, install_id: str, **labels: str) -> list[dict[str, Any]]:
    """Every container of this installation whose labels have these values, running or not."""
    wanted = {"install": install_id, **labels}
    filters = {"label": [f"{LABEL}{name}={value}" for name, value in wanted.items()]}
    return cast("list[dict[str, Any]]", client.containers(all=True, filters=filters))


def refused_start(error: APIError, name: str) -> SandboxFailed:
    """What the daemon said, in place of its exception."""
    return SandboxFailed(f"Docker did not start the container of {name}: {error.explanation}")
