"""The marketplace is killed at every named place of taking a version in: it is there whole or not at all, and once."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local_server.domain.trees import TreeEntry
from local_server.events.bus import Bus
from tests.conftest import Count
from tests.publishing.conftest import Market, open_store, tree_of
from tests.publishing.publishing_process import files_of, publish

ROOT = Path(__file__).parents[2]
NAMES = sorted(
    {
        name
        for source in (ROOT / "local_server" / "publishing").glob("*.py")
        for name in re.findall(r'"(publish\.[a-z-]+)"', source.read_text())
    }
)


def killed(home: Path, semver: str, failpoint: str, database: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "APIMARKET_FAILPOINT": failpoint}
    command = [sys.executable, "-m", "tests.publishing.publishing_process", str(home), semver, database]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


async def seen(home: Path, database: str) -> list[tuple[str, int]]:
    """What a reader sees: the versions, oldest first, each proven to be whole, and the numbers of the feed."""
    storage = await open_store(database, home, lambda event: None)
    try:
        market = Market(home, storage, Bus())
        ana = await market.account(1, "ana")
        refs, versions = await market.open.reading.api(ana.user, "ana", "one")
        told = (await market.open.reading.changes(ana.user, "")).told
        assert [one.change.number for one in told] == list(range(1, len(versions) + 1))
        assert [one.change.refs.head.semver for one in told if one.change.refs.head] == [
            version.semver for version in reversed(versions)
        ]
        assert refs.head is not None
        assert (refs.head.semver, refs.head_rev) == (versions[0].semver, len(versions))
        for version in versions:
            tree, _ = await market.open.reading.tree(ana.user, version.tree, None, None)
            assert tree == tree_of(files_of(version.semver))
            for entry in tree.entries.values():
                assert market.blobs.verify(entry.sha256)
        return [(version.semver, len(told)) for version in reversed(versions)]
    finally:
        await storage.close()


class TestKilled:
    def test_there_are_places_to_be_killed_at(self) -> None:
        assert len(NAMES) >= 13

    @pytest.mark.slow
    @pytest.mark.parametrize("name", NAMES)
    async def test_it_ends_as_if_nothing_had_happened(
        self, tmp_path: Path, database: Callable[[str], str], name: str, request: pytest.FixtureRequest, count: Count
    ) -> None:
        store = database("killed")
        await publish(tmp_path, "1.0.0", store)
        done = await asyncio.to_thread(killed, tmp_path, "1.1.0", name, store)
        assert done.returncode == -signal.SIGKILL, done.stderr
        between = await seen(tmp_path, store)
        assert between in ([("1.0.0", 1)], [("1.0.0", 2), ("1.1.0", 2)])

        after = [await publish(tmp_path, "1.1.0", store) for _ in range(2)]

        assert after[0] == after[1]
        assert (after[0].head_rev, after[0].change) == (2, 2)
        assert await seen(tmp_path, store) == [("1.0.0", 2), ("1.1.0", 2)]
        large = TreeEntry.of(files_of("1.1.0")["large.bin"])
        assert not list((tmp_path / "uploads").glob(f"*/{large.sha256}"))
        count(f"kill -9 while a version was taken in, on {request.node.callspec.params['database']}", 1)
