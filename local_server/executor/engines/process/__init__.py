"""The process engine: agents as child processes of the server, without isolation."""

from local_server.executor.engines.process.engine import ProcessEngine

__all__ = ["ProcessEngine"]
