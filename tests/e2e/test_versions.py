"""Versions with each engine: several at once, moved between under load, and brought back after a kill."""

import http.client
import json
import math
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from local_server.executor.engines.docker.hardening import LABEL
from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.project import Project
from tests.e2e.traffic import Traffic, ask

pytestmark = pytest.mark.slow

SAYS = "def handler(request):\n    return {{'says': '{}'}}\n"
CALLS, CANARY = 2000, 0.10


@pytest.fixture(scope="module")
def weather(server: RunningServer) -> Project:
    """Versions 1.0.0 and 1.1.0, the traffic on the second, and a directory that has gone on."""
    project = Project.write(server, "weather", {"main.py": SAYS.format("one")}, '[gateway]\nauth = "none"\n').add()
    deploy(project, "1.0.0")
    save(project, "two")
    deploy(project, "1.1.0")
    save(project, "three")
    return project


def deploy(project: Project, version: str, *options: str) -> str:
    return project.server.run("deploy", project.name, "--version", version, *options).stdout


def pinned(project: Project, pin: str) -> str:
    return project.url[:-1] + f"@{pin}/"


def says(url: str) -> str:
    answer = ask(url)
    assert answer.status == 200, answer.body
    return str(json.loads(answer.body)["says"])


def until_says(url: str, text: str) -> None:
    """Whatever is refused meanwhile; what answers must say nothing else at the end."""
    wait_for(lambda: (answer := ask(url)).status == 200 and json.loads(answer.body)["says"] == text, f"{url}: {text}")


def count(clients: list[Traffic]) -> int:
    return sum(len(client.answers) for client in clients)


def until_more(clients: list[Traffic], answers: int) -> None:
    wait_for(lambda: count(clients) > answers, "more requests to be answered")


def save(project: Project, text: str) -> float:
    """Returns the seconds until the directory's own URL said it."""
    began = time.monotonic()
    project.save("main.py", SAYS.format(text))
    wait_for(lambda: says(pinned(project, "dev")) == text, f"@dev to say {text}")
    return time.monotonic() - began


def containers(project: Project) -> dict[str, str]:
    """Of this server's API, under Docker: id -> name. Others use the same daemon, also for an API of that name."""
    label = f"label={LABEL}api={project.row['id']}"
    found = subprocess.run(
        ["docker", "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}", "--filter", label],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return dict(line.split() for line in found.splitlines())


class TestServing:
    def test_three_at_once_while_saves_go_on(self, weather: Project) -> None:
        deploy(weather, "2.0.0", "--no-traffic")
        for number in range(5):
            save(weather, f"save {number}")
            assert [says(pinned(weather, pin)) for pin in ("1.0.0", "1.1.0", "2.0.0", "1", "latest")] == [
                "one", "two", "three", "two", "three"
            ]  # fmt: skip
            assert says(weather.url) == "two"

    def test_docker_names_the_versions(self, weather: Project) -> None:
        if weather.server.engine == "docker":
            names = sorted(containers(weather).values())
            for version in ("1.0.0", "1.1.0"):
                assert any(f"weather-{version}-" in name for name in names), names

    def test_what_does_not_start_leaves_the_traffic_and_tells_the_line(self, weather: Project) -> None:
        # What serves is good, so the broken code has to be all there is.
        broken = Project.write(weather.server, "broken", {"main.py": SAYS.format("good")}).add()
        deploy(broken, "1.0.0")
        weather.server.run("stop", "broken")
        broken.save("main.py", "def handler(request):\n    return {\n")
        done = weather.server.run("deploy", "broken", "--version", "1.1.0", check=False)
        assert done.returncode == 1
        assert "main.py:2" in done.stdout
        assert "traffic: 1.0.0 100 %" in done.stdout
        weather.server.run("deploy", "broken", check=False)
        wait_for(lambda: ask(broken.url).status == 200, "1.0.0 to serve again")
        assert says(broken.url) == "good"

    def test_a_version_without_its_files_is_refused_as_another(self, weather: Project) -> None:
        done = weather.server.run("deploy", "weather", "--version", "1.0.0", "--json", check=False)
        assert done.returncode == 1
        assert json.loads(done.stderr)["code"] == "version_exists"
        assert says(pinned(weather, "1.0.0")) == "one"


class TestTraffic:
    def test_moves_under_load_and_drops_nothing(self, weather: Project) -> None:
        took = []
        with ExitStack() as stack:
            clients = [stack.enter_context(Traffic(weather.url)) for _ in range(4)]
            for target, expected in (("1.0.0", "one"), (None, "two")) * 10:
                seen = count(clients)
                began = time.monotonic()
                weather.server.client.roll_back("weather", target)
                until_says(weather.url, expected)
                took.append(time.monotonic() - began)
                until_more(clients, seen + 100)
        answers = [answer for client in clients for answer in client.answers]
        failures = [failure for client in clients for failure in client.failures]
        print(f"20 moves, {len(answers)} requests, {len(failures)} failed, slowest move {max(took) * 1000:.0f} ms")
        assert failures == []
        assert {answer.body for answer in answers} == {'{"says":"one"}', '{"says":"two"}'}
        assert max(took) < 1.0

    def test_a_canary_has_its_share_and_keeps_its_callers(self, weather: Project) -> None:
        weather.server.run("traffic", "weather", "1.0.0", "--weight", "10")
        netloc = urlsplit(weather.url).netloc

        def call(number: int) -> str:
            """From an address of its own: without keys, that is who calls."""
            source = f"127.{number % 7 + 1}.{number // 250}.{number % 250 + 1}"
            connection = http.client.HTTPConnection(netloc, timeout=20, source_address=(source, 0))
            try:
                connection.request("GET", urlsplit(weather.url).path)
                return str(json.loads(connection.getresponse().read())["says"])
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            first = list(pool.map(call, range(CALLS)))
            again = list(pool.map(call, range(0, CALLS, 10)))
        weather.server.run("rollback", "weather")
        share = Counter(first)["one"] / CALLS
        bound = 3.3 * math.sqrt(CANARY * (1 - CANARY) / CALLS)  # 1 in 1,000
        print(f"canary of {CANARY:.0%}: {share:.2%} of {CALLS} callers (bound {bound:.2%})")
        assert abs(share - CANARY) < bound
        assert again == first[::10]
        assert says(weather.url) == "two"


class TestKilled:
    def test_every_version_comes_back(self, weather: Project) -> None:
        server = weather.server
        deploy(weather, "3.0.0", "--no-traffic")
        before = containers(weather) if server.engine == "docker" else {}
        expected = {pin: says(pinned(weather, pin)) for pin in ("1.0.0", "1.1.0", "3.0.0", "1", "latest", "dev")}
        server.kill()
        began = time.monotonic()
        server.start()
        for pin, text in expected.items():
            until_says(pinned(weather, pin), text)
        assert says(weather.url) == "two"
        print(f"all back {time.monotonic() - began:.1f} s after the start")
        if server.engine == "docker":
            assert containers(weather) == before
