"""What a sandbox's container is made of: its program, its mounts, its labels; and reading them back to adopt it."""

from collections.abc import Mapping
from pathlib import Path

from local_server.domain.ids import ApiId
from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import copied_agent, support_directory
from local_server.executor.engine import SandboxSpec
from local_server.executor.engines.docker.hardening import LABEL, Box, Mount
from local_server.executor.engines.docker.identity import ContainerIdentity, Place
from local_server.executor.engines.docker.installer import LAYER_INSIDE
from local_server.executor.engines.docker.labels import PROTOCOL

AGENT_INSIDE, SUPPORT_INSIDE = "/srv/agent", "/srv/support"
TREES_INSIDE = "/srv/api/trees"
MODULES_INSIDE = "/srv/api/node_modules"


def sandbox_box(
    spec: SandboxSpec, labels: Mapping[str, str], network: str, cache: Path, search_path: str, go_agent: Path | None
) -> Box:
    """`labels` to begin with; `search_path` is the image's PATH; `go_agent` the compiled agent's directory.
    Blocking."""
    command, mounts, environment = _RUNTIMES[spec.runtime](spec, cache, search_path, go_agent)
    own = {
        "api": spec.api_id,
        "version": spec.version,
        "replica": str(spec.replica),
        "name": spec.name,
        "layer": spec.layer.key,
        "runtime": spec.runtime.value,
        "trees": str(spec.trees),
        "layer_path": str(spec.layer.path),
        "memory_mb": str(spec.memory_mb),
    }
    return Box(
        spec.layer.image,
        command,
        network,
        {**labels, **{LABEL + name: value for name, value in own.items()}},
        {"HOME": "/tmp", "LANG": "C.UTF-8", **environment},  # noqa: S108 - inside the container
        [Mount(spec.trees, TREES_INSIDE), *mounts],
        spec.memory_mb,
        spec.cpus,
        restart="unless-stopped",
        hostname=spec.name.rpartition("/")[2].partition("@")[0],
        offline=not spec.egress,
    )


_Parts = tuple[list[str], list[Mount], dict[str, str]]


def _python(spec: SandboxSpec, cache: Path, search_path: str, _agent: Path | None) -> _Parts:
    mounts = [
        Mount(spec.layer.path, LAYER_INSIDE),
        Mount(copied_agent(Runtime.PYTHON, cache), AGENT_INSIDE),
        Mount(support_directory(cache), SUPPORT_INSIDE),
    ]
    places = [f"{LAYER_INSIDE}/{place}" for place in site_packages(spec.layer.path)]
    environment = {
        "APIMARKET_LAYER": ":".join(places),
        "APIMARKET_SUPPORT": SUPPORT_INSIDE,
        "PATH": f"{LAYER_INSIDE}/bin:{search_path}",
    }
    # An environment's own interpreter finds its packages, and so do the programs in its `bin`.
    interpreter = f"{LAYER_INSIDE}/bin/python" if places else "python"
    return [interpreter, "-u", f"{AGENT_INSIDE}/agent.py"], mounts, environment


def site_packages(layer: Path) -> list[str]:
    """Where a virtual environment keeps packages, relative to it; none when it is an empty layer."""
    return sorted(path.relative_to(layer).as_posix() for path in layer.glob("lib/python3*/site-packages"))


def _node(spec: SandboxSpec, cache: Path, _search_path: str, _agent: Path | None) -> _Parts:
    mounts = [Mount(copied_agent(Runtime.NODE, cache), AGENT_INSIDE)]
    modules = spec.layer.path / "node_modules"
    if modules.is_dir():
        mounts.append(Mount(modules, MODULES_INSIDE))
    return ["node", f"{AGENT_INSIDE}/agent.mjs"], mounts, {}


def _go(_spec: SandboxSpec, _cache: Path, _search_path: str, agent: Path | None) -> _Parts:
    if agent is None:
        raise ValueError("a Go sandbox needs the compiled agent")
    return [f"{AGENT_INSIDE}/agent"], [Mount(agent, AGENT_INSIDE)], {}


_RUNTIMES = {Runtime.PYTHON: _python, Runtime.NODE: _node, Runtime.GO: _go}


def sandbox_identity(spec: SandboxSpec, container: str, ports: range) -> ContainerIdentity:
    places = _places(spec.runtime, spec.trees, spec.layer.path)
    return ContainerIdentity(
        container, spec.api_id, spec.layer.key, spec.name, spec.memory_mb, places, ports, spec.version, spec.replica
    )


def builder_identity(box: Box, container: str) -> ContainerIdentity:
    return ContainerIdentity(container, ApiId("go-builder"), "", "the Go builder", box.memory_mb, (), range(0))


def adopted_identity(labels: Mapping[str, str], container: str) -> ContainerIdentity | None:
    """None for a container that is no sandbox, or one of another protocol."""
    own = {name.removeprefix(LABEL): value for name, value in labels.items() if name.startswith(LABEL)}
    if own.get("role") != "sandbox" or own.get("protocol") != PROTOCOL:
        return None
    try:
        places = _places(Runtime(own["runtime"]), Path(own["trees"]), Path(own["layer_path"]))
        first, last = map(int, own["ports"].split("-"))
        ports = range(first, last + 1)
        memory_mb = int(own["memory_mb"])
        api_id, version, replica = ApiId(own["api"]), own.get("version", ""), int(own.get("replica", "1"))
        return ContainerIdentity(
            container, api_id, own["layer"], own["name"], memory_mb, places, ports, version, replica
        )
    except (KeyError, ValueError):
        return None


def _places(runtime: Runtime, trees: Path, layer: Path) -> tuple[Place, ...]:
    if runtime is Runtime.NODE:
        return (Place(trees, TREES_INSIDE), Place(layer / "node_modules", MODULES_INSIDE))
    return (Place(trees, TREES_INSIDE), Place(layer, LAYER_INSIDE))
