"""The Docker engine: one hardened container for each sandbox."""

from local_server.executor.engines.docker.engine import DockerEngine

__all__ = ["DockerEngine"]
