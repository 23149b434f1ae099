"""What a web page in a real browser can do with the server: with another's page nothing, with its own everything."""

import contextlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import RunningServer, running, wait_for
from tests.e2e.traffic import ask

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FLAGS = [
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-proxy-server",
    # A name of somebody else's that leads to this machine, as after DNS rebinding; every other name leads nowhere.
    "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Counts what reaches it, by method.
COUNTER = """
calls = []

def handler(request):
    if request.path.endswith("/count"):
        return {"calls": calls}
    calls.append(request.method + " " + request.path)
    return {"secret": "for friends only"}
"""

# An API with pages, which wants to be more than an API.
GREEDY = """
LOUD = {"Cross-Origin-Opener-Policy": "same-origin", "Service-Worker-Allowed": "/"}

def handler(request):
    if request.path.endswith("/worker.js"):
        return "self.onfetch = () => {};", 200, {"Content-Type": "text/javascript", **LOUD}
    return "<!doctype html><title>greedy</title>", 200, {"Content-Type": "text/html", **LOUD}
"""

# Everything a page can try; each attempt ends as `blocked`, `opaque` (sent, and nothing learned) or `read …`.
ATTEMPTS = """
async ([target, token, paths]) => {
    const found = {};
    const attempt = async (name, act) => {
        try { found[name] = await Promise.race([act(), new Promise(done => setTimeout(done, 4000, "blocked"))]); }
        catch (error) { found[name] = "blocked"; }
    };
    const outcome = async answer =>
        answer.type === "opaque" || answer.type === "opaqueredirect" ? "opaque" : "read " + await answer.text();
    const send = (path, options) => async () => outcome(await fetch(target + path, options));
    const bearer = { Authorization: "Bearer " + token };
    const form = new FormData();
    form.append("main.py", new Blob(["stolen = True"]), "main.py");
    for (const path of paths) {
        await attempt("get " + path, send(path));
        await attempt("get with the token " + path, send(path, { headers: bearer }));
        await attempt("get with cookies " + path, send(path, { credentials: "include" }));
        await attempt("get no-cors " + path, send(path, { mode: "no-cors" }));
        for (const method of ["POST", "DELETE", "PATCH", "PUT"])
            await attempt(method + " with the token " + path,
                send(path, { method, headers: { ...bearer, "Content-Type": "application/json" }, body: "{}" }));
        await attempt("post json " + path,
            send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" }));
        await attempt("post text no-cors " + path, send(path, { method: "POST", mode: "no-cors", body: "{}" }));
        await attempt("post form no-cors " + path, send(path, { method: "POST", mode: "no-cors", body: form }));
        await attempt("beacon " + path, async () => navigator.sendBeacon(target + path, "{}") ? "opaque" : "blocked");
        await attempt("event source " + path, () => new Promise(done => {
            const source = new EventSource(target + path);
            source.onopen = () => { source.close(); done("read stream"); };
            source.onmessage = event => { source.close(); done("read " + event.data); };
            source.onerror = () => { source.close(); done("blocked"); };
        }));
        await attempt("websocket " + path, () => new Promise(done => {
            const socket = new WebSocket(target.replace("http", "ws") + path);
            socket.onopen = () => { socket.close(); done("read open"); };
            socket.onerror = () => done("blocked");
        }));
        await attempt("script " + path, () => new Promise(done => {
            const script = document.createElement("script");
            script.src = target + path;
            script.onload = () => done("opaque");
            script.onerror = () => done("blocked");
            document.body.append(script);
        }));
        await attempt("frame " + path, () => new Promise(done => {
            const frame = document.createElement("iframe");
            frame.src = target + path;
            frame.onload = () => {
                try { done("read " + frame.contentDocument.body.textContent.slice(0, 80)); }
                catch (error) { done("opaque"); }
            };
            document.body.append(frame);
        }));
    }
    return found;
}
"""


@dataclass(frozen=True)
class Town:
    """A server with one API, somebody else's web server, and a browser that can go to both."""

    server: RunningServer
    browser: Any
    evil_port: int
    directory: Path

    @property
    def token(self) -> str:
        return (self.server.home / "token").read_text().strip()

    @property
    def greedy_url(self) -> str:
        return str(self.server.client.api("greedy")["url"])

    @property
    def api_path(self) -> str:
        return urlsplit(str(self.server.client.api("counter")["url"])).path

    def calls(self) -> list[str]:
        """What reached the API."""
        return list(json.loads(ask(f"{self.server.url}{self.api_path}count").body)["calls"])

    def state(self) -> dict[str, Any]:
        """All that a page could have changed."""
        rows = self.server.client.apis()
        return {
            "apis": [(row["name"], row["state"], row["desired_state"], row["serving"], row["summary"]) for row in rows],
            "files": {path.name: path.read_bytes() for path in sorted(self.directory.iterdir())},
        }

    @contextlib.contextmanager
    def page(self, url: str) -> Iterator[Any]:
        context = self.browser.new_context()
        try:
            page = context.new_page()
            page.goto(url)
            yield page
        finally:
            context.close()


class _EvilPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>evil</title><body>free wallpapers"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: what is asked of this server says nothing about ours."""


@contextlib.contextmanager
def evil_server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _EvilPage) as server:
        thread = threading.Thread(target=server.serve_forever, name="evil")
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = next(found for name in NAMES if (found := shutil.which(name)))
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, *as_root])
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    place = tmp_path_factory.mktemp("town")
    directory = place / "counter"
    directory.mkdir()
    (directory / "main.py").write_text(COUNTER)
    with running(place / "home", "process") as server, evil_server() as evil_port, chromium() as browser:
        (place / "greedy").mkdir()
        (place / "greedy" / "main.py").write_text(GREEDY)
        for name in ("counter", "greedy"):
            server.client.register({"directory": str(place / name)})
            server.until(name, "running")
        yield Town(server, browser, evil_port, directory)


PAIRS = [(page, target) for page in ("evil.example", "127.0.0.1", "localhost") for target in ("127.0.0.1", "localhost")]
CONTROL_PATHS = ["/api/v1/events", "/api/v1/apis", "/api/v1/server/stop", "/executor/stop/counter"]
ENCODINGS = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]


class TestAnotherOrigin:
    @pytest.mark.parametrize(("page", "target"), PAIRS)
    def test_reads_and_changes_nothing_of_the_control_api_even_with_the_token(
        self, town: Town, page: str, target: str
    ) -> None:
        before = town.state()
        paths = [*CONTROL_PATHS, "/api/v1/apis/counter", "/api/v1/apis/counter/upload", "/openapi.json", "/docs"]
        with town.page(f"http://{page}:{town.evil_port}/") as opened:
            found = opened.evaluate(ATTEMPTS, [f"http://{target}:{town.server.port}", town.token, paths])
        assert len(found) == 16 * len(paths)
        assert {name: result for name, result in found.items() if result.startswith("read")} == {}
        loaded = [name for name, result in found.items() if result == "opaque" and name.startswith("script")]
        assert loaded == []
        assert town.state() == before

    @pytest.mark.parametrize(("page", "target"), PAIRS)
    def test_reads_nothing_of_an_api_and_from_another_site_does_not_even_reach_it(
        self, town: Town, page: str, target: str
    ) -> None:
        before = town.calls()
        with town.page(f"http://{page}:{town.evil_port}/") as opened:
            url = f"http://{target}:{town.server.port}"
            found = opened.evaluate(ATTEMPTS, [url, town.token, [f"{town.api_path}from-a-page"]])
        assert {name: result for name, result in found.items() if result.startswith("read")} == {}
        reached = town.calls()[len(before) :]
        # A page on another port of the same host is of the same site: one under development, which may call.
        assert bool(reached) == (page == target)

    @pytest.mark.parametrize(("page", "target"), PAIRS)
    def test_submits_no_form(self, town: Town, page: str, target: str) -> None:
        before = town.state()
        for encoding, path in zip(ENCODINGS, CONTROL_PATHS[1:], strict=True):
            with town.page(f"http://{page}:{town.evil_port}/") as opened:
                with opened.expect_navigation() as navigation:
                    opened.evaluate(
                        """([url, encoding]) => {
                            const form = document.createElement("form");
                            Object.assign(form, { action: url, method: "POST", enctype: encoding });
                            form.innerHTML = '<input name="directory" value="/etc">';
                            document.body.append(form);
                            form.submit();
                        }""",
                        [f"http://{target}:{town.server.port}{path}", encoding],
                    )
                assert navigation.value.status == 403
        assert town.state() == before

    def test_cannot_hold_on_to_a_window_of_the_console(self, town: Town) -> None:
        with town.page(f"http://evil.example:{town.evil_port}/") as opened:
            with opened.context.expect_page() as popup:
                opened.evaluate("url => { window.held = window.open(url); }", f"{town.server.url}/docs")
            popup.value.wait_for_selector(".swagger-ui")
            wait_for(lambda: opened.evaluate("() => window.held.closed"), "the window to be out of reach", 10)

    @pytest.mark.parametrize("path", ["/docs", "/api/v1/apis", "/"])
    def test_under_a_foreign_name_the_server_answers_nobody(self, town: Town, path: str) -> None:
        context = town.browser.new_context()
        try:
            answer = context.new_page().goto(f"http://evil.example:{town.server.port}{path}")
            assert answer.status == 421
        finally:
            context.close()


class TestAnApisOwnPage:
    """By path an API has the origin of the console, in which its owner may have typed the token."""

    def test_gets_no_hold_of_a_window_of_the_console(self, town: Town) -> None:
        with town.page(town.greedy_url) as opened:
            with opened.context.expect_page() as popup:
                opened.evaluate("url => { window.held = window.open(url); }", f"{town.server.url}/docs")
            popup.value.wait_for_selector(".swagger-ui")
            wait_for(lambda: opened.evaluate("() => window.held.closed"), "the window to be out of reach", 10)

    def test_cannot_frame_the_console(self, town: Town) -> None:
        with town.page(town.greedy_url) as opened:
            framed = opened.evaluate(
                """url => new Promise(done => {
                    const frame = document.createElement("iframe");
                    frame.src = url;
                    frame.onload = () => {
                        try { done(frame.contentDocument.body.innerHTML); } catch (error) { done("out of reach"); }
                    };
                    document.body.append(frame);
                })""",
                f"{town.server.url}/docs",
            )
        assert framed == "out of reach"

    def test_cannot_put_a_service_worker_before_the_console(self, town: Town) -> None:
        with town.page(town.greedy_url) as opened:
            register = """([url, scope]) => navigator.serviceWorker.register(url, { scope })
                .then(() => "registered", error => error.name)"""
            worker = f"{town.greedy_url}worker.js"
            assert opened.evaluate(register, [worker, "/"]) == "SecurityError"
            assert opened.evaluate(register, [worker, town.greedy_url]) == "registered"


class TestConsole:
    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_renders_offline_and_calls_with_the_token(self, town: Town, tmp_path: Path, name: str) -> None:
        asked: list[str] = []
        broken: list[str] = []
        context = town.browser.new_context(viewport={"width": 1280, "height": 1600})
        try:
            page = context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("requestfailed", lambda request: broken.append(request.url))
            page.on("response", lambda answer: broken.append(answer.url) if answer.status >= 400 else None)
            page.on("pageerror", lambda error: broken.append(str(error)))
            page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
            page.goto(f"http://{name}:{town.server.port}/docs")
            page.wait_for_selector("#operations-apis-list_apis")
            page.screenshot(path=tmp_path / "docs.png")
            assert broken == []

            page.click(".btn.authorize")
            page.fill(".auth-container input", town.token)
            page.click(".auth-btn-wrapper .authorize")
            page.click(".auth-btn-wrapper .btn-done")
            page.click("#operations-apis-list_apis .opblock-summary-control")
            page.click("#operations-apis-list_apis .try-out__btn")
            page.click("#operations-apis-list_apis .execute")
            answer = "#operations-apis-list_apis .live-responses-table"
            page.wait_for_selector(f"{answer} .response-col_status")
            assert page.inner_text(f"{answer} tbody .response-col_status").split()[0] == "200"
            assert '"name": "counter"' in page.inner_text(f"{answer} .highlight-code")
            page.screenshot(path=tmp_path / "answered.png", full_page=True)
            assert broken == []
            assert {urlsplit(url).hostname for url in asked if not url.startswith("data:")} == {name}
        finally:
            context.close()

    def test_without_the_token_it_is_told_so(self, town: Town) -> None:
        with town.page(f"{town.server.url}/docs") as page:
            status = page.evaluate("async () => (await fetch('/api/v1/apis')).status")
        assert status == 401
