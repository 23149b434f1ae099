"""A whole server with a Redis that comes and goes."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from local_server.client import Client
from local_server.limiter.counter import MOST_FAILURES
from tests.e2e.conftest import RunningServer, wait_for
from tests.limiter.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.slow]
PASSWORD = "correct-horse-battery"
SERVED = (200, 429)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer.started(PASSWORD) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, redis: RedisServer) -> Iterator[RunningServer]:
    env = {"APIMARKET_REDIS_URL": redis.url, "APIMARKET_LOG_FORMAT": "json", "APIMARKET_REDIS_TIMEOUT_S": "1"}
    server = RunningServer(tmp_path / "home", "process", env=env)
    server.start()
    yield server
    server.stop()


def limits_check(client: Client) -> tuple[str, str]:
    (check,) = (check for check in client.doctor() if check["name"] == "shared limits")
    return check["status"], check["detail"]


def test_a_redis_that_goes_away_costs_no_answer(server: RunningServer, redis: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "main.py").write_text("def handler(event):\n    return 'hello'\n")
    (tmp_path / "hello" / "apimarket.toml").write_text(
        '[api]\nname = "hello"\nruntime = "python"\n[gateway]\nrate_limit = "4/h"\n'
    )
    client = server.client
    api = client.register({"directory": str(tmp_path / "hello"), "start": True})

    def call() -> httpx2.Response:
        return httpx2.get(f"{server.url}/{api['owner']}/hello/", trust_env=False, timeout=60)

    wait_for(lambda: call().status_code != 503, "the API to serve")
    assert int(call().headers["ratelimit-remaining"]) < 3
    assert limits_check(client)[0] == "ok"

    redis.kill()
    wait_for(lambda: call().status_code in SERVED and limits_check(client)[0] == "warning", "the server to notice")
    detail = limits_check(client)[1]
    assert "cannot be reached" in detail
    assert call().status_code == 429, "what was let in before still counts"

    redis.start()
    wait_for(lambda: limits_check(client)[0] == "ok", "the server to count together again")
    assert call().headers["ratelimit-remaining"] == "3"
    counted = httpx2.get(f"{server.url}/metrics", trust_env=False, timeout=60).text
    assert "apimarket_limiter_shared 1" in counted
    assert f'apimarket_limiter_fallbacks_total{{reason="unreachable"}} {MOST_FAILURES}' in counted

    said = (server.home / "server.log").read_text()
    assert said.count("counts limits alone") == said.count("counted together") == 1
    for told in (said, counted, detail, str(client.server())):
        assert PASSWORD not in told


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("APIMARKET_REDIS_URL", f"http://:{PASSWORD}@cache.example", "redis://, rediss:// or unix://"),
        ("APIMARKET_REDIS_URL", f"redis://:{PASSWORD}/@cache.example", "%2F"),
        ("APIMARKET_REDIS_TIMEOUT_S", "soon", "a valid number"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_without_its_password(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    server = RunningServer(tmp_path / "home", "process", env={name: value})
    with pytest.raises(AssertionError):
        server.start()
    said = (server.home / "server.log").read_text()
    assert name in said
    assert told in said
    assert "Traceback" not in said
    assert PASSWORD not in said
