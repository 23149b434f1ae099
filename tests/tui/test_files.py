"""Files & manifest: the tree that runs, what changed, what is left out and why, and every mistake at its line."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from apimarket_tui import acts
from apimarket_tui.colouring import LARGEST, coloured
from apimarket_tui.file_rows import closed_at_first, rows_of
from apimarket_tui.panes.files import FilesPane, difference_lines
from local_server.client.errors import ServerUnreachableError
from local_server.wire.files import ApiFileView

from .fake_backend import NOW, FakeBackend
from .fake_files import MAIN, some_files
from .screen_text import screen_text
from .screens import press, running, said, tab, until


async def files_tab(pilot: Pilot[Any]) -> FilesPane:
    await tab("files")(pilot)
    await until(pilot, lambda: "9 files" in screen_text(pilot.app) or "8 files" in screen_text(pilot.app))
    return pilot.app.screen.query_one(FilesPane)


async def on(pilot: Pilot[Any], key: str) -> None:
    assert pilot.app.screen.query_one(FilesPane).table.table.select(key)
    await pilot.pause()


class TestTree:
    def test_directories_come_first_and_what_is_left_out_in_its_place(self) -> None:
        told = [(row.kind, row.path) for row in rows_of(some_files(), ())]
        assert told == [
            ("manifest", ""),
            ("left-out", "__pycache__"),
            ("directory", "data"),
            ("left-out", "data/raw"),
            ("file", "data/cities.json"),
            ("file", "data/stations.csv"),
            ("directory", "static"),
            ("file", "static/logo.png"),
            ("left-out", ".env"),
            ("file", "README.md"),
            ("file", "apimarket.toml"),
            ("file", "main.py"),
            ("file", "old.py"),
            ("file", "run.sh"),
        ]

    def test_a_closed_directory_hides_what_is_in_it_and_says_how_much(self) -> None:
        rows = {row.path: row for row in rows_of(some_files(), {"data"}, left_out=False)}
        assert "data/cities.json" not in rows
        assert (rows["data"].files, rows["data"].changed, rows["data"].open) == (2, 1, False)

    def test_a_text_in_the_path_opens_everything(self) -> None:
        assert [row.path for row in rows_of(some_files(), {"data"}, "CITIES")] == ["data", "data/cities.json"]

    def test_twenty_thousand_files_begin_closed_and_take_no_time(self) -> None:
        many = [ApiFileView(path=f"d{n % 40}/e{n % 7}/f{n}.py", bytes=1, mode="644") for n in range(20_000)]
        view = some_files(files=many, left_out=[])
        assert len(rows_of(view, closed_at_first(view))) == 41
        assert len(rows_of(view, ())) > 20_000


class TestPane:
    async def test_a_file_stands_beside_the_tree_with_what_changed(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await files_tab(pilot)
            await on(pilot, "file main.py")
            await until(pilot, lambda: "8  async def app(scope, receive, send):" in screen_text(pilot.app))
            text = screen_text(pilot.app)
            assert "8 files, " in text
            assert "g14 runs · 3 changed since" in text
            await press(pilot, "d")
            await until(pilot, lambda: '+CITIES = {"oslo": -3.5, "bergen": 6.0}' in screen_text(pilot.app))
            assert '-CITIES = {"oslo": -4, "bergen": 6.0}' in screen_text(pilot.app)
            await press(pilot, "d")
            await until(pilot, lambda: "8  async def app" in screen_text(pilot.app))
            await on(pilot, "file README.md")
            await press(pilot, "d")
            assert "Nothing in it changed" in said(pilot)

    async def test_what_was_removed_is_shown_as_it_serves(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await files_tab(pilot)
            await on(pilot, "file old.py")
            await until(pilot, lambda: "print('gone')" in screen_text(pilot.app))
        assert ("file", "old.py running") in backend.did

    async def test_what_is_left_out_says_why(self) -> None:
        async with running() as pilot:
            await files_tab(pilot)
            await on(pilot, "left-out data/raw")
            await until(pilot, lambda: ".gitignore line 3: raw/" in screen_text(pilot.app))
            await press(pilot, "i")
            await until(pilot, lambda: "raw/" not in screen_text(pilot.app))

    async def test_binary_is_named_and_not_shown(self) -> None:
        async with running() as pilot:
            await files_tab(pilot)
            await on(pilot, "file static/logo.png")
            await until(pilot, lambda: "no text: 40 KB" in screen_text(pilot.app))

    async def test_a_mistake_stands_below_its_line_in_the_servers_words(self) -> None:
        backend = FakeBackend()
        backend.spoil_the_manifest()
        async with running(backend, size=(140, 40)) as pilot:
            await files_tab(pilot)
            words = 'found "lots"; allowed: a whole number from 32 to 65536 MB'
            await until(pilot, lambda: words in screen_text(pilot.app))
            text = screen_text(pilot.app)
            assert "line 9" in text
            assert "✗ 1 in apimarket.toml" in text
            await on(pilot, "file apimarket.toml")
            await until(pilot, lambda: 'memory_mb = "lots"' in screen_text(pilot.app))
            lines = screen_text(pilot.app).splitlines()
            at = next(number for number, line in enumerate(lines) if 'memory_mb = "lots"' in line)
            assert f"✗ run.memory_mb: {words}" in lines[at + 1]

    async def test_the_values_that_hold_without_mistakes(self) -> None:
        async with running() as pilot:
            await files_tab(pilot)
            text = screen_text(pilot.app)
            assert 'api.runtime         "python3.12"' in text
            assert "run.cpus            1.0" in text

    async def test_what_was_read_before_shows_at_once_with_its_age(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await files_tab(pilot)
            await press(pilot, "escape")
            later = NOW + timedelta(minutes=5)
            pilot.app.clock = lambda: later  # type: ignore[attr-defined]
            backend.refusals["files"] = ServerUnreachableError(backend.url, "connection refused")
            await tab("files")(pilot)
            await until(pilot, lambda: "as of 5m ago" in screen_text(pilot.app))
            assert "main.py" in screen_text(pilot.app)

    async def test_a_directory_that_cannot_be_read_says_why(self) -> None:
        backend = FakeBackend()
        backend.file_list = some_files(problem="/home/ana/code/weather does not exist any more", hint="Put it back")
        async with running(backend, size=(120, 30)) as pilot:
            await tab("files")(pilot)
            await until(pilot, lambda: "✗ /home/ana/code/weather does not exist any more" in screen_text(pilot.app))
            assert "Put it back" in screen_text(pilot.app)

    async def test_the_text_stays_where_it_was_scrolled_when_it_changes(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            pane = await files_tab(pilot)
            backend.texts["main.py"] = "\n".join(f"line {n}" for n in range(500))
            await on(pilot, "file main.py")
            await until(pilot, lambda: "line 3" in screen_text(pilot.app))
            await press(pilot, "enter")
            await until(pilot, lambda: pane.text.has_focus)
            await press(pilot, "pagedown")
            await until(pilot, lambda: pane.text.first_visible > 0)
            top = pane.text.first_visible
            backend.texts["main.py"] = "\n".join(f"again {n}" for n in range(500))
            pane.moved()
            await until(pilot, lambda: f"again {top}" in screen_text(pilot.app))
            assert pane.text.first_visible == top
            await press(pilot, "enter")
            assert pane.main().has_focus

    async def test_find_narrows_the_tree(self) -> None:
        async with running() as pilot:
            await files_tab(pilot)
            await press(pilot, "slash")
            field = pilot.app.focused
            assert isinstance(field, Input)
            field.value = "nothing has this"
            await press(pilot, "enter")
            await until(pilot, lambda: "no file has" in screen_text(pilot.app))
            field.value = "cities"
            await press(pilot, "enter")
            await until(pilot, lambda: "README.md" not in screen_text(pilot.app))

    async def test_zoom_gives_the_file_all_the_room_and_takes_it_back(self) -> None:
        async with running() as pilot:
            pane = await files_tab(pilot)
            await press(pilot, "plus", "plus", "plus")
            await until(pilot, lambda: pane.text.has_focus and pane.text.size.width > 70)
            await press(pilot, "underscore", "underscore", "underscore")
            await until(pilot, lambda: pane.main().has_focus and pane.text.size.width < 40)

    async def test_e_opens_the_selected_file_at_the_mistake(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, int | None]] = []

        def command(editor: str, api: object, chosen: str = "", at: int | None = None) -> list[str]:
            asked.append((chosen, at))
            raise FileNotFoundError(f"{chosen} is not in the directory")

        monkeypatch.setenv("EDITOR", "vi")
        monkeypatch.setattr(acts, "editor_command", command)
        monkeypatch.setattr(acts.os.path, "isdir", lambda path: True)
        backend = FakeBackend()
        backend.spoil_the_manifest()
        async with running(backend) as pilot:
            await files_tab(pilot)
            await press(pilot, "e")
            await on(pilot, "file main.py")
            await press(pilot, "e")
            await on(pilot, "left-out .env")
            await press(pilot, "e")
            assert "main.py is not in the directory" in said(pilot)
            assert "That is no file of the API" in said(pilot)
        assert asked == [("apimarket.toml", 9), ("main.py", None)]

    async def test_hostile_names_and_texts_reach_no_terminal(self) -> None:
        backend = FakeBackend()
        name = "x[/red]\x1b[2J.py"
        backend.file_list = some_files(files=[ApiFileView(path=name, bytes=3, mode="644", change="same")], left_out=[])
        backend.texts[name] = "a\x1b]0;title\x07b[/bold]\u202e\n"
        async with running(backend) as pilot:
            await tab("files")(pilot)
            await until(pilot, lambda: "1 files" in screen_text(pilot.app))
            await on(pilot, f"file {name}")
            await until(pilot, lambda: "ab[/bold]" in screen_text(pilot.app))
            assert "\x1b" not in screen_text(pilot.app)


class TestColours:
    def test_pieces_make_the_text_again(self) -> None:
        lines = ["".join(text for text, _ in line) for line in coloured(MAIN, "main.py")]
        assert lines == MAIN.splitlines()

    @pytest.mark.parametrize(
        ("path", "text", "piece"),
        [
            ("a.py", "def f(): return 'x'  # why", ("def", "primary")),
            ("a.go", "package main", ("package", "primary")),
            ("a.mjs", "const x = 1;", ("1", "accent")),
            ("a.json", '{"a": "b"}', ('"b"', "ok")),
            ("sub/apimarket.toml", "# why", ("# why", "dim")),
            ("Dockerfile", "FROM scratch", ("FROM", "primary")),
        ],
    )
    def test_languages_of_apis_have_colours(self, path: str, text: str, piece: tuple[str, str]) -> None:
        assert piece in coloured(text, path)[0]

    def test_what_would_take_long_is_plain(self) -> None:
        plain = coloured("(" * LARGEST + "\n" + "x = 1\n" * 50_000, "a.py")
        assert {tone for line in plain for _, tone in line} == {"text"}
        assert len(plain) == 50_001

    @pytest.mark.parametrize("text", ["", "\n", "\n\n", "a", "a\n", "\n a\r\nb"])
    def test_lines_are_neither_lost_nor_made(self, text: str) -> None:
        expected = len(text.replace("\r\n", "\n").splitlines())
        assert len(coloured(text, "a.py")) == len(coloured(text, "a.txt")) == expected


def test_a_difference_in_mode_alone_says_so() -> None:
    assert "differ in mode" in difference_lines("a\n", "a\n")[0][0][0]


async def test_a_slow_answer_does_not_replace_what_was_moved_to() -> None:
    backend = FakeBackend()
    gate = asyncio.Event()
    asked = backend.file

    async def slowly(name: str, path: str, of: str = "directory") -> Any:
        answer = await asked(name, path, of)
        if path == "main.py":
            await gate.wait()
        return answer

    backend.file = slowly  # type: ignore[method-assign]
    async with running(backend) as pilot:
        await files_tab(pilot)
        await on(pilot, "file main.py")
        await until(pilot, lambda: ("file", "main.py directory") in backend.did)
        await on(pilot, "file README.md")
        await until(pilot, lambda: "# Weather" in screen_text(pilot.app))
        gate.set()
        await pilot.pause()
        assert "async def app" not in screen_text(pilot.app)
