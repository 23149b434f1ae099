"""How the Node agent serves fetch handlers, listeners and upgrades."""

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.driver import AgentProcess, http_get
from tests.agents.node_programs import Project, launch, needs_node, read_until, serve

pytestmark = needs_node


@pytest.fixture
def agent() -> Iterator[AgentProcess]:
    with launch() as running:
        running.expect("hello")
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "api")


class TestFetchHandler:
    def ask(self, agent: AgentProcess, project: Project, body: str) -> int:
        port: int = serve(agent, project.tree(f"export default {{ async fetch(request) {{ {body} }} }};"))
        return port

    def test_the_request_is_whole(self, agent: AgentProcess, project: Project) -> None:
        port = self.ask(
            agent,
            project,
            "return Response.json({ url: request.url, method: request.method, a: request.headers.get('x-a'),"
            " cookie: request.headers.get('cookie'), body: await request.text() });",
        )
        forwarded = {"X-Forwarded-Host": "api.test", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/me/weather"}
        headers = {**forwarded, "X-A": "1", "Cookie": "s=1"}
        reply = http_get(port, "/now?q=ü%20x".replace("ü", "%C3%BC"), headers, method="POST", body=b"b" * 300_000)
        assert reply.json() == {
            "url": "https://api.test/now?q=%C3%BC%20x",
            "method": "POST",
            "a": "1",
            "cookie": "s=1",
            "body": "b" * 300_000,
        }

    def test_the_response_is_whole(self, agent: AgentProcess, project: Project) -> None:
        port = self.ask(
            agent,
            project,
            "const headers = new Headers({ 'x-b': '2' });"
            "headers.append('set-cookie', 'a=1'); headers.append('set-cookie', 'b=2');"
            "return new Response('made', { status: 201, headers });",
        )
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.status == 201
        assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert response.headers["content-length"] == "4"
        assert response.read() == b"made"
        connection.request("HEAD", "/")  # the same connection goes on
        response = connection.getresponse()
        assert (response.status, response.read()) == (201, b"")
        connection.close()

    def test_bodies_pass_in_both_directions_as_they_come(self, agent: AgentProcess, project: Project) -> None:
        port = self.ask(
            agent,
            project,
            "return new Response(request.body.pipeThrough(new TransformStream()), { headers: { 'x-m': '1' } });",
        )
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            link.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            assert read_until(link, b"one").startswith(b"HTTP/1.1 200")
            link.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
            assert b"two" in read_until(link, b"0\r\n\r\n")

    def test_an_unread_body_leaves_the_connection_usable(self, agent: AgentProcess, project: Project) -> None:
        port = self.ask(agent, project, "return new Response('no thanks');")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        for _ in range(2):
            connection.request("POST", "/", body=b"x" * 500_000)
            assert connection.getresponse().read() == b"no thanks"
        connection.close()

    def test_events_are_streamed_and_the_signal_tells_that_the_client_left(
        self, agent: AgentProcess, project: Project
    ) -> None:
        port = self.ask(
            agent,
            project,
            "request.signal.addEventListener('abort', () => console.log('client left'));"
            "const stream = new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('data: 1\\n\\n')); },"
            " cancel() { console.log('stream cancelled'); } });"
            "return new Response(stream, { headers: { 'content-type': 'text/event-stream' } });",
        )
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"text/event-stream" in read_until(link, b"data: 1\n\n")
        agent.expect("log", line="client left")
        agent.expect("log", line="stream cancelled")

    @pytest.mark.parametrize("body", ["throw new Error('secret plan');", "return 'text';", "return Response.error();"])
    def test_a_failing_handler_answers_500_and_keeps_the_stack_to_the_log(
        self, agent: AgentProcess, project: Project, body: str
    ) -> None:
        reply = http_get(self.ask(agent, project, body))
        assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
        assert reply.json()["status"] == 500
        assert "secret" not in reply.text
        assert "index.mjs" not in reply.text
        agent.expect("log", gen=1, stream="err")

    def test_a_failing_listener_answers_500(self, agent: AgentProcess, project: Project) -> None:
        port = serve(agent, project.tree("export default async (req, res) => { throw new Error('x'); };"))
        assert [http_get(port).status, http_get(port).status] == [500, 500]


class TestWebSocket:
    def test_an_upgrade_reaches_the_programs_server(self, agent: AgentProcess, project: Project) -> None:
        text = """
        import { createHash } from "node:crypto";
        import http from "node:http";
        const server = http.createServer();
        server.on("upgrade", (request, socket) => {
          const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
          const accept = createHash("sha1").update(key).digest("base64");
          socket.write("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n" +
            `Sec-WebSocket-Accept: ${accept}\\r\\n\\r\\n`);
          socket.on("data", (data) => socket.write(data));
        });
        export default server;"""
        port = serve(agent, project.tree(text))
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            link.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in read_until(link, b"\r\n\r\n")
            link.sendall(b"\x81\x02hi")
            assert read_until(link, b"hi") == b"\x81\x02hi"
