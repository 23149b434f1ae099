"""An API's files to look at: beside what serves, with what is left out and why, and nothing from beyond them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local_server.domain.registry_errors import FileNotHere
from local_server.executor.files import SHOWN_BYTES
from tests.executor.world import MANIFEST, World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Nothing is registered yet: a test writes its files first."""
    project = tmp_path / "weather"
    project.mkdir()
    (project / "apimarket.toml").write_text(MANIFEST)
    (project / "main.py").write_text("app = None\n")
    (project / "answer.txt").write_text("one")
    world = World(tmp_path / "home", project)
    world.home.mkdir()
    await world.open()
    yield world
    await world.close()
    await world.power_off()


async def serving(world: World) -> None:
    await world.register()
    async with asyncio.timeout(20):
        while world.executor.running_tree(world.api) is None:
            await asyncio.sleep(0.01)


class TestListing:
    async def test_while_nothing_serves_there_is_nothing_to_compare_with(self, world: World) -> None:
        await serving(world)
        await world.executor.stop(world.api)
        stopped = await world.executor.files.list(world.api)
        assert stopped.running is None
        assert {one.change for one in stopped.files} == {""}

    async def test_beside_what_serves(self, world: World) -> None:
        (world.project / "old.py").write_text("old\n")
        await serving(world)
        first = await world.executor.files.list(world.api)
        assert first.running == 1
        assert {one.change for one in first.files} == {"same"}
        # A save that does not serve: what runs stays what it was.
        (world.project / "old.py").unlink()
        world.save("two", syntax_error="x", **{"new.py": "x\n"})
        (world.project / "apimarket.toml").write_text(MANIFEST + 'memory_mbs = 1\n[gateway]\nauth = "maybe"\n')
        found = await world.executor.files.list(world.api)
        changes = {one.path: one.change for one in found.files}
        assert (changes["old.py"], changes["new.py"], changes["main.py"]) == ("removed", "new", "same")
        assert changes["answer.txt"] == "changed"
        assert [(one.line, one.key) for one in found.mistakes] == [(6, "run.memory_mbs"), (8, "gateway.auth")]
        assert 'allowed: "key" or "none"' in found.mistakes[1].message
        assert found.manifest == world.api.manifest

    async def test_what_is_left_out_says_by_which_rule(self, world: World) -> None:
        (world.project / ".gitignore").write_text("# what is built\n\ndist/\n*.log\n")
        for path in ("dist/a.js", "node_modules/x/index.js", "sub/deep.log"):
            (world.project / path).parent.mkdir(parents=True, exist_ok=True)
            (world.project / path).write_text("x")
        (world.project / ".env").write_text("TOKEN=hidden")
        await serving(world)
        found = await world.executor.files.list(world.api)
        assert found.left_out == [
            (".env", False, "always left out: it holds secrets"),
            ("dist", True, ".gitignore line 3: dist/"),
            ("node_modules", True, "always left out"),
            ("sub/deep.log", False, ".gitignore line 4: *.log"),
        ]

    async def test_a_directory_that_is_gone_shows_what_serves(self, world: World) -> None:
        await serving(world)
        world.project.rename(world.project.with_name("moved"))
        found = await world.executor.files.list(world.api)
        assert found.problem is not None
        assert "does not exist" in found.problem.detail
        assert "main.py" in {one.path for one in found.files}
        world.project.with_name("moved").rename(world.project)


class TestReading:
    async def test_as_it_lies_there_and_as_it_serves(self, world: World) -> None:
        await serving(world)
        world.save("two", syntax_error="x")
        files = world.executor.files
        assert (await files.read(world.api, "answer.txt", "directory")).text == "two"
        assert (await files.read(world.api, "answer.txt", "running")).text == "one"

    async def test_what_is_no_text_is_not_shown_and_long_ones_are_cut(self, world: World) -> None:
        (world.project / "logo.png").write_bytes(b"\x89PNG\0\0")
        (world.project / "latin.txt").write_bytes("köln".encode("latin-1"))
        (world.project / "long.txt").write_text("é" * SHOWN_BYTES)
        await serving(world)
        files = world.executor.files
        assert (await files.read(world.api, "logo.png", "directory")).text is None
        assert (await files.read(world.api, "latin.txt", "directory")).text is None
        long = await files.read(world.api, "long.txt", "directory")
        assert (long.text, long.whole) == ("é" * (SHOWN_BYTES // 2), False)

    @pytest.mark.parametrize(
        "path", ["../outside", "/etc/passwd", ".env", "dist/a.js", "gone.py", "", "main.py/x", "\0"]
    )
    async def test_nothing_else_can_be_asked_for(self, world: World, path: str) -> None:
        (world.project / ".env").write_text("TOKEN=hidden")
        (world.project.parent / "outside").write_text("hidden")
        await serving(world)
        for of in ("directory", "running"):
            with pytest.raises(FileNotHere, match="is no file of"):
                await world.executor.files.read(world.api, path, of)  # type: ignore[arg-type]

    async def test_what_was_cleared_away_from_the_store_is_read_again(self, world: World) -> None:
        await serving(world)
        await world.executor.stop(world.api)
        listed = await world.executor.files.list(world.api)
        entry = next(one.entry for one in listed.files if one.path == "main.py")
        world.blobs.path(entry.sha256).unlink()
        assert (await world.executor.files.read(world.api, "main.py", "directory")).text == "app = None\n"
