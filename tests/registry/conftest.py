from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local_server.domain.events import Event
from local_server.domain.ids import UserId, uuid7
from local_server.domain.registry import User
from local_server.registry.service import Registry
from local_server.storage.sqlite import SqliteStorage

START = datetime(2026, 1, 1, tzinfo=UTC)


class CountingSystem:
    """Each look at the clock is a second later; ids count up."""

    def __init__(self) -> None:
        self.count = 0

    def now(self) -> datetime:
        self.count += 1
        return START + timedelta(seconds=self.count)

    def new_id(self) -> str:
        self.count += 1
        return uuid7(self.count, bytes(10))


@dataclass
class House:
    """A registry on real storage, with the events it published."""

    registry: Registry
    storage: SqliteStorage
    projects: Path
    events: list[Event] = field(default_factory=list)

    def project(self, name: str, **files: str) -> Path:
        """A directory; `main="…"` is main.py, `apimarket="…"` is apimarket.toml."""
        directory = self.projects / name
        directory.mkdir(parents=True)
        for stem, text in files.items():
            (directory / f"{stem}.{'toml' if stem == 'apimarket' else 'py'}").write_text(text)
        return directory


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    events: list[Event] = []
    storage = await SqliteStorage.open(tmp_path / "registry.db", events.append)
    owner = User(UserId(uuid7(0, bytes(10))), "ada", START)
    await storage.write(lambda tx: tx.accounts.add(owner))
    projects = tmp_path / "projects"
    projects.mkdir()
    events.clear()
    yield House(Registry(storage, CountingSystem(), projects, owner), storage, projects, events)
    await storage.close()
