"""A bug comes in with a save; the request that showed it is sent to the old code and the new, on real engines."""

import concurrent.futures
import json
import subprocess
from collections.abc import Iterator

import httpx2
import pytest

from tests.e2e.conftest import ENGINES, RunningServer, running, wait_for
from tests.e2e.project import Project
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.slow

PYTHON = """
import json, os

RATE = 19

def handler(request):
    order = json.loads(request.body or b"{}")
    net = order.get("net", 0)
    return {"net": net, "gross": net + net * RATE // 100, "token": "pl4nted-answer", "pid": 1}
"""
NODE = """
const RATE = 19
export default {
  async fetch(request) {
    const order = await request.json().catch(() => ({}))
    const net = order.net ?? 0
    return Response.json({net, gross: net + Math.floor(net * RATE / 100), token: 'pl4nted-answer'})
  },
}
"""
BUG = {"python": ("net * RATE // 100", "net * RATE // 10"), "node": ("RATE / 100", "RATE / 10")}
CODE = {"python": ("main.py", PYTHON), "node": ("index.mjs", NODE)}


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """It keeps more requests than the traffic beside a comparison can push out."""
    home = tmp_path_factory.mktemp("home") / "data"
    with running(home, request.param, env={"APIMARKET_INSPECT": "1000"}) as started:
        yield started


@pytest.fixture(scope="module", params=["python", "node"])
def shop(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Project]:
    """Generation 1 is right, generation 2 is not and serves, and of generation 1 no process is left."""
    language = request.param
    file, good = CODE[language]
    project = Project.write(server, f"shop-{language}", {file: good})
    project.manifest("", language)
    project.add()
    wrong = good.replace(*BUG[language])
    assert wrong != good
    project.save(file, wrong)
    wait_for(lambda: project.row["serving"] == 2, "the bug to serve")
    yield project
    project.remove()


@pytest.fixture(scope="module")
def request_id(shop: Project) -> str:
    """Of the request that shows the bug."""
    answer = httpx2.post(
        f"{shop.url}orders?api_key=pl4nted-query",
        json={"net": 1000, "card": {"cvv": 123}, "password": "pl4nted-body"},
        headers={"Authorization": "Bearer pl4nted-header", "Cookie": "a=pl4nted-cookie"},
        trust_env=False,
    )
    assert answer.json()["gross"] == 2900
    return str(answer.headers["x-request-id"])


def logged(shop: Project) -> list[str]:
    """The newest rows of the request log, once one more request is the last of them: the log is written in order."""
    last = str(httpx2.get(shop.url, trust_env=False).headers["x-request-id"])

    def rows() -> list[str]:
        ids = [row["id"] for row in shop.server.client.history(shop.name)["requests"]]
        return ids if ids[:1] == [last] else []

    found: list[str] = wait_for(rows, "the log to be written")
    return found


class TestABug:
    def test_the_request_is_in_the_list(self, shop: Project, request_id: str) -> None:
        (row,) = [row for row in shop.server.client.exchanges(shop.name) if row["id"] == request_id]
        assert (row["method"], row["path"], row["generation"], row["status"]) == ("POST", "/orders", 2, 200)

    def test_old_and_new_differ_in_exactly_that(self, shop: Project, request_id: str) -> None:
        found = shop.server.client.compare_exchange(shop.name, request_id, 1)
        assert (found["first"]["generation"], found["second"]["generation"]) == (1, 2)
        assert found["body_diff"] == ["- gross: 1190", "+ gross: 2900"]
        assert (found["status_changed"], found["headers_changed"]) == (False, [])
        print(f"{shop.server.engine}: {[round(found[side]['total_ms'], 1) for side in ('first', 'second')]} ms")

    def test_the_command_line_says_the_same(self, shop: Project, request_id: str) -> None:
        shown = shop.server.run("inspect", shop.name, request_id, "--against", "1").stdout
        assert "- gross: 1190\n+ gross: 2900" in shown
        assert "- g1  200" in shown

    def test_nothing_of_the_old_code_reaches_a_caller(self, shop: Project, request_id: str) -> None:
        with Traffic(shop.url) as traffic:
            for _ in range(3):
                shop.server.client.compare_exchange(shop.name, request_id, 1)
        assert traffic.failures == []
        assert {answer.generation for answer in traffic.answers} == {shop.row["generation"]["digest"]}

    def test_it_is_not_counted(self, shop: Project, request_id: str) -> None:
        before = logged(shop)
        shop.server.client.replay_exchange(shop.name, request_id)
        (line,) = [line for line in reversed(shop.log.splitlines()) if "replayed POST /orders" in line][:1]
        assert "pl4nted" not in line
        after = logged(shop)
        assert after[1:] == before[: len(after) - 1]

    def test_no_planted_secret_is_told(self, shop: Project, request_id: str) -> None:
        client = shop.server.client
        said = [
            client.exchanges(shop.name),
            client.exchange(shop.name, request_id),
            client.replay_exchange(shop.name, request_id, 1),
            client.compare_exchange(shop.name, request_id, 1),
            client.logs(shop.name),
            shop.server.words(),
        ]
        # The source holds the answer's own, and says so in no log.
        assert "pl4nted" not in json.dumps(said)
        home = shop.server.home
        kept = [home / "registry.db", home / "registry.db-wal", home / "server.log", *(home / "apis").glob("*/*.log")]
        assert [path for path in kept if path.is_file() and b"pl4nted" in path.read_bytes()] == []

    def test_its_curl_command_runs(self, shop: Project, request_id: str) -> None:
        command = shop.server.client.exchange(shop.name, request_id)["curl"]
        variables = {
            "AUTHORIZATION": "x",
            "COOKIE": "a=b",
            "API_KEY": "k",
            "PASSWORD": "p",
            "CVV": "1",
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run(
            ["sh", "-euc", command], capture_output=True, text=True, check=True, env=variables, timeout=30
        )
        assert json.loads(done.stdout)["gross"] == 2900


class TestManyAtOnce:
    def test_replays_beside_saves_end_well(self, shop: Project, request_id: str) -> None:
        """Comparisons with an ended generation while the code goes on changing: each answers, or says why not."""
        file, good = CODE["python" if shop.name.endswith("python") else "node"]
        client = shop.server.client

        def compare() -> str:
            found = client.compare_exchange(shop.name, request_id, 1)["first"]
            return f"g{found['generation']} {found['status']} {found['body']['text'] if found['status'] != 200 else ''}"

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(compare) for _ in range(8)]
            for rate in (20, 21, 22):
                shop.save(file, good.replace("RATE = 19", f"RATE = {rate}"))
                number = 1000 + rate * 10
                wait_for(lambda wanted=number: gross(shop) == wanted, f"the rate {rate}")
            assert [future.result() for future in waiting] == ["g1 200 "] * 8


def gross(shop: Project) -> int:
    return int(httpx2.post(shop.url, json={"net": 1000}, trust_env=False).json()["gross"])
