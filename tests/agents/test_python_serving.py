"""What the Python agent can serve, and what a program served by it sees of the outer request."""

import http.client
import json
import textwrap
from typing import ClassVar

import pytest
import websockets.sync.client

from tests.agents.conftest import PythonAgent, Tree
from tests.agents.driver import AgentProcess, Reply, http_get
from tests.agents.python_programs import ASGI, SITE_PACKAGES, failure, function, serve

OUTSIDE = {
    "X-Forwarded-Prefix": "/ann/shop",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.9",
    "Host": "market.test",
}

BOXED = (
    ASGI
    + """
class Box: pass
box = Box()
box.inner = Box()
box.inner.app = app
"""
)
ASGI2 = """
class App:
    def __init__(self, scope):
        assert scope["type"] == "http"

    async def __call__(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"VERSION"})
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"VERSION"]
"""
CALLABLE = """
class Answer:
    async def __call__(self, request):
        return "VERSION"

handler = Answer()
"""


@pytest.fixture
def python_agent(borrowed_python_agent: PythonAgent) -> PythonAgent:
    return borrowed_python_agent


class TestKinds:
    @pytest.mark.parametrize(
        ("code", "entry", "kind"),
        [
            (ASGI, "main:app", "asgi"),
            (ASGI, "main", "asgi"),
            (BOXED, "main:box.inner.app", "asgi"),
            (f"{ASGI}\ndef create_app(debug=False):\n    return app\n", "main:create_app", "asgi"),
            (f"{ASGI}\nasync def star(*args):\n    await app(*args)\n", "main:star", "asgi"),
            (ASGI2, "main:App", "asgi"),
            (WSGI, "main:app", "wsgi"),
            ("def handler():\n    return 'VERSION'\n", "main:handler", "function"),
            ("def handler(request, limit=10):\n    return 'VERSION'\n", "main", "function"),
            (CALLABLE, "main", "function"),
        ],
    )
    def test_entry_is_served_as_its_kind(
        self, shared_python_agent: AgentProcess, tree: Tree, code: str, entry: str, kind: str
    ) -> None:
        agent, gen = shared_python_agent, shared_python_agent.next_gen()
        agent.start(gen, tree({"main.py": code}), entry=entry)
        ready = agent.expect_either("ready", "failed", gen=gen)
        assert ready["t"] == "ready", ready
        assert ready["kind"] == kind
        assert http_get(ready["port"]).body == b"VERSION"

    def test_entry_in_a_package(self, python_agent: PythonAgent, tree: Tree) -> None:
        directory = tree({"shop/__init__.py": "", "shop/web.py": "from .part import app\n", "shop/part.py": ASGI})
        assert http_get(serve(python_agent(), 1, directory, "shop.web:app")).body == b"VERSION"


class TestSourceLayout:
    """`src` as uvicorn's users have it (`src.main:app`) and as packagers do (`main:app`, with `src` searched)."""

    FILES: ClassVar = {
        "src/main.py": "from sibling import NAME\n\ndef handler():\n    return [NAME, __name__]\n",
        "src/sibling.py": "from shop import NAME\n",
        "src/shop/__init__.py": "from .part import NAME\n",
        "src/shop/part.py": "NAME = __name__\n",
    }

    @pytest.mark.parametrize("entry", ["src.main:handler", "main:handler"])
    def test_modules_find_each_other_in_it(self, shared_python_agent: AgentProcess, tree: Tree, entry: str) -> None:
        agent, gen = shared_python_agent, shared_python_agent.next_gen()
        directory = tree(self.FILES)
        name, module = http_get(serve(agent, gen, directory, entry)).json()
        assert (name, module) == ("shop.part", entry.partition(":")[0])

    def test_it_hides_nothing_that_was_found_without_it(self, shared_python_agent: AgentProcess, tree: Tree) -> None:
        agent = shared_python_agent
        main = "import click, colorsys, src.click\n\ndef handler():\n    return [m.__file__ for m in %s]\n"
        modules = "(click, colorsys, src.click)"
        files = {"src/main.py": main % modules, "src/click.py": "", "src/colorsys.py": ""}
        for files_, entry in ((files, "src.main:handler"), ({**files, "main.py": main % modules}, "main:handler")):
            directory = tree(files_)
            click, colorsys, own = http_get(serve(agent, agent.next_gen(), directory, entry)).json()
            assert not [place for place in (click, colorsys) if place.startswith(str(directory))]
            assert own == str(directory / "src" / "click.py")

    def test_a_program_that_lies_in_it_means_its_neighbours(
        self, shared_python_agent: AgentProcess, tree: Tree
    ) -> None:
        agent = shared_python_agent
        code = "import click, wave\n\ndef handler():\n    return [m.__file__ for m in (click, wave)]\n"
        directory = tree({"src/main.py": code, "src/click.py": "", "src/wave.py": ""})
        found = http_get(serve(agent, agent.next_gen(), directory, "main:handler")).json()
        assert found == [str(directory / "src" / "click.py"), str(directory / "src" / "wave.py")]

    def test_a_package_called_src_is_no_place_to_look_in(self, shared_python_agent: AgentProcess, tree: Tree) -> None:
        agent = shared_python_agent
        failed = failure(agent, agent.next_gen(), tree({**self.FILES, "src/__init__.py": ""}), "src.main:handler")
        assert (failed["kind"], failed["file"], failed["line"]) == ("import", "src/main.py", 1)

    def test_a_missing_entry_is_told_with_the_files_in_it(self, shared_python_agent: AgentProcess, tree: Tree) -> None:
        agent = shared_python_agent
        failed = failure(agent, agent.next_gen(), tree({"setup.py": "", **self.FILES}), "web:app")
        assert failed["kind"] == "entry"
        assert "The directory has setup.py, src/main.py, src/sibling.py" in failed["message"]


class TestFunctions:
    @pytest.fixture
    def agent(self, shared_python_agent: AgentProcess) -> AgentProcess:
        return shared_python_agent

    @pytest.fixture
    def gen(self, agent: AgentProcess) -> int:
        return agent.next_gen()

    @pytest.mark.parametrize(
        ("body", "status", "content_type", "content"),
        [
            ('return {"é": [1, None]}', 200, "application/json", '{"é":[1,null]}'.encode()),
            ("return [1]", 200, "application/json", b"[1]"),
            ("return None", 204, None, b""),
            ("return 'plain'", 200, "text/plain; charset=utf-8", b"plain"),
            ("return '<!doctype html><p>'", 200, "text/html; charset=utf-8", b"<!doctype html><p>"),
            ("return b'\\x00\\xff'", 200, "application/octet-stream", b"\x00\xff"),
            ("return {'made': 1}, 201", 201, "application/json", b'{"made":1}'),
            ("return 'a,b', 200, {'Content-Type': 'text/csv'}", 200, "text/csv", b"a,b"),
            ("return None, 404", 404, None, b""),
        ],
    )
    def test_result_becomes_the_response(
        self,
        agent: AgentProcess,
        gen: int,
        tree: Tree,
        body: str,
        status: int,
        content_type: str | None,
        content: bytes,
    ) -> None:
        reply = http_get(serve(agent, gen, tree(function(body)), "main:handler"))
        assert (reply.status, reply.headers.get("content-type"), reply.body) == (status, content_type, content)

    def test_request_is_whole(self, agent: AgentProcess, gen: int, tree: Tree) -> None:
        body = """
        return {"method": request.method, "path": request.path, "query": request.query, "type": request.headers["x-a"],
                "body": request.body.decode(), "text": request.text(), "json": request.json(), "client": request.client}
        """
        port = serve(agent, gen, tree(function(body)), "main:handler")
        headers = {**OUTSIDE, "X-A": "b"}
        reply = http_get(port, "/things/%C3%A9?a=1&b=&a=2", headers, method="PUT", body=b"[1]").json()
        assert reply == {
            "method": "PUT",
            "path": "/things/é",
            "query": {"a": "2", "b": ""},
            "type": "b",
            "body": "[1]",
            "text": "[1]",
            "json": [1],
            "client": "203.0.113.9",
        }

    def test_bad_json_is_the_callers_fault(self, agent: AgentProcess, gen: int, tree: Tree) -> None:
        port = serve(agent, gen, tree(function("return request.json()")), "main:handler")
        reply = http_get(port, method="POST", body=b"{")
        assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
        assert reply.json()["status"] == 400
        assert agent.logs(gen, "err") == []

    @pytest.mark.parametrize(
        "body", ["raise ValueError('secret')", "return object()", "return 'x', 99", "return 1, 2, 3, 4"]
    )
    def test_error_is_told_to_the_author_and_not_to_the_caller(
        self, agent: AgentProcess, gen: int, tree: Tree, body: str
    ) -> None:
        port = serve(agent, gen, tree(function(body)), "main:handler")
        reply = http_get(port)
        assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
        assert "secret" not in reply.text
        assert "Traceback" not in reply.text
        agent.expect("log", gen=gen, line="Traceback (most recent call last):")
        assert http_get(port).status == 500

    def test_sync_functions_run_side_by_side(self, agent: AgentProcess, gen: int, tree: Tree) -> None:
        code = """
        import threading
        meeting = threading.Barrier(3, timeout=5)

        def handler(request):
            meeting.wait()
            return "met"
        """
        port = serve(agent, gen, tree({"main.py": textwrap.dedent(code)}), "main:handler")
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(3)]
        for connection in connections:
            connection.request("GET", "/")
        assert [connection.getresponse().read() for connection in connections] == [b"met"] * 3
        for connection in connections:
            connection.close()


class TestOutsideRequest:
    def ask(self, port: int, path: str, headers: dict[str, str] = OUTSIDE) -> Reply:
        return http_get(port, path, headers)

    def test_asgi_sees_prefix_scheme_and_client(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        import json
        async def app(scope, receive, send):
            seen = {name: scope[name] for name in ("root_path", "path", "scheme", "client")}
            seen["raw_path"] = scope["raw_path"].decode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
        """
        port = serve(python_agent(), 1, tree({"main.py": textwrap.dedent(code)}))
        assert self.ask(port, "/a%20b").json() == {
            "root_path": "/ann/shop",
            "path": "/ann/shop/a b",
            "raw_path": "/ann/shop/a%20b",
            "scheme": "https",
            "client": ["203.0.113.9", 0],
        }
        bare = self.ask(port, "/x", {}).json()
        assert (bare["root_path"], bare["path"], bare["scheme"]) == ("", "/x", "http")

    def test_fastapi_routes_and_docs_know_the_prefix(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        from fastapi import FastAPI, Request
        app = FastAPI()

        @app.get("/items/{number}", name="item")
        def item(number: int, request: Request):
            return {"url": str(request.url_for("item", number=number)), "client": request.client.host}
        """
        port = serve(python_agent(SITE_PACKAGES), 1, tree({"main.py": textwrap.dedent(code)}))
        assert self.ask(port, "/items/3").json() == {
            "url": "https://market.test/ann/shop/items/3",
            "client": "203.0.113.9",
        }
        assert "/ann/shop/openapi.json" in self.ask(port, "/docs").text
        assert self.ask(port, "/openapi.json").json()["servers"] == [{"url": "/ann/shop"}]

    def test_wsgi_sees_script_name(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        import json
        def app(environ, start_response):
            names = ("SCRIPT_NAME", "PATH_INFO", "wsgi.url_scheme", "REMOTE_ADDR", "QUERY_STRING", "HTTP_HOST")
            start_response("200 OK", [("Content-Type", "application/json")])
            yield json.dumps([environ[name] for name in names]).encode()
            yield environ["wsgi.input"].read()
        """
        port = serve(python_agent(), 1, tree({"main.py": textwrap.dedent(code)}))
        reply = http_get(port, "/x/y?q=1", OUTSIDE, method="POST", body=b"body")
        expected = ["/ann/shop", "/x/y", "https", "203.0.113.9", "q=1", "market.test"]
        assert reply.body == json.dumps(expected).encode() + b"body"

    def test_wsgi_reads_a_body_without_a_length(self, shared_python_agent: AgentProcess, tree: Tree) -> None:
        code = """
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"%r " % environ.get("wsgi.input_terminated"), environ["wsgi.input"].read()]
        """
        agent = shared_python_agent
        connection = http.client.HTTPConnection(
            "127.0.0.1", serve(agent, agent.next_gen(), tree({"main.py": textwrap.dedent(code)})), timeout=10
        )
        connection.request("POST", "/", iter([b"one ", b"two"]))  # chunked
        assert connection.getresponse().read() == b"True one two"
        connection.close()


class TestStreams:
    def test_websocket_echo(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        async def app(scope, receive, send):
            assert scope["type"] == "websocket"
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": scope["scheme"] + " " + scope["path"]})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"].upper()})
        """
        for layers in ((), (SITE_PACKAGES,)):  # the serving packages' wsproto, and a layer's own websockets
            agent = python_agent(*layers)
            port = serve(agent, 1, tree({"main.py": textwrap.dedent(code)}))
            with websockets.sync.client.connect(
                f"ws://127.0.0.1:{port}/chat", additional_headers={k: v for k, v in OUTSIDE.items() if k != "Host"}
            ) as connection:
                assert connection.recv(10) == "wss /ann/shop/chat"
                connection.send("hello")
                assert connection.recv(10) == "HELLO"

    def test_streamed_response_comes_as_it_is_made(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        import asyncio
        async def app(scope, receive, send):
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
            assert (await receive())["type"] == "http.request"
            assert (await receive())["type"] == "http.disconnect"
            print("caller left", flush=True)
        """
        agent = python_agent()
        connection = http.client.HTTPConnection("127.0.0.1", serve(agent, 1, tree({"main.py": textwrap.dedent(code)})))
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.readline() == b"data: 1\n"
        response.close()
        connection.close()
        agent.expect("log", gen=1, line="caller left")


class TestServingPackages:
    def test_layers_own_uvicorn_wins(self, python_agent: PythonAgent, tree: Tree) -> None:
        body = "import uvicorn, sys\nreturn [uvicorn.__file__, 'uvloop' in sys.modules, 'httptools' in sys.modules]"
        file, uvloop, httptools = http_get(
            serve(python_agent(SITE_PACKAGES), 1, tree(function(body)), "main:handler")
        ).json()
        assert file.startswith(str(SITE_PACKAGES))
        assert uvloop
        assert httptools

    def test_without_any_it_is_said_what_to_do(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent(env={"APIMARKET_SUPPORT": ""})
        message = failure(agent, 1, tree({"main.py": ASGI}))
        assert message["kind"] == "import"
        assert "Add uvicorn to requirements.txt" in message["message"]
