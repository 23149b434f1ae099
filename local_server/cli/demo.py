"""`demo`: three sample APIs below the data directory, deployed, saved once to show a reload, and called."""

import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import click

from local_server.cli.acts import settled
from local_server.cli.connection import print_json, started_client
from local_server.cli.outcome import verb
from local_server.cli.text import line_of, milliseconds, paint, table
from local_server.client.documents import ApiDocument
from local_server.client.errors import ApimarketClientError
from local_server.client.synchronous import Client

CALLS = 40
RELOAD_S = 60.0
_SAMPLES = {"demo-python": "python", "demo-node": "node", "demo-go": "go"}
_SOURCES = {".py": "#", ".js": "//", ".mjs": "//", ".go": "//"}
_MARK = re.compile(r"^(?:#|//) saved by `apimarket demo`, time (\d+)\n", re.MULTILINE)


class Sample(NamedTuple):
    name: str
    api: ApiDocument | None
    reload_ms: float | None
    answered: int
    calls_ms: list[float]
    trouble: str
    hint: str


@verb()
def demo(as_json: bool) -> None:
    """Three sample APIs (Python, Node, Go, as far as this machine can), deployed, with traffic. May be run again."""
    client = started_client()
    directory = Path(client.server()["home"]) / "demo"
    samples = []
    for name, template in _SAMPLES.items():
        if not as_json:
            click.echo(paint(f"… {name}", dim=True, err=True), err=True)
        samples.append(_run(client, name, template, directory / name))
    if as_json:
        print_json([_document(sample) for sample in samples])
    else:
        click.echo(_told(samples))
    if not any(sample.answered for sample in samples):
        raise ApimarketClientError(
            "None of the samples answers",
            hint="See what is missing with: apimarket doctor",
            code="demo_failed",
            status=503,
            title="The demo does not run on this machine",
        )


def _run(client: Client, name: str, template: str, directory: Path) -> Sample:
    """One sample from nothing, or from an earlier run, to calls. What goes wrong is told, and the next one runs."""
    try:
        api = settled(client, _deployed(client, name, template, directory))
        if api["state"] != "running":
            failure = api["failure"]
            trouble = failure["headline"] if failure else api["error"] or f"still {api['state']}"
            return Sample(name, api, None, 0, [], line_of(trouble), line_of(failure["hint"]) if failure else "")
        reload_ms = _save(client, api)
        answered, calls_ms = _traffic(client, api["url"])
        return Sample(name, client.api(api["id"]), reload_ms, answered, calls_ms, "", "")
    except ApimarketClientError as error:
        return Sample(name, None, None, 0, [], line_of(error.detail), line_of(error.hint))


def _deployed(client: Client, name: str, template: str, directory: Path) -> ApiDocument:
    try:
        api = client.api(name)
    except ApimarketClientError as error:
        if error.code != "api_not_found":
            raise
        if directory.exists():
            return client.register({"directory": str(directory), "name": name, "start": True})
        return client.scaffold({"name": name, "template": template, "directory": str(directory), "start": True})
    running = api["desired_state"] == "running" and api["state"] != "failed"
    return api if running else client.deploy(api["id"])


def _save(client: Client, api: ApiDocument) -> float | None:
    """Change a comment in the sample's source and wait for it to serve: milliseconds of the reload, None where it did
    not come."""
    source = next((p for p in sorted(Path(api["directory"]).iterdir()) if p.suffix in _SOURCES and p.is_file()), None)
    before = api["generation"]
    if source is None or before is None:
        return None
    text = source.read_text("utf-8")
    mark = _MARK.search(text)
    line = f"{_SOURCES[source.suffix]} saved by `apimarket demo`, time {int(mark[1]) + 1 if mark else 1}\n"
    source.write_text(_MARK.sub(line, text) if mark else text.rstrip("\n") + "\n\n" + line, "utf-8")
    deadline = time.monotonic() + RELOAD_S
    while time.monotonic() < deadline:
        newest = client.api(api["id"])["generation"]
        if newest is not None and newest["number"] > before["number"] and newest["outcome"] != "starting":
            return newest["timings_ms"].get("total") if newest["outcome"] == "serving" else None
        time.sleep(0.05)
    return None


def _traffic(client: Client, url: str) -> tuple[int, list[float]]:
    """How many of CALLS requests were answered below 500, and how long each took."""
    results = [client.call("GET", url.rstrip("/") + "/") for _ in range(CALLS)]
    return sum(result.status < 500 for result in results), [result.elapsed_ms for result in results]


def _document(sample: Sample) -> dict[str, Any]:
    return {
        "name": sample.name,
        "api": sample.api,
        "reload_ms": sample.reload_ms,
        "calls": len(sample.calls_ms),
        "answered": sample.answered,
        "median_ms": _median(sample.calls_ms),
        "error": sample.trouble or None,
        "hint": sample.hint,
    }


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _told(samples: list[Sample]) -> str:
    rows = [
        [
            f"{paint('✓', 'green') if s.answered else paint('✗', 'red')} {paint(s.name, bold=True)}",
            milliseconds(s.reload_ms),
            f"{s.answered}/{len(s.calls_ms)}" if s.calls_ms else "–",
            milliseconds(_median(s.calls_ms)),
            s.api["url"] if s.api and s.answered else s.trouble,
        ]
        for s in samples
    ]
    lines = [table(["  API", "RELOAD", "CALLS", "MEDIAN", "URL"], rows)]
    lines += [f"{paint('hint:', 'cyan')} {s.name}: {s.hint}" for s in samples if s.hint]
    first = next((s for s in samples if s.answered), None)
    if first is not None and first.api is not None:
        steps = [
            ["apimarket", "watch them in the terminal UI"],
            [f"apimarket dev {first.api['directory']}", "edit one: a save is a reload"],
            [f"apimarket call {first.name}", "call one"],
            [f"apimarket rm {first.name}", "forget one"],
        ]
        lines += ["", table(["NEXT", ""], steps)]
    return "\n".join(lines)
