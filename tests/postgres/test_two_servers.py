"""Two servers on one database: what happens on one is told on the other, and both know the same accounts."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue

import httpx2
import psycopg
import pytest

from local_server.client import Client
from local_server.client.errors import ServerUnreachableError
from local_server.client.synchronous import Event
from tests.e2e.conftest import RunningServer, wait_for
from tests.postgres.clusters import Cluster

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
PATIENCE_S = 30


@pytest.fixture
def url(postgres18: Cluster) -> str:
    return postgres18.database()


@pytest.fixture
def servers(tmp_path: Path, url: str) -> Iterator[tuple[RunningServer, RunningServer]]:
    one, other = (
        RunningServer(tmp_path / name / "home", "process", env={"APIMARKET_DATABASE": url}) for name in ("one", "other")
    )
    one.start()
    other.home.mkdir(parents=True)
    for key in ("session.key", "secrets.key"):
        shutil.copy(one.home / key, other.home / key)
    (other.home / "blobs").symlink_to(one.home / "blobs")
    other.start()
    yield one, other
    other.stop()
    one.stop()


def following(client: Client) -> "Queue[Event]":
    """What the server tells, from when this returns; a `resync` is told of as such."""
    told: Queue[Event] = Queue()
    open_ = threading.Event()

    def follow() -> None:
        with suppress(ServerUnreachableError):  # the end of the server is the end of this
            for event in client.events(["api"], on_open=open_.set, patience_s=1.0):
                told.put(event)

    threading.Thread(target=follow, daemon=True).start()
    assert open_.wait(PATIENCE_S)
    return told


def wait_for_topic(told: "Queue[Event]", topic: str) -> Event:
    while True:
        event = told.get(timeout=PATIENCE_S)
        if event.topic == topic:
            return event


def add(server: RunningServer, directory: Path, name: str) -> str:
    project = directory / name
    project.mkdir()
    (project / "main.py").write_text("def handler(event):\n    return 'hello'\n")
    (project / "apimarket.toml").write_text(f'[api]\nname = "{name}"\nruntime = "python"\n')
    return server.client.register({"directory": str(project), "start": False})["id"]


def test_one_with_another_key_or_other_files_is_refused_in_a_sentence(
    servers: tuple[RunningServer, RunningServer], url: str, tmp_path: Path
) -> None:
    third = RunningServer(tmp_path / "third" / "home", "process", env={"APIMARKET_DATABASE": url})
    third.home.mkdir(parents=True)
    for name, words in {
        "session.key": "is not the key that the other servers of",
        "secrets.key": "is not the key that the other servers of",
        "blobs": "is not where the other servers of",
    }.items():
        with pytest.raises(AssertionError):
            third.start()
        assert f"{third.home / name} {words}" in third.words()
        if name != "blobs":
            shutil.copy(servers[0].home / name, third.home / name)
    assert "Traceback" not in third.words()


def test_what_happens_on_one_is_told_on_the_other(servers: tuple[RunningServer, RunningServer], tmp_path: Path) -> None:
    one, other = servers
    told = following(other.client)
    api_id = add(one, tmp_path, "weather")
    assert wait_for_topic(told, "api").data["api"]["id"] == api_id
    assert [api["id"] for api in other.client.apis()] == [api_id]


def test_an_account_of_one_is_an_account_of_the_other(servers: tuple[RunningServer, RunningServer]) -> None:
    one, other = servers
    wanted = {"handle": "ana", "email": "ana@example.com", "password": "correct horse battery staple"}
    token = Client(one.url).signup(wanted)["token"]
    assert Client(other.url, token).me()["handle"] == "ana"
    Client(one.url, token).logout()
    with pytest.raises(Exception, match="logout"):
        Client(other.url, token).me()


def test_a_key_that_is_revoked_on_one_is_refused_on_the_other(
    servers: tuple[RunningServer, RunningServer], tmp_path: Path
) -> None:
    """And one that is made on one is known on the other."""
    one, other = servers
    api_id = add(one, tmp_path, "weather")
    url = other.client.restart(api_id)["url"]
    key = one.client.create_key(api_id, {"name": "", "scopes": ["read"], "cidrs": [], "expires_at": None,
                                         "rate_limit": None})  # fmt: skip

    def code() -> str:
        answer = httpx2.get(url, headers={"X-Api-Key": key["key"]}, trust_env=False, timeout=60)
        return "ok" if answer.status_code == 200 else str(answer.json()["code"])

    wait_for(lambda: code() == "ok", "the key to be known")
    one.client.revoke_key(key["info"]["id"])
    wait_for(lambda: code() == "key_refused", "the key to be refused")


def test_who_was_cut_off_reads_everything_anew(
    servers: tuple[RunningServer, RunningServer], url: str, tmp_path: Path
) -> None:
    one, other = servers
    told = following(other.client)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid <> pg_backend_pid() and datname = current_database()"
        )
    wait_for_topic(told, "resync")
    api_id = add(one, tmp_path, "weather")
    assert wait_for_topic(told, "api").data["api"]["id"] == api_id
    for server in servers:
        assert "Traceback" not in (server.home / "server.log").read_text()
