"""Applications that nobody here wrote run unchanged, as published, on every engine: by path and by host."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conftest import RunningServer
from tests.e2e.published import from_npm, from_pypi

pytestmark = pytest.mark.slow

STARTED_WITHIN_S = 55.0
OWN_LINK = re.compile(r"""<(?:link|script|img)\b[^>]*?(?:href|src)=["']?(?!https?:|//|data:)([^"' >]+)""")
HTTPBIN = "httpbin==0.10.4"
TITILER = "titiler.application==0.18.10"
DATASETTE = "datasette==1.0a41"
PEER = "peer@1.0.2"
JSON_SERVER = "json-server@0.17.4"

Install = Callable[..., str]


@dataclass
class Site:
    """One application, through the gateway in one of the two ways."""

    http: httpx2.Client
    prefix: str
    """What its paths begin with, seen from outside."""
    address: tuple[str, int]

    @property
    def origin(self) -> str:
        return f"http://{self.http.headers['host']}"

    def get(self, path: str = "", **options: object) -> httpx2.Response:
        return self.http.get(f"{self.prefix}/{path}", **options)  # type: ignore[arg-type]

    def page(self, path: str = "") -> str:
        """A page of HTML, everything of its own that it links to being there."""
        answer = self.get(path, follow_redirects=True)
        assert answer.status_code == 200, (path, answer)
        assert answer.headers["content-type"].startswith("text/html")
        links = {urljoin(str(answer.url), link.replace("&amp;", "&")) for link in OWN_LINK.findall(answer.text)}
        assert links
        for link in links:
            assert self.http.get(link, follow_redirects=True).status_code == 200, link
        return answer.text

    def websocket(self, path: str) -> ClientConnection:
        where = f"ws://{self.http.headers['host']}{self.prefix}/{path}"
        return connect(where, sock=socket.create_connection(self.address), proxy=None)


@pytest.fixture(scope="module")
def install(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """Called with an application as published, and what its apimarket.toml is to say; registers it, waits until it
    runs, and answers its name. The same application is registered once."""
    names: list[str] = []

    def register(published: str, manifest: str = "", data: dict[str, str] | None = None) -> str:
        name = re.split("[=.@]", published)[0]
        if name in names:
            return name
        fetch = from_npm if "@" in published else from_pypi
        directory = fetch(published, tmp_path_factory.mktemp("published") / name)
        runtime = "node" if "@" in published else "python"
        if manifest:
            text = f'[api]\nname = "{name}"\nruntime = "{runtime}"\n\n[run]\n{manifest}'
            (directory / "apimarket.toml").write_text(text)
        for file, content in (data or {}).items():
            (directory / file).write_text(content)
        server.run("add", str(directory), "--name", name)
        names.append(name)
        server.until(name, "running", STARTED_WITHIN_S)
        return name

    yield register
    for name in names:
        server.run("rm", name, "--yes")


@pytest.fixture(scope="module", params=["path", "host"])
def visit(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Callable[[str], Site]]:
    """Called with an API's name, opens its site by path or by host."""
    opened: list[httpx2.Client] = []

    def enter(name: str) -> Site:
        row = server.client.api(name)
        by_host = request.param == "host"
        prefix = "" if by_host else urlsplit(row["url"]).path.rstrip("/")
        host = urlsplit(row["host_url"] if by_host else row["url"]).netloc
        # No environment: a proxy of this machine is not the way to loopback.
        opened.append(httpx2.Client(base_url=server.url, headers={"Host": host}, timeout=20, trust_env=False))
        return Site(opened[-1], prefix, ("127.0.0.1", server.port))

    yield enter
    for client in opened:
        client.close()


class TestHttpbin:
    """WSGI (Flask), found and run without a word about it."""

    @pytest.fixture
    def site(self, install: Install, visit: Callable[[str], Site]) -> Site:
        return visit(install(HTTPBIN))

    def test_its_pages_and_what_they_link_to_are_there(self, site: Site) -> None:
        page = site.get()
        assert "httpbin" in page.text
        links = re.findall(r'href="(/[^"]+)"', page.text)
        assert len(links) > 30
        assert all(link.startswith(f"{site.prefix}/") for link in links)
        assert "Moby-Dick" in site.http.get(next(link for link in links if link.endswith("/html"))).text
        assert site.get("forms/post").headers["content-type"].startswith("text/html")

    def test_it_knows_its_own_address(self, site: Site) -> None:
        echo = site.get("get", params={"a": "1 &ä"}).json()
        assert echo["args"] == {"a": "1 &ä"}
        assert echo["url"].startswith(f"{site.origin}{site.prefix}/get?a=")

    @pytest.mark.parametrize("status", [200, 204, 304, 400, 418, 500, 503])
    def test_every_status_comes_through(self, site: Site, status: int) -> None:
        assert site.get(f"status/{status}").status_code == status

    def test_redirects_stay_below_its_prefix(self, site: Site) -> None:
        answer = site.get("redirect/3", follow_redirects=True)
        assert [step.status_code for step in answer.history] == [302, 302, 302]
        assert answer.url.path == f"{site.prefix}/get"
        location = site.get("absolute-redirect/2").headers["location"]
        assert location == f"{site.origin}{site.prefix}/absolute-redirect/1"

    def test_cookies_come_and_go(self, site: Site) -> None:
        site.http.cookies.clear()
        assert site.get("cookies/set?flavour=oat", follow_redirects=True).json() == {"cookies": {"flavour": "oat"}}
        deleted = site.get("cookies/delete?flavour", follow_redirects=True).json()
        assert deleted == {"cookies": {}}

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_compressed_answers_stay_compressed(self, site: Site, encoding: str) -> None:
        answer = site.get(encoding)
        assert answer.headers["content-encoding"] == encoding
        assert answer.json()[{"gzip": "gzipped", "deflate": "deflated"}[encoding]] is True

    def test_bodies_of_every_kind_arrive_whole(self, site: Site) -> None:
        large = "x" * 3_000_000
        assert site.http.put(f"{site.prefix}/put", content=large).json()["data"] == large
        form = site.http.post(f"{site.prefix}/post", data={"a": "1"}, files={"f": b"\xff\0"}).json()
        assert (form["form"], form["files"]) == ({"a": "1"}, {"f": "data:application/octet-stream;base64,/wA="})
        # It refuses bodies without a length itself, everywhere but behind gunicorn.
        chunked = site.http.patch(f"{site.prefix}/patch", content=iter([b"one ", b"two"]))
        assert (chunked.status_code, "Chunked requests are not supported" in chunked.text) == (501, True)

    def test_large_and_partial_answers(self, site: Site) -> None:
        assert len(site.get("bytes/102400").content) == 102_400
        assert len(site.get("stream-bytes/102400?chunk_size=1000").content) == 102_400
        part = site.get("range/65536", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.text, part.headers["content-range"]) == (
            206,
            "klmnopqrst",
            "bytes 10-19/65536",
        )
        assert site.get("image/png").content.startswith(b"\x89PNG")

    def test_lines_are_streamed(self, site: Site) -> None:
        with site.http.stream("GET", f"{site.prefix}/stream/20") as answer:
            assert [json.loads(line)["id"] for line in answer.iter_lines()] == list(range(20))

    def test_what_drips_is_passed_on_as_it_comes(self, site: Site) -> None:
        with site.http.stream("GET", f"{site.prefix}/drip?numbytes=4&duration=0.8&delay=0") as answer:
            times = [time.monotonic() for _ in answer.iter_raw()]
        assert len(times) == 4
        assert times[-1] - times[0] > 0.4

    def test_its_own_log_in_and_caching_work(self, site: Site) -> None:
        assert site.get("basic-auth/ann/secret").headers["www-authenticate"].startswith("Basic")
        assert site.get("basic-auth/ann/secret", auth=("ann", "secret")).json()["authenticated"] is True
        assert site.get("etag/abc", headers={"If-None-Match": '"abc"'}).status_code == 304


class TestTitiler:
    """ASGI (FastAPI): a tile server on GDAL, in a package of its own."""

    @pytest.fixture
    def site(self, install: Install, visit: Callable[[str], Site]) -> Site:
        return visit(install(TITILER, 'entry = "titiler.application.main:app"\n'))

    def test_it_answers(self, site: Site) -> None:
        assert site.get("healthz").json() == {"ping": "pong!"}
        assert "hillshade" in site.get("algorithms").json()

    def test_its_documents_find_their_description(self, site: Site) -> None:
        page = site.get("api.html")
        assert page.headers["content-type"].startswith("text/html")
        assert f"url: '{site.prefix}/api'" in page.text
        described = site.get("api")
        assert "/colorMaps/{colorMapId}" in described.json()["paths"]
        assert len(described.content) > 500_000

    def test_its_links_lead_where_they_say(self, site: Site) -> None:
        sets = site.get("tileMatrixSets").json()["tileMatrixSets"]
        (link,) = (one["links"][0]["href"] for one in sets if one["id"] == "WebMercatorQuad")
        assert link == f"{site.origin}{site.prefix}/tileMatrixSets/WebMercatorQuad"
        assert site.http.get(urlsplit(link).path).json()["id"] == "WebMercatorQuad"

    def test_its_redirects_stay_below_its_prefix(self, site: Site) -> None:
        moved = site.get("healthz/")
        assert (moved.status_code, moved.headers["location"]) == (307, f"{site.origin}{site.prefix}/healthz")

    def test_it_draws(self, site: Site) -> None:
        picture = site.get("colorMaps/viridis", params={"format": "png"})
        assert picture.headers["content-type"] == "image/png"
        assert picture.content.startswith(b"\x89PNG")

    def test_its_refusals_are_its_own(self, site: Site) -> None:
        refused = site.get("cog/info")
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["query", "url"])


class TestDatasette:
    """ASGI with a server of its own, started by its command line."""

    @pytest.fixture
    def site(self, server: RunningServer, install: Install, visit: Callable[[str], Site]) -> Site:
        base = f"/{server.client.server()['owner']}/datasette"
        words = ["python", "-m", "datasette", "serve", "--memory", "--host", "$HOST", "--port", "$PORT"]
        site = visit(install(DATASETTE, f"command = {json.dumps([*words, '--setting', 'base_url', base + '/'])}\n"))
        site.prefix = base
        return site

    def test_its_pages_and_what_they_link_to_are_there(self, site: Site) -> None:
        assert "_memory" in site.page()
        assert "select 40 + 2" in site.page("_memory/-/query?sql=select+40+%2B+2")

    def test_its_queries_are_answered(self, site: Site) -> None:
        answer = site.get("_memory/-/query.json", params={"sql": "select 40 + 2 as answer", "_shape": "array"})
        assert answer.json() == [{"answer": 42}]
        assert site.get("_memory/-/query.csv?sql=select+1+as+one").text.split() == ["one", "1"]

    def test_its_redirects_stay_below_its_prefix(self, site: Site) -> None:
        moved = site.get("_memory?sql=select+1")
        assert moved.status_code == 302
        assert urlsplit(moved.headers["location"]).path == f"{site.prefix}/_memory/-/query"


class TestPeer:
    """Express, with WebSockets beside it: the PeerJS server."""

    @pytest.fixture
    def site(self, install: Install, visit: Callable[[str], Site]) -> Site:
        words = ["node", "dist/bin/peerjs.js", "--host", "$HOST", "--port", "$PORT"]
        return visit(install(PEER, f"command = {json.dumps(words)}\n"))

    def test_it_answers(self, site: Site) -> None:
        assert site.get().json()["name"] == "PeerJS Server"
        assert re.fullmatch(r"[0-9a-f-]{36}", site.get("peerjs/id").text)
        assert site.get("peerjs/peers").status_code == 401

    def test_two_peers_find_each_other(self, site: Site) -> None:
        ann, bob = (f"peerjs?key=peerjs&id={name}-{time.time_ns()}&token=t" for name in ("ann", "bob"))
        with site.websocket(ann) as first, site.websocket(bob) as second:
            assert json.loads(first.recv(5)) == {"type": "OPEN"}
            assert json.loads(second.recv(5)) == {"type": "OPEN"}
            to = bob.split("id=")[1].split("&")[0]
            first.send(json.dumps({"type": "OFFER", "dst": to, "payload": {"sdp": "x" * 100_000}}))
            heard = json.loads(second.recv(5))
            assert (heard["type"], len(heard["payload"]["sdp"])) == ("OFFER", 100_000)


class TestJsonServer:
    """Express, with files of its own, on data that its user brings."""

    POSTS: ClassVar = [{"id": number, "author": "ann" if number % 2 else "bob"} for number in range(1, 26)]

    @pytest.fixture
    def site(self, install: Install, visit: Callable[[str], Site]) -> Site:
        words = ["node", "lib/cli/bin.js", "--host", "$HOST", "--port", "$PORT", "db.json"]
        data = {"db.json": json.dumps({"posts": self.POSTS, "profile": {"name": "blog"}})}
        return visit(install(JSON_SERVER, f"command = {json.dumps(words)}\n", data))

    def test_its_page_and_what_it_links_to_are_there(self, site: Site) -> None:
        assert "JSON Server" in site.page()

    def test_its_resources_are_answered(self, site: Site) -> None:
        assert site.get("posts/7").json() == self.POSTS[6]
        assert site.get("posts/99").status_code == 404
        assert len(site.get("posts?author=bob").json()) == 12
        assert site.get("profile").json() == {"name": "blog"}

    def test_its_pages_are_counted_in_headers(self, site: Site) -> None:
        answer = site.get("posts?_page=2&_limit=10")
        assert [post["id"] for post in answer.json()] == list(range(11, 21))
        assert answer.headers["x-total-count"] == "25"
        assert answer.links["next"]["url"].endswith("/posts?_page=3&_limit=10")
