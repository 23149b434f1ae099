"""Killed at every named place: what was queued is published once, and what was pulled is whole."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Count
from tests.sync.fake_marketplace import FakeMarketplace

ROOT = Path(__file__).parents[2]
NAMES = sorted(
    {
        name
        for source in (ROOT / "local_server" / "sync").glob("*.py")
        for name in re.findall(r'failpoint\("([a-z.-]+)"\)', source.read_text())
    }
)
OUTBOX = [name for name in NAMES if name.startswith("outbox.")]
PULL = [name for name in NAMES if name.startswith("pull.")]
PROGRAM = "import sys; from tests.sync.publishing_process import main; import asyncio; asyncio.run(main(*sys.argv[1:]))"


def run(home: Path, market: FakeMarketplace, act: str, failpoint: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "APIMARKET_FAILPOINT": failpoint}
    command = [sys.executable, "-c", PROGRAM, str(home), market.url, act]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def fill(home: Path, salt: str) -> None:
    """Enough that every step is taken: beyond what goes along with the request, and one blob that is sent alone."""
    directory = home / "one"
    for number in range(4):
        (directory / f"{number}.bin").write_bytes(os.urandom(400_000))
    (directory / "large.bin").write_bytes(os.urandom(9 * 1024 * 1024))
    (directory / "main.py").write_text(salt)


class TestKilledPublishing:
    def test_there_are_places_to_be_killed_at(self) -> None:
        assert len(OUTBOX) >= 9
        assert len(PULL) >= 3

    @pytest.mark.slow
    @pytest.mark.parametrize("name", OUTBOX)
    def test_it_is_published_once_all_the_same(
        self, tmp_path: Path, market: FakeMarketplace, name: str, count: Count
    ) -> None:
        home = tmp_path / "laptop"
        assert run(home, market, "publish").returncode == 0
        fill(home, name)

        killed = run(home, market, "publish", name)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        after = run(home, market, "drain")

        assert after.returncode == 0, after.stderr
        assert after.stdout.split() == ["0.1.1", "applied", "0.1.0", "applied"]
        versions = market.market.versions["ana/one"]
        assert [one["semver"] for one in versions] == ["0.1.0", "0.1.1"]
        assert len(market.market.changes) == 2
        for sha256, content in market.market.blobs.items():
            assert market.market.received_bytes[sha256] == len(content), "taken more than once"
        count("kill -9 of a laptop while it published", 1)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", PULL)
    def test_a_pull_is_whole_or_can_be_repeated(
        self, tmp_path: Path, market: FakeMarketplace, name: str, count: Count
    ) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        assert run(one, market, "publish").returncode == 0
        assert run(two, market, "pull").returncode == 0
        (one / "one" / "main.py").write_text("newer\n")
        assert run(one, market, "publish").returncode == 0

        killed = run(two, market, "pull", name)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        again = run(two, market, "pull")

        assert again.returncode == 0, again.stderr
        assert (two / "one" / "main.py").read_text() == "newer\n"
        (two / "one" / "main.py").write_text("newest\n")
        assert run(two, market, "publish").stdout.split()[:2] == ["0.1.2", "applied"]
        count("kill -9 of a laptop while it pulled", 1)
