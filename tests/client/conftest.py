from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import fake_server


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("APIMARKET_URL", "APIMARKET_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APIMARKET_HOME", str(tmp_path / "home"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[fake_server.FakeServer]:
    """A server that speaks the contract, with its data directory in place: `discovery.find()` finds it."""
    with fake_server.running(tmp_path / "home") as server:
        yield server
