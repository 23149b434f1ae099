"""The app in a real terminal."""

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux")


class Terminal:
    """A tmux server of our own, with the app in its one window."""

    def __init__(self, home: Path) -> None:
        self._socket = str(home / f"tmux-{uuid.uuid4().hex[:8]}")

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *arguments], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout

    def start(self, width: int, height: int, *options: str, **environment: str) -> None:
        settings = [f"{name}={value}" for name, value in environment.items()]
        command = " ".join(["cd", str(ROOT), "&& exec env", *settings, sys.executable, "-m tests.tui.runner", *options])
        self.tmux("-f", os.devnull, "new-session", "-d", "-x", str(width), "-y", str(height), command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    async def shows(self, text: str, timeout_s: float = 30.0) -> str:
        """The screen, as soon as `text` stands on it."""
        screen = ""
        try:
            async with asyncio.timeout(timeout_s):
                while text not in (screen := self.tmux("capture-pane", "-p")):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{text!r} never showed; the screen was:\n{screen}")
        return screen

    async def gone(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait until `text` stands nowhere. The app paints in several steps: what is new may come before what is old
        has gone, and keys that are pressed between would mean something else."""
        try:
            async with asyncio.timeout(timeout_s):
                while text in self.tmux("capture-pane", "-p"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{text!r} never went away")

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        subprocess.run(["tmux", "-S", terminal._socket, "kill-server"], capture_output=True, check=False, timeout=20)


async def test_a_session_from_start_to_quit(terminal: Terminal) -> None:
    terminal.start(80, 24)
    screen = await terminal.shows("weather")
    assert "docker ●  gateway :8080 ●  ana" in screen
    terminal.press("G")
    await terminal.shows("── weather  ● up")
    terminal.press("l")
    await terminal.shows("● following")
    terminal.press("Escape")
    await terminal.shows("RELOAD")
    terminal.press("/")
    await terminal.shows("name, language, state or tag")
    terminal.press("geo")
    await terminal.shows("2 of 10")
    terminal.press("Escape")
    await terminal.gone("2 of 10")
    await terminal.shows("thumbnails")
    terminal.press("?")
    await terminal.shows("Everywhere")
    terminal.press("Escape")
    terminal.press("C-q")
    await terminal.shows("left after")


async def test_without_colour_no_colour_is_sent(terminal: Terminal) -> None:
    terminal.start(60, 15, NO_COLOR="1")
    await terminal.shows("weather")
    await terminal.shows("✗ failing")
    terminal.press("C-q")
    await terminal.shows("left after")


async def test_an_editor_has_the_terminal_until_it_ends(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "editing $1"\nread -r _\n')
    editor.chmod(0o755)
    terminal.start(80, 24, "--directory", str(tmp_path), VISUAL=str(editor))
    await terminal.shows("weather")
    terminal.press("e")
    assert "RELOAD" not in await terminal.shows("editing")
    terminal.press("Enter")
    await terminal.shows("RELOAD")
    terminal.press("?")
    await terminal.shows("Everywhere")


async def test_an_editor_that_is_not_there_leaves_the_terminal_to_the_app(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start(80, 24, "--directory", str(tmp_path), VISUAL="/nowhere/ed")
    await terminal.shows("weather")
    terminal.press("e")
    assert "RELOAD" in await terminal.shows("could not be started")
