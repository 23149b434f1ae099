"""No engine: of a server whose APIs an executor in another process runs."""

from typing import Literal, NoReturn

from local_server.domain.executor_errors import EngineUnavailable
from local_server.executor.engine import BuildRequest, EngineHealth, Layer, LayerRequest, Progress, Sandbox, SandboxSpec

_WHY = "this server runs no APIs; an executor does"


class NoEngine:
    name: Literal["none"] = "none"
    isolated = False

    async def health(self) -> EngineHealth:
        """Nothing is missing: nothing is needed."""
        return EngineHealth(True, "", _WHY)

    async def prepare(self, request: LayerRequest, progress: Progress) -> Layer:
        return self._refuse()

    def layer_key(self, request: LayerRequest) -> str:
        return self._refuse()

    async def build(self, request: BuildRequest, progress: Progress) -> None:
        self._refuse()

    async def start(self, spec: SandboxSpec) -> Sandbox:
        return self._refuse()

    async def adopt(self) -> list[Sandbox]:
        return []

    async def close(self) -> None:
        """Nothing was opened."""

    def _refuse(self) -> NoReturn:
        raise EngineUnavailable(self.name, _WHY)
