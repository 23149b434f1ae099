import asyncio
import os
from pathlib import Path

import pytest

from local_server.domain.events import ApiChanged, ApiRegistered, ApiRemoved
from local_server.domain.manifest import Runtime, Visibility
from local_server.domain.manifest_toml import parse
from local_server.domain.registry_errors import (
    ApiNotFound,
    DirectoryTaken,
    InvalidManifest,
    InvalidName,
    NameTaken,
    TemplateNotFound,
    UnusableDirectory,
)
from tests.registry.conftest import House

HANDLER = "def handler(request):\n    return 'hi'\n"
MANIFEST = '# mine\n[api]\nname = "weather"   # the URL\nruntime = "python"\nsummary = "Rain"\n'


class TestRegister:
    async def test_writes_a_manifest_for_what_it_finds(self, house: House):
        directory = house.project("Wetter für Köln", main=HANDLER)
        api = await house.registry.register(directory)
        assert (api.full_name, api.manifest.runtime, api.revision) == ("ada/wetter-fur-koln", Runtime.PYTHON, 1)
        assert parse((directory / "apimarket.toml").read_text()) == api.manifest
        assert api.manifest.run.entry is None  # found again at each save
        assert house.events == [ApiRegistered(api.id)]

    async def test_settles_the_entry_when_there_are_several(self, house: House):
        directory = house.project("two", main=HANDLER, app=HANDLER)
        assert (await house.registry.register(directory)).manifest.run.entry == "main:handler"

    async def test_an_existing_manifest_is_read_and_never_touched(self, house: House):
        directory = house.project("dir", main=HANDLER, apimarket=MANIFEST)
        api = await house.registry.register(directory)
        assert (api.slug, api.manifest.summary) == ("weather", "Rain")
        assert (directory / "apimarket.toml").read_text() == MANIFEST

    async def test_a_name_can_be_given(self, house: House):
        assert (await house.registry.register(house.project("x", main=HANDLER), "rain")).slug == "rain"

    async def test_a_name_other_than_the_manifests_is_refused(self, house: House):
        directory = house.project("x", main=HANDLER, apimarket=MANIFEST)
        with pytest.raises(InvalidName, match=r"is not what .*says: 'weather'"):
            await house.registry.register(directory, "rain")

    async def test_the_real_path_is_kept(self, house: House):
        directory = house.project("x", main=HANDLER)
        (house.projects / "link").symlink_to(directory)
        assert (await house.registry.register(house.projects / "link", "linked")).directory == str(directory)

    @pytest.mark.parametrize("name", ["api", "Köln", "a", "天気", "with space", "../up", "x" * 64])
    async def test_bad_names_are_refused_and_nothing_is_written(self, house: House, name: str):
        directory = house.project("x", main=HANDLER)
        with pytest.raises(InvalidName):
            await house.registry.register(directory, name)
        assert os.listdir(directory) == ["main.py"]

    async def test_a_reserved_directory_name_is_bent(self, house: House):
        assert (await house.registry.register(house.project("api", main=HANDLER))).slug == "api-api"

    async def test_a_taken_name_is_refused_and_leaves_no_manifest(self, house: House):
        first = house.project("weather", main=HANDLER)
        await house.registry.register(first)
        second = house.project("other", main=HANDLER)
        with pytest.raises(NameTaken, match=str(first)):
            await house.registry.register(second, "weather")
        assert os.listdir(second) == ["main.py"]

    async def test_a_taken_directory_is_refused(self, house: House):
        directory = house.project("weather", main=HANDLER)
        await house.registry.register(directory)
        with pytest.raises(DirectoryTaken, match="as 'weather'"):
            await house.registry.register(directory)

    async def test_two_at_once_for_one_directory_make_one_api(self, house: House):
        directory = house.project("weather", main=HANDLER)
        results = await asyncio.gather(*(house.registry.register(directory) for _ in range(6)), return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in results) == 1
        assert sum(isinstance(result, DirectoryTaken) for result in results) == 5
        assert len(await house.registry.list()) == 1
        assert (directory / "apimarket.toml").is_file()

    async def test_all_mistakes_of_a_manifest_are_told_with_its_path(self, house: House):
        directory = house.project("x", main=HANDLER, apimarket='[api]\nname = "X"\nruntime = "ruby"\ncolour = 1\n')
        with pytest.raises(InvalidManifest) as refused:
            await house.registry.register(directory)
        assert [problem.line for problem in refused.value.problems] == [2, 3, 4]
        assert str(directory / "apimarket.toml") in refused.value.detail
        assert await house.registry.list() == []

    async def test_unusable_directories_are_refused_and_nothing_is_stored(self, house: House):
        empty = house.project("empty")
        only_ignored = house.project("only-ignored")
        (only_ignored / ".env").write_text("A=1")
        notes = house.project("notes")
        (notes / "notes.txt").write_text("x")
        linked = house.project("linked", main=HANDLER)
        (linked / "passwd").symlink_to("/etc/passwd")
        large = house.project("large", main=HANDLER)
        (large / "big.bin").touch()
        os.truncate(large / "big.bin", 500 * 1024 * 1024)
        cases = {
            empty: "is empty",
            only_ignored: "nothing but what is left out",
            notes: "holds no API",
            linked: "link that leads out of it: passwd",
            large: "big.bin has 500 MB",
            house.projects / "gone": "does not exist",
            Path("relative"): "not an absolute path",
        }
        for directory, reason in cases.items():
            with pytest.raises(UnusableDirectory, match=reason) as refused:
                await house.registry.register(directory)
            assert refused.value.hint
        assert await house.registry.list() == []
        assert house.events == []


class TestScaffold:
    async def test_writes_a_project_named_as_asked(self, house: House):
        api = await house.registry.scaffold("weather", "python-function")
        directory = house.projects / "weather"
        assert (api.slug, api.directory) == ("weather", str(directory))
        assert "Hello from weather!" in (directory / "main.py").read_text()
        assert sorted(os.listdir(house.projects)) == ["weather"]  # no unfinished one beside it

    async def test_an_empty_directory_may_be_there(self, house: House):
        target = house.project("here")
        assert (await house.registry.scaffold("weather", directory=target)).directory == str(target)

    async def test_parents_are_made(self, house: House):
        await house.registry.scaffold("weather", "node", house.projects / "a" / "b")
        assert (house.projects / "a" / "b" / "index.js").is_file()

    async def test_what_is_there_is_never_touched(self, house: House):
        target = house.project("weather", main="mine")
        with pytest.raises(UnusableDirectory, match="is not empty"):
            await house.registry.scaffold("weather")
        assert (target / "main.py").read_text() == "mine"
        with pytest.raises(UnusableDirectory, match="is a file"):
            await house.registry.scaffold("rain", directory=target / "main.py")

    async def test_refusals_come_before_anything_is_written(self, house: House):
        await house.registry.scaffold("weather", "node")
        with pytest.raises(NameTaken):
            await house.registry.scaffold("weather", directory=house.projects / "second")
        with pytest.raises(TemplateNotFound, match="python-function"):
            await house.registry.scaffold("rain", "cobol")
        with pytest.raises(InvalidName):
            await house.registry.scaffold("../up")
        assert os.listdir(house.projects) == ["weather"]

    async def test_a_place_that_cannot_be_written_is_said(self, house: House):
        (house.projects / "file").write_text("x")
        with pytest.raises(UnusableDirectory, match="cannot be made"):
            await house.registry.scaffold("weather", directory=house.projects / "file" / "sub")


class TestFind:
    async def test_by_id_name_and_owner(self, house: House):
        api = await house.registry.scaffold("weather", "node")
        for reference in (api.id, "weather", "ada/weather"):
            assert (await house.registry.resolve(reference)).id == api.id

    @pytest.mark.parametrize(
        "reference", ["wether", "Weather", "bob/weather", "ada/", "/", "", "x" * 500, "a\0b", "a/b/c"]
    )
    async def test_unknown_names_are_told_what_is_close(self, house: House, reference: str):
        await house.registry.scaffold("weather", "node")
        with pytest.raises(ApiNotFound) as refused:
            await house.registry.resolve(reference)
        assert ("Did you mean weather?" in refused.value.hint) == ("ther" in reference)

    async def test_search_and_list(self, house: House):
        await house.registry.scaffold("weather", "node")
        await house.registry.scaffold("dice", "node")
        assert [api.slug for api in await house.registry.list()] == ["dice", "weather"]
        assert [api.slug for api in await house.registry.search("weath")] == ["weather"]
        assert len(await house.registry.search("  ")) == 2


class TestReloadManifest:
    async def test_takes_over_what_changed(self, house: House):
        api = await house.registry.register(house.project("x", main=HANDLER, apimarket=MANIFEST))
        changed = await house.registry.reload_manifest(api, MANIFEST + 'tags = ["geo"]\n[run]\nmemory_mb = 64\n')
        assert (changed.manifest.tags, changed.manifest.run.memory_mb, changed.revision) == (("geo",), 64, 2)
        assert changed.updated_at > api.updated_at
        assert house.events == [ApiRegistered(api.id), ApiChanged(api.id)]

    async def test_a_change_of_comments_is_no_change(self, house: House):
        api = await house.registry.register(house.project("x", main=HANDLER, apimarket=MANIFEST))
        assert await house.registry.reload_manifest(api, MANIFEST + "\n# more\n") == api
        assert house.events == [ApiRegistered(api.id)]

    async def test_a_reader_of_an_old_revision_still_wins_nothing_is_lost(self, house: House):
        api = await house.registry.register(house.project("x", main=HANDLER, apimarket=MANIFEST))
        await house.registry.reload_manifest(api, MANIFEST + 'tags = ["geo"]\n')
        again = await house.registry.reload_manifest(api, MANIFEST)
        assert (again.manifest.tags, again.revision) == ((), 3)

    async def test_a_broken_one_replaces_nothing(self, house: House):
        api = await house.registry.register(house.project("x", main=HANDLER, apimarket=MANIFEST))
        with pytest.raises(InvalidManifest):
            await house.registry.reload_manifest(api, MANIFEST + "oops")
        assert await house.registry.resolve("weather") == api

    async def test_another_name_is_explained(self, house: House):
        api = await house.registry.register(house.project("x", main=HANDLER, apimarket=MANIFEST))
        with pytest.raises(InvalidManifest) as refused:
            await house.registry.reload_manifest(api, MANIFEST.replace("weather", "rain"))
        (problem,) = refused.value.problems
        assert (problem.line, problem.key) == (3, "api.name")
        assert "apimarket rm weather, then apimarket add" in problem.message

    async def test_a_removed_api_is_not_brought_back(self, house: House):
        api = await house.registry.register(house.project("x", main=HANDLER, apimarket=MANIFEST))
        await house.registry.remove(api)
        with pytest.raises(ApiNotFound):
            await house.registry.reload_manifest(api, MANIFEST + 'tags = ["geo"]\n')


class TestPatch:
    async def test_changes_file_and_registry_and_keeps_comments(self, house: House):
        directory = house.project("x", main=HANDLER, apimarket=MANIFEST)
        api = await house.registry.register(directory)
        patched = await house.registry.patch(api, summary="Sun", tags=["geo"], visibility=Visibility.PUBLIC)
        assert patched.manifest.summary == "Sun"
        text = (directory / "apimarket.toml").read_text()
        assert text == MANIFEST.replace("Rain", "Sun") + 'tags = ["geo"]\nvisibility = "public"\n'
        assert await house.registry.reload_manifest(patched, text) == patched

    async def test_nothing_asked_is_nothing_done(self, house: House):
        api = await house.registry.register(house.project("x", main=HANDLER, apimarket=MANIFEST))
        assert await house.registry.patch(api) is api

    async def test_a_wrong_value_changes_neither(self, house: House):
        directory = house.project("x", main=HANDLER, apimarket=MANIFEST)
        api = await house.registry.register(directory)
        with pytest.raises(InvalidManifest, match=r"api\.tags: found 'No Good'"):
            await house.registry.patch(api, tags=["No Good"])
        assert (directory / "apimarket.toml").read_text() == MANIFEST
        assert await house.registry.resolve("weather") == api

    async def test_a_deleted_file_is_written_anew(self, house: House):
        directory = house.project("x", main=HANDLER, apimarket=MANIFEST)
        api = await house.registry.register(directory)
        (directory / "apimarket.toml").unlink()
        patched = await house.registry.patch(api, summary="Sun")
        assert parse((directory / "apimarket.toml").read_text()) == patched.manifest


class TestRemove:
    async def test_forgets_the_api_and_leaves_the_directory(self, house: House):
        directory = house.project("x", main=HANDLER, apimarket=MANIFEST)
        api = await house.registry.register(directory)
        await house.registry.remove(api)
        await house.registry.remove(api)
        assert house.events == [ApiRegistered(api.id), ApiRemoved(api.id, "weather")]
        assert (directory / "apimarket.toml").read_text() == MANIFEST
        assert (await house.registry.register(directory)).id != api.id
