"""Events over real HTTP: as they happen, again after a broken stream, and to an end when the server stops."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.control.conftest import Running, serving

Event = tuple[str, str, Any]
"""(topic, id, data)"""


@contextmanager
def following(running: Running, topics: str, last_event_id: str = "") -> Iterator[http.client.HTTPResponse]:
    connection = running.connect()
    headers = {"Authorization": f"Bearer {running.token}"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    connection.request("GET", f"/api/v1/events?topics={topics}", headers=headers)
    answer = connection.getresponse()
    try:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield answer
    finally:
        answer.close()
        connection.close()


def next_event(stream: http.client.HTTPResponse) -> Event | None:
    """The next block of the stream that is not a comment; None at its end."""
    fields: dict[str, str] = {}
    while line := stream.readline().decode():
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif fields.keys() & {"event", "id"}:
            return fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "null"))
    return None


def event_of(stream: http.client.HTTPResponse, name: str) -> Event:
    """The next event about the API `name`."""
    while (event := next_event(stream)) is not None:
        if event[2] and (event[2].get("api") or {}).get("name") == name:
            return event
    raise AssertionError(f"the stream ended without an event of {name}")


def register(running: Running, project: Path, name: str) -> None:
    made = running.ask("POST", "/api/v1/apis", {"directory": str(project), "name": name, "start": False})
    assert made.status == 201, made.body


class TestEvents:
    def test_a_change_is_told_as_it_happens(self, running: Running, project: Path) -> None:
        with following(running, "api") as stream:
            assert next_event(stream)
            register(running, project, "told")
            topic, event_id, _ = event_of(stream, "told")
        assert topic.startswith("api")
        assert event_id
        running.ask("DELETE", "/api/v1/apis/told")

    def test_a_broken_stream_resumes_with_what_was_missed(self, running: Running, project: Path) -> None:
        with following(running, "api") as stream:
            opening = next_event(stream)
        assert opening
        register(running, project, "missed")
        with following(running, "api", opening[1]) as stream:
            assert event_of(stream, "missed")[1] != opening[1]
        running.ask("DELETE", "/api/v1/apis/missed")

    def test_an_id_of_another_server_is_told_to_read_everything_anew(self, running: Running) -> None:
        with following(running, "api", "00000000-5") as stream:
            event = next_event(stream)
        assert event
        assert event[0] == "resync"

    def test_a_stopping_server_ends_every_stream(self, tmp_path: Path) -> None:
        with serving(tmp_path / "home") as running, following(running, "api,traffic,engine") as stream:
            assert next_event(stream)
            running.ask("POST", "/api/v1/server/stop")
            while next_event(stream) is not None:
                pass
            running.thread.join(10)
            assert not running.thread.is_alive()
