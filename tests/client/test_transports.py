"""The same facts over both transports, against a server that speaks the contract."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import Any

import pytest

from local_server.client.asynchronous import AsyncClient
from local_server.client.errors import ApimarketClientError, ServerUnreachableError
from local_server.client.synchronous import Client
from local_server.wire.apis import ApiView, RegisterApi, ScaffoldApi
from local_server.wire.events import ApiGone, ApiUpdated, EngineUpdated, LogsWritten, Resync, WireEvent
from tests.client.fake_server import TOKEN, FakeServer, Got, Refusal, log_line

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["sync", "async"])
async def ask(request: pytest.FixtureRequest, server: FakeServer) -> AsyncIterator[Ask]:
    """`await ask("api", "hello")` calls that method over one of the two transports and gives back plain JSON."""
    asynchronous = AsyncClient(server.url, TOKEN)
    synchronous = Client(server.url, TOKEN)

    async def call(method: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return await asyncio.to_thread(getattr(synchronous, method), *args, **kwargs)
        answer = await getattr(asynchronous, method)(*args, **kwargs)
        if isinstance(answer, list):
            return [item.model_dump(mode="json") for item in answer]
        return answer.model_dump(mode="json") if hasattr(answer, "model_dump") else answer

    yield call
    await asynchronous.close()


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """The URL of a listener that answers every connection with `raw`, whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(raw)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@contextmanager
def losing_answers(lost: int) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a listener that hangs up on so many requests and answers the others with an empty object; and what it
    was asked."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def take_in() -> None:
            while True:
                with listener.accept()[0] as connection:
                    request = b""
                    while not request.endswith(b"}"):
                        if not (part := connection.recv(65536)):
                            return
                        request += part
                    got.append(request)
                    if len(got) > lost:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        thread = threading.Thread(target=take_in)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
        socket.create_connection(listener.getsockname()).close()
        thread.join()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class TestCalls:
    async def test_answers_are_the_wire_models(self, ask: Ask, server: FakeServer) -> None:
        view = server.add("hello")

        assert await ask("api", "hello") == view.model_dump(mode="json")
        assert await ask("apis") == [view.model_dump(mode="json")]
        assert (await ask("server"))["home"] == str(server.home)
        assert [template["name"] for template in await ask("templates")] == ["python", "node", "go"]

    async def test_every_call_carries_the_token(self, ask: Ask, server: FakeServer) -> None:
        await ask("doctor")

        assert server.got[-1].headers["Authorization"] == f"Bearer {TOKEN}"

    async def test_acts_say_what_they_did(self, ask: Ask, server: FakeServer) -> None:
        server.add("hello")

        assert (await ask("stop", "hello"))["state"] == "stopped"
        assert (await ask("deploy", "me/hello"))["state"] == "running"
        assert await ask("remove", "hello") is None
        assert server.apis == {}

    async def test_logs_are_asked_for_from_a_time_on(self, ask: Ask, server: FakeServer) -> None:
        server.add("hello")
        server.logs = [log_line("old", 1), log_line("new", 2)]

        assert [line["text"] for line in await ask("logs", "hello", 10, server.logs[1].at.isoformat())] == ["new"]

    async def test_a_refusal_keeps_all_its_parts(self, ask: Ask, server: FakeServer) -> None:
        server.refusal = Refusal(409, "name_taken", "It is taken", "Choose another", name="hello", directory="/x")

        with pytest.raises(ApimarketClientError) as caught:
            await ask("apis")

        error = caught.value
        assert (str(error), error.detail, error.hint) == ("It is taken", "It is taken", "Choose another")
        assert (error.status, error.code, error.title) == (409, "name_taken", "name_taken")
        assert error.extra == {"name": "hello", "directory": "/x"}


class TestBodies:
    async def test_the_async_client_sends_models(self, server: FakeServer) -> None:
        async with AsyncClient(server.url, TOKEN) as client:
            made = await client.scaffold(ScaffoldApi(name="hello", directory=str(server.home / "hello")))
            again = await client.register(RegisterApi(directory="/srv/other"))

        assert (made.name, again.name) == ("hello", "other")
        assert isinstance(made, ApiView)

    def test_the_sync_client_sends_documents(self, server: FakeServer) -> None:
        made = Client(server.url, TOKEN).register({"directory": "/srv/hello", "name": None, "start": True})

        assert made["name"] == "hello"


def both(url: str) -> list[Callable[[], Awaitable[Any]]]:
    async def over_http() -> Any:
        async with AsyncClient(url, "secret") as client:
            return await client.server()

    async def over_sockets() -> Any:
        return await asyncio.to_thread(Client(url, "secret").server)

    return [over_http, over_sockets]


class TestWrongServers:
    async def test_nobody_there(self) -> None:
        for ask in both(closed_port()):
            with pytest.raises(ServerUnreachableError, match="connection refused"):
                await ask()

    async def test_an_answer_cut_short(self) -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        for index in range(2):
            with answering(raw) as url, pytest.raises(ServerUnreachableError):
                await both(url)[index]()

    @pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}"])
    async def test_another_program(self, body: bytes) -> None:
        raw = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        # An object without the fields passes the light client, which reads and does not validate.
        for index in range(1 if body == b"{}" else 2):
            with answering(raw) as url, pytest.raises(ApimarketClientError) as caught:
                await both(url)[index]()
            assert caught.value.code == "unexpected_answer"

    async def test_a_redirect_is_not_followed(self, server: FakeServer) -> None:
        raw = f"HTTP/1.1 302 Found\r\nLocation: {server.url}/health\r\nContent-Length: 0\r\n\r\n".encode()
        for index in range(2):
            with answering(raw) as url, pytest.raises(ApimarketClientError) as caught:
                await both(url)[index]()
            assert caught.value.status == 302
        assert server.got == []

    async def test_a_proxy_of_the_environment_is_not_asked(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, closed_port())
        async with AsyncClient(server.url, TOKEN) as client:
            assert (await client.server()).owner == "me"
        assert Client(server.url, TOKEN).server()["owner"] == "me"

    @pytest.mark.parametrize("url", ["", "nonsense", "ftp://127.0.0.1", "http://127.0.0.1:port"])
    def test_an_address_that_is_none(self, url: str) -> None:
        with pytest.raises(ApimarketClientError, match="is not an address"):
            Client(url).server()


class TestLostAnswers:
    """Of the command line: it would end with the key that nobody saw."""

    def test_what_counts_once_is_sent_again(self) -> None:
        with losing_answers(1) as (url, got):
            Client(url, TOKEN).rotate_key("key_1", 60, "try-1")
        assert len(got) == 2
        assert got[0] == got[1]
        assert b"Idempotency-Key: try-1" in got[0]

    def test_but_not_for_ever(self) -> None:
        with losing_answers(2) as (url, got), pytest.raises(ServerUnreachableError):
            Client(url, TOKEN).rotate_key("key_1", 60, "try-1")
        assert len(got) == 2

    def test_other_acts_are_not(self) -> None:
        with losing_answers(1) as (url, got), pytest.raises(ServerUnreachableError):
            Client(url, TOKEN).rotate_key("key_1", 60)
        assert len(got) == 1


class TestCallingAnApi:
    async def test_the_answer_comes_as_it_is(self, ask: Ask, server: FakeServer) -> None:
        def odd(got: Got) -> tuple[int, dict[str, str], bytes]:
            return 418, {"X-Pot": "tea", "Location": "/elsewhere"}, b"\x00\xff"

        server.gateway = odd

        result = await ask("call", "GET", f"{server.url}/me/hello/")

        assert (result.status, result.reason, result.body) == (418, "I'm a Teapot", b"\x00\xff")
        assert ("X-Pot", "tea") in result.headers
        assert result.elapsed_ms > 0

    async def test_what_is_sent_arrives_and_the_token_does_not(self, ask: Ask, server: FakeServer) -> None:
        await ask("call", "PUT", f"{server.url}/me/hello/now?q=a%20b", [("X-A", "1")], b"body", 5.0)

        got = server.got[-1]
        assert (got.method, got.path, got.body, got.headers["X-A"]) == ("PUT", "/me/hello/now?q=a%20b", b"body", "1")
        assert "Authorization" not in got.headers

    async def test_a_cookie_stays_with_its_answer(self, ask: Ask, server: FakeServer) -> None:
        server.gateway = lambda got: (200, {"Set-Cookie": "a=1; Path=/"}, b"")
        await ask("call", "GET", f"{server.url}/me/hello/")
        await ask("call", "GET", f"{server.url}/me/other/")

        assert "Cookie" not in server.got[-1].headers

    async def test_too_much_is_refused(self, ask: Ask, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("synchronous", "asynchronous"):
            monkeypatch.setattr(f"local_server.client.{module}.MAX_BODY_BYTES", 10)
        server.gateway = lambda got: (200, {}, b"x" * 11)

        with pytest.raises(ApimarketClientError) as caught:
            await ask("call", "GET", f"{server.url}/me/hello/")

        assert caught.value.code == "answer_too_large"


@asynccontextmanager
async def listening(server: FakeServer, topics: list[str]) -> AsyncIterator[AsyncIterator[WireEvent]]:
    async with AsyncClient(server.url, TOKEN) as client:
        events = client.events(topics)
        try:
            yield events
        finally:
            assert isinstance(events, AsyncGenerator)
            await events.aclose()


async def following(events: AsyncIterator[WireEvent], server: FakeServer, *emitted: WireEvent) -> list[WireEvent]:
    """The events that come once the stream is open and `emitted` have been sent."""
    first = asyncio.ensure_future(anext(events))
    await asyncio.to_thread(server.wait_for_stream)
    for event in emitted:
        server.emit(event)
    return [await first, *[await anext(events) for _ in emitted[1:]]]


class TestEvents:
    async def test_events_are_the_wire_classes(self, server: FakeServer) -> None:
        view = server.add("hello")
        sent: list[WireEvent] = [
            ApiUpdated(api=view),
            LogsWritten(api_id=view.id, lines=[log_line("a\u2028b")]),
            EngineUpdated(engine="docker", available=False, detail="gone"),
            ApiGone(id=view.id, name="hello"),
        ]
        async with listening(server, ["api", f"log:{view.id}"]) as events:
            assert await following(events, server, *sent) == sent
        assert "topics=api%2Clog%3Aid-hello" in server.got[0].path

    async def test_a_break_is_followed_by_a_resync_and_by_what_was_missed(self, server: FakeServer) -> None:
        view = server.add("hello")
        async with listening(server, ["api"]) as events:
            await following(events, server, ApiUpdated(api=view))
            server.break_streams()
            server.emit(ApiGone(id=view.id, name="hello"))

            assert await anext(events) == Resync()
            assert await anext(events) == ApiGone(id=view.id, name="hello")
        assert server.got[-1].headers["Last-Event-ID"] == "1"

    async def test_unknown_topics_are_left_out_and_unreadable_events_resync(self, server: FakeServer) -> None:
        view = server.add("hello")
        async with listening(server, ["api"]) as events:
            await following(events, server, ApiUpdated(api=view))
            server.emit_raw("of-the-future", "{}")
            server.emit_raw("api", '{"api": 3}')
            server.emit_raw("resync", "{}")
            server.emit(ApiGone(id=view.id, name="hello"))

            assert [await anext(events) for _ in range(3)] == [
                Resync(),
                Resync(),
                ApiGone(id=view.id, name="hello"),
            ]

    async def test_a_wrong_token_is_told(self, server: FakeServer) -> None:
        async with AsyncClient(server.url, "wrong") as client:
            with pytest.raises(ApimarketClientError) as caught:
                await anext(client.events(["api"]))

        assert caught.value.code == "token_required"

    async def test_a_server_that_comes_later_is_waited_for(self, server: FakeServer) -> None:
        view = server.add("hello")
        server.refusal = Refusal(503, "starting", "It is starting")
        async with listening(server, ["api"]) as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.to_thread(server.wait_for, "/api/v1/events", 2)
            server.refusal = None
            await asyncio.to_thread(server.wait_for_stream)
            server.emit(ApiUpdated(api=view))

            assert await waiting == ApiUpdated(api=view)


class TestSyncEvents:
    def test_they_resume_after_a_break_and_tell_of_each_connection(self, server: FakeServer) -> None:
        view = server.add("hello")
        opened: list[int] = []

        def on_open() -> None:
            opened.append(len(opened))
            server.emit(ApiUpdated(api=view))

        events = Client(server.url, TOKEN).events(["api"], on_open=on_open)
        assert next(events).data["api"]["name"] == "hello"
        server.break_streams()
        assert [event.topic for event in islice(events, 1)] == ["api"]
        events.close()  # type: ignore[attr-defined]

        assert opened == [0, 1]
        assert server.got[-1].headers["Last-Event-ID"] == "1"

    def test_patience_ends(self) -> None:
        with pytest.raises(ServerUnreachableError):
            next(Client(closed_port()).events(["api"], patience_s=0.3))

    def test_a_wrong_token_is_told(self, server: FakeServer) -> None:
        with pytest.raises(ApimarketClientError, match="bearer token"):
            next(Client(server.url, "wrong").events(["api"]))
