"""Saves are told of once, soon, and for the right API."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local_server.domain.ids import ApiId
from local_server.executor.watch import Watcher

ONE, TWO = ApiId("one"), ApiId("two")


class Heard:
    def __init__(self) -> None:
        self.calls: list[ApiId] = []
        self._news = asyncio.Event()

    def __call__(self, api_id: ApiId) -> None:
        self.calls.append(api_id)
        self._news.set()

    async def next(self) -> list[ApiId]:
        """Everything that was told until a moment after the next news."""
        async with asyncio.timeout(10):
            await self._news.wait()
        await asyncio.sleep(0.3)
        self._news.clear()
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(params=[False, True], ids=["events", "polling"])
async def watcher(request: pytest.FixtureRequest, heard: Heard, tmp_path: Path) -> AsyncIterator[Watcher]:
    watcher = Watcher(heard, poll=request.param)
    for api_id in (ONE, TWO):
        (tmp_path / api_id).mkdir()
        watcher.watch(api_id, frozenset({str(tmp_path / api_id)}))
    await heard.next()  # a new watcher asks everybody to look once
    yield watcher
    await watcher.close()


class TestWatcher:
    async def test_only_the_api_that_changed_is_told_of(self, watcher: Watcher, heard: Heard, tmp_path: Path) -> None:
        (tmp_path / TWO / "main.py").write_text("x = 1")
        assert set(await heard.next()) == {TWO}

    async def test_what_was_saved_while_the_watch_changed_is_not_lost(
        self, watcher: Watcher, heard: Heard, tmp_path: Path
    ) -> None:
        (tmp_path / ONE / "lib").mkdir()
        await heard.next()
        watcher.watch(ONE, frozenset({str(tmp_path / ONE), str(tmp_path / ONE / "lib")}))
        (tmp_path / ONE / "lib" / "a.py").write_text("x = 1")
        assert ONE in await heard.next()

    async def test_many_files_at_once_are_one_change(self, watcher: Watcher, heard: Heard, tmp_path: Path) -> None:
        for number in range(400):
            (tmp_path / ONE / f"{number}.py").write_text("x = 1")
        assert len(await heard.next()) <= 3

    async def test_a_forgotten_api_is_not_told_of(self, watcher: Watcher, heard: Heard, tmp_path: Path) -> None:
        watcher.forget(ONE)
        await heard.next()
        (tmp_path / ONE / "main.py").write_text("x = 1")
        (tmp_path / TWO / "main.py").write_text("x = 1")
        assert set(await heard.next()) == {TWO}

    async def test_closing_twice_is_as_good_as_once(self, watcher: Watcher) -> None:
        await watcher.close()
        await watcher.close()
