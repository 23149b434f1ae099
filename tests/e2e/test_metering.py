"""Metering with 64 clients at once and a server that is killed among them: every call counts once, or was never
written down at all, and then it is nowhere."""

import http.client
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_server.client import Client
from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.project import FUNCTION, Project

CLIENTS = 64
PUBLIC = """
visibility = "public"

[gateway]
auth = "key"

[[plan]]
code = "big"
price = "0 EUR/month"
quota = "1000000/month"
"""
WRITTEN_S = 3.0
"""On a busy machine an answered call is on the disk after so long; on an idle one after a quarter of a second."""


@dataclass
class Caller:
    """Calls until it is told to stop; `answered` has the time of each 200."""

    url: str
    key: str
    stopping: threading.Event
    answered: list[float] = field(default_factory=list)

    def run(self) -> None:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=20)
        while not self.stopping.is_set():
            try:
                connection.request("GET", parts.path, headers={"X-Api-Key": self.key})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.stopping.wait(0.05)
                continue
            if response.status == 200:
                self.answered.append(time.monotonic())
        connection.close()


class Crowd:
    def __init__(self, url: str, key: str) -> None:
        self._stopping = threading.Event()
        self.callers = [Caller(url, key, self._stopping) for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=caller.run, daemon=True) for caller in self.callers]
        for thread in self._threads:
            thread.start()

    @property
    def answered(self) -> list[float]:
        return [at for caller in self.callers for at in list(caller.answered)]

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)


def consumer(server: RunningServer) -> Client:
    body = {"handle": "bob", "email": "bob@example.org", "password": "correct horse battery", "role": "consumer"}
    return Client(server.url, Client(server.url).signup(body)["token"])


def counted(home: Path) -> dict[str, int]:
    """How often the database has it: events, their totals, rows of the request log with the key, the quota's count."""
    questions = {
        "events": "select count(*) from usage_events",
        "totals": "select coalesce(sum(units), 0) from usage_totals",
        "log": "select count(*) from executions where key_id is not null and status = 200",
    }
    database = sqlite3.connect(f"file:{home / 'registry.db'}?mode=ro", uri=True)
    try:
        return {name: int(database.execute(question).fetchone()[0]) for name, question in questions.items()}
    finally:
        database.close()


@pytest.mark.slow
def test_every_call_counts_once_through_a_kill(process_server: RunningServer) -> None:
    server = process_server
    project = Project.write(server, "weather", {"main.py": FUNCTION}, PUBLIC).add()
    bob = consumer(server)
    name, url = f"{server.client.me()['handle']}/weather", project.url
    wait_for(lambda: bob.search("weather")["apis"], "the listing")
    key = bob.subscribe(name, {"plan": "big", "spend_cap_minor": None})["key"]
    assert key is not None

    crowd = Crowd(url, key)
    wait_for(lambda: len(crowd.answered) > 2000, lambda: f"2,000 answers; there are {len(crowd.answered)}")
    server.kill()
    killed_at = time.monotonic()
    crowd.stop()
    answered = crowd.answered
    found = counted(server.home)
    assert found["events"] == found["totals"] == found["log"]
    assert len([at for at in answered if at < killed_at - WRITTEN_S]) <= found["events"] <= len(answered) + CLIENTS

    server.start()
    server.until("weather", "running")
    assert counted(server.home) == found  # a restart counts nothing again
    crowd = Crowd(url, key)
    wait_for(lambda: len(crowd.answered) > 1000, lambda: f"1,000 answers; there are {len(crowd.answered)}")
    crowd.stop()
    expected = found["events"] + len(crowd.answered)
    (one,) = wait_for(
        lambda: [usage for usage in bob.usage() if usage["usage"]["used"] >= expected], f"{expected} to be counted"
    )
    assert one["usage"]["used"] == expected
    server.stop()
    assert counted(server.home) == dict.fromkeys(("events", "totals", "log"), expected)
    print(f"{len(answered)} answered before the kill, {found['events']} counted; then {len(crowd.answered)}, exactly")
