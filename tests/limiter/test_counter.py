"""One gateway's way to a Redis: what is counted, what fails, and how it comes back."""

import asyncio
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis

from local_server.domain.manifest import RateLimit
from local_server.gateway.limits import Limits
from local_server.gateway.shared_limits import CounterFailed, SharedLimits
from local_server.limiter import counter as counting
from local_server.limiter.counter import MOST_FAILURES, RedisCounter
from local_server.limiter.script import Script, Window, place_of
from tests.cli.test_far_checks import a_context
from tests.e2e.conftest import free_port
from tests.limiter.redis_server import RedisServer

pytestmark = pytest.mark.redis
PATIENCE_S = 30.0
HOSTING = (Path(__file__).parents[2] / "docs" / "hosting.md").read_text("utf-8")
ME = ("0190-api", "key 0190-key")
TEN = RateLimit(10, 3600)


@asynccontextmanager
async def opened(
    url: str, deadline_s: float = PATIENCE_S, prefix: str = "apimarket:test"
) -> AsyncIterator[RedisCounter]:
    counter = RedisCounter(Script(url), prefix, deadline_s)
    await counter.open()
    looking = asyncio.create_task(counter.run())
    try:
        yield counter
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await counter.close()
        await counter.close()


@asynccontextmanager
async def client_of(server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(server.url)
    try:
        yield client
    finally:
        await client.aclose()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)


async def admitted(counter: RedisCounter, tries: int) -> int:
    verdicts = await asyncio.gather(*(counter.admit(ME, TEN) for _ in range(tries)))
    return sum(verdict.admitted for verdict in verdicts)


async def test_what_is_counted_together_is_counted_once(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as one, opened(redis_server.url) as other:
        assert sum(await asyncio.gather(*(admitted(each, 300) for each in (one, other)))) == 10
        verdict = await one.admit(ME, TEN)
        assert (verdict.admitted, verdict.remaining) == (False, 0)
        assert verdict.reset_s >= 3600


async def test_installations_do_not_share(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as one, opened(redis_server.url, prefix="apimarket:other") as other:
        assert [await admitted(each, 20) for each in (one, other)] == [10, 10]


async def test_a_redis_that_forgot_the_script_is_told_it_again(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as counter, client_of(redis_server) as client:
        assert await admitted(counter, 4) == 4
        await client.script_flush()
        assert await admitted(counter, 20) == 6


async def test_windows_go_by_themselves(redis_server: RedisServer) -> None:
    """And their names say who, and nothing that opens anything."""
    async with opened(redis_server.url) as counter, client_of(redis_server) as client:
        await counter.admit(ME, TEN)
        name = b"apimarket:test:limit:0190-api:key 0190-key:3600"
        assert name in await client.keys("apimarket:test:*")
        assert 7199 <= await client.ttl(name) <= 7200


async def test_a_user_needs_no_more_rights_than_are_written_down(redis_server: RedisServer) -> None:
    rights = re.search(r"needs `(.+?)` upon `(.+?)`", HOSTING)
    assert rights is not None
    async with client_of(redis_server) as client:
        await client.execute_command(
            "ACL", "SETUSER", "gateway", "on", ">secret", "resetkeys", rights[2], "-@all", *rights[1].split()
        )
    async with opened(redis_server.url.replace("unix://", "unix://gateway:secret@")) as counter:
        assert not counter.trouble
        assert await admitted(counter, 20) == 10


async def test_one_is_reached_by_tls_whose_authority_is_named(tmp_path: Path) -> None:
    a_context(tmp_path, 30)
    port, certificate = free_port(), tmp_path / "certificate.pem"
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file",
               str(tmp_path / "key.pem"), "--tls-auth-clients", "no"]  # fmt: skip
    with RedisServer.started(options=options):
        async with opened(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}") as counter:
            assert not counter.trouble
            assert await admitted(counter, 20) == 10
        async with opened(f"rediss://127.0.0.1:{port}") as counter:
            assert counter.trouble == "cannot be reached"


class Answering:
    """A script that is answered by the test, over a socket as the real one."""

    place = "elsewhere"

    def __init__(self) -> None:
        self.asked = False
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)

    async def run(self, windows: list[Window]) -> list[tuple[int, int, int]]:
        self.asked = True
        await asyncio.get_running_loop().sock_recv(self._here, 1)
        return [(1, 9, 60)] * len(windows)

    def answer(self) -> None:
        self._there.sendall(b"1")

    async def close(self) -> None:
        self._here.close()
        self._there.close()


class TestFailing:
    async def test_a_silent_one_is_not_waited_for(self, redis_server: RedisServer) -> None:
        async with opened(redis_server.url, deadline_s=0.05) as counter:
            redis_server.pause()
            with pytest.raises(CounterFailed) as failed:
                await counter.admit(ME, TEN)
            assert failed.value.reason == "timeout"
            redis_server.resume()

    @pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def test_an_answer_that_came_while_this_server_stood_still_counts(
        self, loop: Callable[[], asyncio.AbstractEventLoop]
    ) -> None:
        async def stand_still() -> None:
            script = Answering()
            counter = RedisCounter(script, "apimarket:test", deadline_s=0.02)  # type: ignore[arg-type]
            waiting = asyncio.create_task(counter.admit(ME, TEN))
            await until(lambda: script.asked)
            script.answer()
            time.sleep(0.1)
            assert (await waiting).admitted
            await counter.close()

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(stand_still())

    async def test_who_waits_as_the_server_ends_is_answered(self) -> None:
        script = Answering()
        counter = RedisCounter(script, "apimarket:test", PATIENCE_S)  # type: ignore[arg-type]
        waiting = [asyncio.create_task(counter.admit(ME, TEN)) for _ in range(300)]
        await until(lambda: script.asked)
        await counter.close()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, CounterFailed)

    async def test_after_a_silence_answers_are_those_of_their_own_calls(self, redis_server: RedisServer) -> None:
        async with opened(redis_server.url, deadline_s=0.2) as counter:
            redis_server.pause()
            with pytest.raises(CounterFailed):
                await counter.admit(ME, TEN)
            redis_server.resume()
            wide = RateLimit(1000, 3600)
            remaining = None
            while remaining is None:
                try:
                    remaining = (await counter.admit(("0190-api", "other"), wide)).remaining
                except CounterFailed:
                    await asyncio.sleep(0.01)
            assert remaining > 900

    async def test_it_is_left_alone_and_comes_back(
        self, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "LOOK_AGAIN_S", 0.01)
        caplog.set_level(logging.INFO, "apimarket.limits")
        limits = Limits()
        async with opened(redis_server.url) as counter:
            shared = SharedLimits(counter, limits)
            assert (await shared.admit(ME, TEN, 0.0)).remaining == 9
            redis_server.kill()
            remaining = [(await shared.admit(ME, TEN, 0.0)).remaining for _ in range(MOST_FAILURES + 2)]
            assert remaining == [*range(8, 6 - MOST_FAILURES, -1)], "it goes on from what it let in before"
            assert shared.resting
            assert shared.fallbacks == {"timeout": 0, "unreachable": MOST_FAILURES, "refused": 0, "resting": 2}
            redis_server.start()
            await until(lambda: not shared.resting)
            assert (await shared.admit(ME, TEN, 0.0)).remaining == 9, "that Redis forgot everything"
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 2, "when it changes, and not with each call"
        assert "cannot be reached" in said[0]
        assert "answers" in said[1]

    async def test_a_server_starts_without_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "LOOK_AGAIN_S", 0.01)
        with RedisServer.started() as server:
            server.kill()
            async with opened(server.url) as counter:
                with pytest.raises(CounterFailed) as failed:
                    await counter.admit(ME, TEN)
                assert failed.value.reason == "resting"
                server.start()
                await until(lambda: not counter.trouble)
                assert (await counter.admit(ME, TEN)).admitted

    async def test_one_that_cannot_be_written_to_is_left_alone(
        self, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "LOOK_AGAIN_S", 0.01)
        async with opened(redis_server.url) as counter, client_of(redis_server) as client:
            await client.replicaof("127.0.0.1", "1")
            for _ in range(MOST_FAILURES):
                with pytest.raises(CounterFailed) as failed:
                    await counter.admit(ME, TEN)
                assert failed.value.reason == "refused"
            assert counter.trouble == "is a replica, which cannot be written to"
            await client.replicaof("NO", "ONE")
            await until(lambda: not counter.trouble)

    async def test_a_wrong_password_is_told_and_not_repeated(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with RedisServer.started(password="right-horse") as server:
            async with opened(server.url.replace("right-horse", "wrong-battery")) as counter:
                assert counter.trouble == "refuses the user or the password"
                assert "battery" not in counter.place
            async with opened(server.url) as counter:
                assert not counter.trouble
        assert "horse" not in caplog.text
        assert "battery" not in caplog.text


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://ana:secret@cache.example:6380/3?password=secret", "cache.example:6380/3"),
        ("rediss://:secret@cache.example", "cache.example:6379"),
        ("redis://[::1]:7000/", "[::1]:7000"),
        ("unix://:secret@/run/redis.sock?db=2", "/run/redis.sock"),
    ],
)
def test_its_place_is_told_without_what_opens_it(url: str, place: str) -> None:
    assert place_of(url) == place
