"""What every runner works with, gathered once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from local_server.domain.events import Event
from local_server.domain.ids import ApiId
from local_server.executor.engine import Engine
from local_server.executor.logs import LogBook
from local_server.executor.secrets import Secrets
from local_server.executor.traffic import Traffic
from local_server.registry.service import Registry
from local_server.storage.base import Storage
from local_server.storage.blobs import BlobStore
from local_server.system import System


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the executor waits for what, in seconds."""

    drain_s: float = 30.0
    """Requests under way on an old generation may take this long."""
    warm_s: float = 10.0
    """An old generation stays ready for this long after its last request: undo is a pointer move."""
    start_s: float = 30.0
    """A program must listen within this long."""
    lent_s: float = 15.0
    """One that was started again, to be compared with what serves, stays for this long after its last use."""
    scan_s: float = 2.0
    """Between two looks at a directory whose events may have been lost."""
    crash_window_s: float = 10.0
    crash_limit: int = 3
    crash_backoff_s: tuple[float, ...] = (0.05, 0.5, 2.0)
    engine_retry_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Workshop:
    engine: Engine
    traffic: Traffic[Any]
    storage: Storage
    blobs: BlobStore
    registry: Registry
    secrets: Secrets
    system: System
    home: Path
    publish: Callable[[Event], None]
    watch: Callable[[ApiId, frozenset[str]], None]
    pace: Pace
    hosts: bool = True
    """Whether what others publish here is run here."""

    def directory(self, api_id: ApiId) -> Path:
        """Where an API's trees and log lie."""
        return self.home / "apis" / api_id

    def place(self, api_id: ApiId, version: str = "") -> Path:
        """Of a version, or of what is the directory's."""
        return self.directory(api_id) / "versions" / version if version else self.directory(api_id)

    def log(self, api_id: ApiId, version: str = "") -> LogBook:
        """What it prints, without its secrets."""
        conceal = partial(self.secrets.conceal, api_id)
        return LogBook(api_id, self.place(api_id, version), self.system, self.publish, version, conceal)

    def trees(self, api_id: ApiId, version: str = "") -> Path:
        return self.place(api_id, version) / "trees"
