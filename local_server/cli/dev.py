"""`dev`: an API in the foreground, reloaded on every save, with its log between the reloads."""

import json
import os
import sys
from pathlib import Path

import click

from local_server.cli.connection import started_client
from local_server.cli.logs import Tail
from local_server.cli.outcome import verb
from local_server.cli.reloads import Follower
from local_server.cli.text import paint
from local_server.client.documents import ApiDocument, LogLineDocument
from local_server.client.errors import ApimarketClientError
from local_server.client.synchronous import Client, Event

_COLOURS = {"⟳": "green", "▶": "green", "✗": "red", "…": "cyan", "○": "yellow"}


@verb()
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
def dev(directory: Path, as_json: bool) -> None:
    """Run the API in DIRECTORY (registered if need be) and reload it on every save, until Ctrl-C.

    Prints its URL on a line of its own once it answers, then its log and one line a reload. The API keeps running
    afterwards. With --json: the events, one line of JSON each.
    """
    client = started_client()
    api = _registered(client, directory)
    session = _Session(client, api, as_json)
    try:
        session.run()
    except KeyboardInterrupt:
        session.say_goodbye()


def _registered(client: Client, directory: Path) -> ApiDocument:
    """The API of that directory, registered and started where it was not."""
    real = str(directory.resolve())
    for api in client.apis():
        if api["directory"] and os.path.realpath(api["directory"]) == real:
            return client.deploy(api["id"]) if api["desired_state"] != "running" else api
    try:
        return client.register({"directory": real, "name": None, "start": True})
    except ApimarketClientError as error:
        # Registered by somebody else between the two calls.
        if error.code != "directory_taken":
            raise
        return client.deploy(str(error.extra["name"]))


class _Session:
    def __init__(self, client: Client, api: ApiDocument, as_json: bool) -> None:
        self._client, self._api, self._as_json = client, api, as_json
        self._follower = Follower()
        wanted = (lambda _: True) if as_json else _not_told_by_follower
        self._tail = Tail(client, api["id"], as_json, 1000, _now(api), wanted)
        self._url_told = False
        self._opened = False

    def run(self) -> None:
        for event in self._client.events(["api", f"log:{self._api['id']}"], on_open=self._catch_up):
            self._take(event)

    def say_goodbye(self) -> None:
        if self._as_json:
            return
        name = self._api["name"]
        stays = "keeps running and reloading" if self._follower.reachable else "stays deployed"
        click.echo(f"\n{name} {stays}. Follow it again: apimarket dev   Stop it: apimarket stop {name}")

    def _catch_up(self) -> None:
        """On every connection: the row as it is now, so that nothing between two connections is missed."""
        if self._opened and not self._as_json:
            click.echo(paint("… the server is back", "cyan"))
        self._opened = True
        self._tail.catch_up()
        self._show(self._client.api(self._api["id"]))

    def _take(self, event: Event) -> None:
        data = event.data
        if event.topic == "log" and data.get("api_id") == self._api["id"]:
            self._tail.streamed(data["lines"])
        elif event.topic == "api" and data["api"]["id"] == self._api["id"]:
            self._show(data["api"])
        elif event.topic == "api-removed" and data.get("id") == self._api["id"]:
            click.echo(f"{self._api['name']} was removed from the registry", err=True)
            sys.exit(1)
        elif event.topic == "resync":
            self._catch_up_quietly()

    def _catch_up_quietly(self) -> None:
        self._tail.catch_up()
        self._show(self._client.api(self._api["id"]))

    def _show(self, api: ApiDocument) -> None:
        self._api = api
        if self._as_json:
            click.echo(json.dumps({"topic": "api", "api": api}, ensure_ascii=False))
            return
        for line in self._follower.lines(api):
            click.echo(paint(line, _COLOURS.get(line[0])))
        if self._follower.reachable and not self._url_told:
            self._url_told = True
            click.echo(_url(api))


def _url(api: ApiDocument) -> str:
    """Where what is in the directory answers: at a pin, while the traffic goes to versions."""
    return api["url"] if api["shares"].get("dev", 100 if not api["shares"] else 0) == 100 else f"{api['url'][:-1]}@dev/"


def _not_told_by_follower(line: LogLineDocument) -> bool:
    """Whether a line is news: reloads, mistakes and progress stand in the log too, for those who only read the log."""
    if line.get("replica", 0):
        return True
    return line["stream"] != "apimarket" or not (line["generation"] == 0 or line["text"].startswith(("⟳", "✗")))


def _now(api: ApiDocument) -> str:
    """From when on the log is shown: what earlier generations printed is not news."""
    from datetime import UTC, datetime

    running = api["serving"] is not None
    return datetime.now(UTC).isoformat() if running else api["updated_at"]
