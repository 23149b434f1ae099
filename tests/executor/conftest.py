"""An API that serves, on the fake engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.executor.world import MANIFEST, World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    project = tmp_path / "weather"
    project.mkdir()
    (project / "apimarket.toml").write_text(MANIFEST)
    (project / "main.py").write_text("app = None\n")
    (project / "answer.txt").write_text("one")
    world = World(tmp_path / "home", project)
    await world.open()
    await world.register()
    await world.until_answer("one")
    yield world
    await world.close()
    await world.power_off()
