"""`apimarket web` as a user has it: a real browser shows the real terminal UI, and nothing is left behind."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.e2e.conftest import RunningServer, running, wait_for
from tests.e2e.test_browser import chromium

pytestmark = pytest.mark.slow

HELLO = 'def handler(request):\n    return {"hello": "web"}\n'


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    place = tmp_path_factory.mktemp("town")
    (place / "hello").mkdir()
    (place / "hello" / "main.py").write_text(HELLO)
    with running(place / "home", "process") as server:
        server.client.register({"directory": str(place / "hello")})
        server.until("hello", "running")
        yield server


@contextlib.contextmanager
def web(home: Path, *options: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The command, with its first line still to be read."""
    settings = {"APIMARKET_HOME": str(home), "COLORTERM": "truecolor", **environment}
    outer = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "DISPLAY", "APIMARKET_URL")}
    process = subprocess.Popen(
        [sys.executable, "-m", "local_server", "web", "--port", "0", *options],
        stdout=subprocess.PIPE, text=True, env=outer | settings, cwd=home.parent, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def link_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return str(json.loads(process.stdout.readline())["url"])


@contextlib.contextmanager
def page(link: str) -> Iterator[Any]:
    """A page without a browser: only its WebSocket."""
    with urllib.request.urlopen(link, timeout=20) as answer:
        cookie = answer.headers["set-cookie"].partition(";")[0]
    where = urlsplit(link).netloc
    with connect(
        f"ws://{where}/-/terminal?width=100&height=30",
        origin=Origin(f"http://{where}"),
        additional_headers={"cookie": cookie},
        proxy=None,
    ) as opened:
        yield opened


def shown_until(opened: Any, text: str) -> None:
    seen = b""
    while text.encode() not in seen:
        part = opened.recv(timeout=60)
        seen += part if isinstance(part, bytes) else b""


class Shown:
    """What the terminal in a page was sent."""

    def __init__(self, page: Any) -> None:
        self._bytes = b""
        page.on("websocket", lambda socket: socket.on("framereceived", self._take))
        self._page = page

    def _take(self, frame: Any) -> None:
        self._bytes += frame if isinstance(frame, bytes) else b""

    def wait(self, text: str) -> None:
        def there() -> bool:
            self._page.wait_for_timeout(20)  # Playwright hands over what has come
            return text.encode() in self._bytes

        wait_for(there, f"{text!r} on the page")

    def forget(self) -> None:
        self._bytes = b""


@pytest.mark.browser
class TestInABrowser:
    def test_it_shows_the_apis_obeys_keys_copies_and_opens(self, town: RunningServer, tmp_path: Path) -> None:
        asked: list[str] = []
        broken: list[str] = []
        with web(town.home, "--no-open", "--json") as process, chromium() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            opened = context.new_page()
            opened.on("request", lambda request: asked.append(request.url))
            opened.on("pageerror", lambda error: broken.append(str(error)))
            opened.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
            opened.on("response", lambda answer: broken.append(answer.url) if answer.status >= 400 else None)
            shown = Shown(opened)
            link = link_of(process)
            opened.goto(link)
            opened.wait_for_selector("body.-first-byte")
            shown.wait("hello")
            shown.wait("up")
            assert opened.url == link.partition("?")[0]
            before = self._drawn(opened, tmp_path / "list.png")

            shown.forget()
            opened.keyboard.press("?")
            shown.wait("reload")
            wait_for(lambda: self._drawn(opened, tmp_path / "help.png") != before, "another picture")
            opened.keyboard.press("?")

            shown.forget()
            opened.keyboard.press("1")
            opened.keyboard.press("y")
            shown.wait("copied")
            url = str(town.client.api("hello")["url"])
            wait_for(lambda: opened.evaluate("navigator.clipboard.readText()") == url, "the copied URL")
            opened.keyboard.press("e")
            shown.wait("A browser has no terminal for an editor")
            opened.keyboard.press("x")
            shown.wait("A browser has no terminal for a shell")
            with context.expect_page() as popup:
                opened.keyboard.press("o")
            popup.value.wait_for_load_state()
            assert json.loads(popup.value.inner_text("body")) == {"hello": "web"}
            assert popup.value.evaluate("window.opener") is None

            assert broken == []
            # All of it, fonts too, from this machine.
            assert {urlsplit(url).netloc for url in asked} == {urlsplit(link).netloc}
            assert any(url.endswith(".ttf") for url in asked)

            opened.bring_to_front()
            opened.keyboard.press("Control+q")
            opened.wait_for_selector("#ended:not([hidden])")
            assert opened.inner_text("#why") == "The terminal UI has ended."
            shown.forget()
            opened.click("#again")
            shown.wait("hello")
            process.send_signal(signal.SIGINT)
            opened.wait_for_selector("#ended:not([hidden])")
            assert opened.inner_text("#why") == "apimarket web has ended."

    def _drawn(self, opened: Any, file: Path) -> str:
        return base64.b64encode(opened.screenshot(path=file)).decode()

    def test_a_browser_without_the_link_is_told_what_to_do(self, town: RunningServer) -> None:
        with web(town.home, "--no-open", "--json") as process, chromium() as browser:
            link = link_of(process)
            opened = browser.new_context().new_page()
            answer = opened.goto(link.partition("-/")[0])
            assert answer.status == 403
            assert "The newest link stands in the terminal" in opened.inner_text("body")
            answer = opened.goto(link.replace("127.0.0.1", "evil.example"))
            assert answer.status == 421


class TestProcesses:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_none_outlives_it_however_it_ends(self, town: RunningServer, how: signal.Signals) -> None:
        with web(town.home, "--no-open", "--json") as process:
            with page(link_of(process)) as opened:
                shown_until(opened, "hello")
                children = psutil.Process(process.pid).children(recursive=True)
                assert len(children) == 1
                process.send_signal(how)
                process.wait(30)
            gone, left = psutil.wait_procs(children, timeout=30)
        assert (len(gone), left) == (1, [])
        assert process.returncode == (0 if how == signal.SIGINT else -how)
        assert town.client.api("hello")["state"] == "running"

    def test_a_page_that_is_closed_takes_its_own_with_it(self, town: RunningServer) -> None:
        with web(town.home, "--no-open", "--json") as process:
            with page(link_of(process)) as opened:
                shown_until(opened, "hello")
                (child,) = psutil.Process(process.pid).children()
            psutil.wait_procs([child], timeout=30)
            assert not child.is_running()
            assert process.poll() is None


class TestCommand:
    def test_it_starts_the_server_and_opens_the_browser(self, tmp_path: Path) -> None:
        told = tmp_path / "told"
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" > "{told}.part" && mv "{told}.part" "{told}"\n')
        browser.chmod(0o755)
        home = tmp_path / "home"
        env = {"BROWSER": str(browser), "APIMARKET_ENGINE": "process", "APIMARKET_PORT": "0"}
        try:
            with web(home, **env) as process:
                assert process.stdout is not None
                link = process.stdout.readline().strip()
                assert wait_for(lambda: told.exists() and told.read_text(), "the browser to be opened").strip() == link
                assert "Ctrl-C" in process.stdout.readline()
                with page(link) as opened:
                    shown_until(opened, "local")
                    assert process.stdout.readline() == "A browser came in. For another one:\n"
                    assert process.stdout.readline().startswith(link.partition("=")[0])
        finally:
            subprocess.run(
                [sys.executable, "-m", "local_server", "stop"],
                env=os.environ | {"APIMARKET_HOME": str(home)}, check=True, timeout=60, capture_output=True,
            )  # fmt: skip

    def test_a_taken_port_is_named(self, town: RunningServer) -> None:
        done = town.run("web", "--no-open", "--port", str(town.port), check=False)
        assert done.returncode == 1
        assert f"Port {town.port} is taken by" in done.stderr
        assert f"apimarket web --port {town.port + 1}" in done.stderr
