"""The server of apimarket: registry, executor, gateway and analytics of HTTP APIs, on a laptop or hosted."""

__version__ = "0.1.0"
