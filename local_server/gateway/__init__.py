"""API traffic: from a URL to the generation that serves, with nothing lost on the way.

`Edge` is the outermost application, `Gateway` the half of it that carries API traffic.
"""

from local_server.gateway.asgi import Gateway
from local_server.gateway.edge import Edge
from local_server.gateway.hosts import Hosts

__all__ = ["Edge", "Gateway", "Hosts"]
