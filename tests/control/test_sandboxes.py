"""Whose sandboxes are whose, where several servers have one engine."""

import shutil
from pathlib import Path

from local_server.executor.engine import Engine
from local_server.settings import Settings
from tests.control.conftest import in_memory, serving


def keeper_of(home: Path) -> str:
    """By what the server of a data directory knows its sandboxes."""
    keepers = []

    async def noted(settings: Settings, keeper: str) -> Engine:
        keepers.append(keeper)
        return await in_memory(settings, keeper)

    with serving(home, choose=noted):
        pass
    return keepers[0]


def test_a_copy_beside_its_original_leaves_the_originals_sandboxes_alone(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    known = keeper_of(original)
    shutil.copytree(original, copy)
    assert keeper_of(copy) != known
    assert keeper_of(original) == known
