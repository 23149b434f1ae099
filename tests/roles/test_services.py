"""A marketplace in parts, as an operator has it: what each does, and what goes on while another is away.

The tests of one engine tell one story and come in order: each begins where the one before ended.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local_server.client import ApimarketClientError
from tests.e2e.conftest import ENGINES, RunningServer, running, wait_for
from tests.e2e.project import FUNCTION, Project
from tests.e2e.traffic import Traffic, ask
from tests.postgres.clusters import Cluster, open_directory
from tests.roles.services import Services, end, started

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

MANIFEST = '[api]\nname = "weather"\nruntime = "python"\n[gateway]\nauth = "none"\nrate_limit = "1000000/h"\n'
WISH: Any = {"name": "", "scopes": ["read"], "cidrs": [], "expires_at": None, "rate_limit": None}


@dataclass
class Story:
    services: Services
    directory: Path
    """Of the API `weather`, which runs."""
    path: str = ""
    """Where the API is, on every gateway."""

    def save(self, answer: str) -> None:
        (self.directory / "main.py").write_text(f"def handler(request):\n    return {answer!r}\n")

    def ask(self, server: RunningServer | None = None, key: str = "") -> httpx2.Response:
        headers = {"X-Api-Key": key} if key else {}
        return httpx2.get(self.url(server), headers=headers, trust_env=False, timeout=60)

    def url(self, server: RunningServer | None = None) -> str:
        return (server or self.services.gateway).url + self.path

    def serves(self, answer: str) -> None:
        wait_for(lambda: self.ask().text == answer, f"{answer!r} through the gateway")


@pytest.fixture(scope="module", params=ENGINES)
def story(request: pytest.FixtureRequest, postgres15: Cluster) -> Iterator[Story]:
    database = postgres15.empty_database()
    with open_directory("services-") as directory, started(directory / "home", request.param, database) as services:
        project = directory / "weather"
        project.mkdir()
        story = Story(services, project)
        story.save("one")
        (project / "apimarket.toml").write_text(MANIFEST)
        api = services.client.register({"directory": str(project), "start": True})
        story.path = f"/{api['owner']}/weather/"
        yield story
    postgres15.drop(database)


def test_an_api_is_run_by_the_executor_and_called_through_the_gateway(story: Story) -> None:
    gateway = story.services.gateway
    row = gateway.until("weather", "running")
    assert row["url"] == story.url()
    story.serves("one")
    assert story.ask().headers["ratelimit-limit"] == "1000000"
    healths = [server.client.health()["engine"] for server in (gateway, story.services.executor)]
    assert healths == ["none", story.services.engine]


def test_a_save_comes_through_without_a_request_dropped(story: Story) -> None:
    with Traffic(story.url()) as traffic:
        story.save("two")
        story.serves("two")
    assert traffic.failures == []


def test_keys_are_in_force_on_every_gateway_as_soon_as_they_change(story: Story) -> None:
    other = story.services.another_gateway()
    other.start()
    try:
        made = story.services.client.create_key("weather", WISH)
        wait_for(lambda: story.ask(other, made["key"]).status_code == 200, "the key to be known")
        story.services.client.revoke_key(made["info"]["id"])
        wait_for(lambda: story.ask(other, made["key"]).status_code == 401, "the key to be refused")
    finally:
        end(other)


def test_statistics_are_the_analytics(story: Story) -> None:
    """Of what gateways carried; asked directly, and by way of a gateway."""
    services = story.services
    token = {"Authorization": f"Bearer {(services.home / 'token').read_text().strip()}"}
    story.ask()

    def requests(server: RunningServer) -> int:
        answer = httpx2.get(f"{server.url}/analytics/stats/weather", headers=token, trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["requests"])

    wait_for(lambda: requests(services.analytics) > 3, "what gateways logged")
    assert requests(services.gateway) >= 4
    for path in ("/api/v1/apis", "/executor/status/weather"):
        assert httpx2.get(services.analytics.url + path, headers=token, trust_env=False).status_code == 404
    row = {"api": "weather", "method": "GET", "path": "/", "status": 200, "total_ms": 1.5}
    logged = httpx2.post(f"{services.gateway.url}/analytics/log", json=row, headers=token, trust_env=False, timeout=60)
    assert logged.status_code < 300, logged.text


def test_each_service_has_its_calls_at_the_root_of_its_port_too(story: Story) -> None:
    services = story.services
    token = {"Authorization": f"Bearer {(services.home / 'token').read_text().strip()}"}
    asked: list[tuple[RunningServer, str, str, dict[str, Any] | None]] = [
        (services.executor, "POST", "/deploy", {"id": "weather"}),
        (services.executor, "GET", "/status/weather", None),
        (services.analytics, "GET", "/stats/weather", None),
        (services.analytics, "GET", "/history/weather", None),
        (
            services.analytics,
            "POST",
            "/log",
            {"api": "weather", "method": "GET", "path": "/", "status": 200, "total_ms": 1},
        ),
    ]
    for server, method, path, body in asked:
        refused = httpx2.request(method, server.url + path, json=body, trust_env=False, timeout=60)
        answer = httpx2.request(method, server.url + path, json=body, headers=token, trust_env=False, timeout=60)
        assert (refused.status_code, answer.is_success) == (401, True), (path, answer.text)


def test_the_live_figures_are_of_all_gateways(story: Story) -> None:
    def seen() -> int:
        return sum(story.services.client.api("weather")["traffic"]["history"])

    before = seen()
    for _ in range(5):
        story.ask()
    wait_for(lambda: seen() >= before + 5, "the executor to hear of it")


def test_a_gateway_that_was_restarted_knows_every_way(story: Story) -> None:
    end(story.services.gateway)
    story.services.gateway.start()
    assert story.ask().text == "two"


def test_an_event_stream_passes_the_gateway(story: Story) -> None:
    client = story.services.client
    told = client.events(["api"], on_open=lambda: client.restart("weather") and None)
    assert next(event.data["api"]["name"] for event in told if event.topic == "api") == "weather"
    told.close()


def test_what_a_laptop_publishes_is_run_and_called(story: Story, tmp_path: Path) -> None:
    gateway, settings = story.services.gateway, 'visibility = "public"\n[gateway]\nauth = "none"\n'
    with running(tmp_path / "laptop", "process") as laptop:
        laptop.run("signup", "ana", "--password-stdin", "--remote", gateway.url, input="correct horse battery\n")
        Project.write(laptop, "tides", {"main.py": FUNCTION}, settings, tmp_path).add()
        told = laptop.run("publish", "tides", "--version", "1.0.0", "--remote", gateway.url).stdout
        assert "runs there" in told
    urls = [f"{gateway.url}/ana/tides{pin}/" for pin in ("", "@1", "@1.0.0")]
    wait_for(lambda: all("good" in ask(url).body for url in urls), "the version through the gateway", 30)


def test_while_the_executor_is_away_what_runs_is_called(story: Story) -> None:
    """Under Docker; without, APIs end with whoever runs them. What the executor does is refused, in a sentence."""
    services = story.services
    docker = services.engine == "docker"
    with Traffic(story.url()) as traffic:
        services.executor.kill()
        with pytest.raises(ApimarketClientError) as refused:
            services.client.apis()
        assert refused.value.code == "service_away"
        assert "--role executor" in refused.value.hint
        if docker:
            assert story.ask().text == "two"
        services.executor.start()
        wait_for(lambda: services.client.api("weather")["state"] == "running", "the executor to have it again")
        story.save("three")
        story.serves("three")
    assert not (docker and traffic.failures), traffic.failures[:3]


def test_an_executor_that_is_restarted_well_costs_no_answer(story: Story) -> None:
    """Without Docker requests wait for the next one."""
    services = story.services
    end(services.executor)
    waiting = ThreadPoolExecutor(1).submit(story.ask)
    services.executor.start()
    story.serves("three")
    assert waiting.result(60).status_code in ((200,) if services.engine == "docker" else (200, 503))


def test_what_is_stopped_is_refused_by_the_gateway(story: Story) -> None:
    story.services.client.stop("weather")
    wait_for(lambda: story.ask().status_code == 503, "the gateway to know")
    assert "stopped" in story.ask().json()["detail"]
    story.services.client.remove("weather")
    wait_for(lambda: story.ask().status_code == 404, "the gateway to forget it")


def test_nothing_went_wrong_unseen(story: Story) -> None:
    assert "Traceback" not in (story.services.home / "server.log").read_text()
