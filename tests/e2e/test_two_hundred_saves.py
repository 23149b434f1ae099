"""Save after save while clients of every kind are at it: nothing fails, and the last good save is what runs.

Forty saves by default; APIMARKET_SAVES=200 for the whole of it, APIMARKET_SEED for another run.
"""

import os
import random
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.load import APP, Caller, Client, load
from tests.e2e.traffic import ask

SAVES = int(os.environ.get("APIMARKET_SAVES", "40"))
SEED = int(os.environ.get("APIMARKET_SEED", "1"))
BROKEN_SHARE = 0.15
NO_OP_SHARE = 0.05
BREAKS = {
    "syntax": "\ndef broken(:\n",
    "import": "\nimport no_such_module_of_anyone\n",
    "crash": "\nraise RuntimeError('at import')\n",
    "exit": "\nimport os\nos._exit(3)\n",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + SAVES)]


@dataclass
class Author:
    """Saves one file again and again, as people and their editors do."""

    file: Path
    rng: random.Random
    number: int = 0
    text: str = ""
    saved_at: dict[int, float] = field(default_factory=dict)
    """Good save -> when its file was written, by `time.time`."""
    kinds: Counter[str] = field(default_factory=Counter)

    def save(self, kind: str) -> None:
        self.kinds[kind] += 1
        if kind != "no-op":
            self.number += 1
            self.text = APP.format(save=self.number) + BREAKS.get(kind, "")
        beside = self.file.parent.with_name("next.py")
        beside.write_text(self.text)
        if self.rng.random() < 0.5:
            # Not with `write_text`: this process has a dozen threads, and between emptying and filling the file it may
            # have to wait for so long that the empty file is a save of its own.
            subprocess.run(["cp", str(beside), str(self.file)], check=True)
        else:
            beside.replace(self.file)
        if kind == "good":
            self.saved_at[self.number] = self.file.stat().st_mtime

    def some_kind(self) -> str:
        drawn = self.rng.random()
        if drawn < BROKEN_SHARE:
            return self.rng.choice(list(BREAKS))
        return "no-op" if drawn < BROKEN_SHARE + NO_OP_SHARE else "good"

    @property
    def last_good(self) -> int:
        return max(self.saved_at)


@pytest.fixture
def author(server: RunningServer, tmp_path: Path) -> Iterator[Author]:
    directory = tmp_path / "restless"
    directory.mkdir()
    author = Author(directory / "main.py", random.Random(SEED))
    author.save("good")
    server.run("add", str(directory))
    server.until("restless", "running")
    yield author
    server.run("rm", "restless", "--yes")


def latencies_ms(author: Author, clients: list[Client]) -> list[float]:
    """From each good save to its first answer; those that a later save overtook have none."""
    seen: dict[int, float] = {}
    for client in clients:
        if isinstance(client, Caller):
            for save, at in client.first_seen.items():
                seen[save] = min(at, seen.get(save, at))
    return sorted((seen[save] - at) * 1000 for save, at in author.saved_at.items() if save in seen and save > 1)


def test_nothing_fails_and_the_last_good_save_runs(server: RunningServer, author: Author) -> None:
    url = str(server.client.api("restless")["url"])

    def serving() -> int:
        return int(ask(url).body.partition('"save": ')[2].partition(",")[0])

    def is_settled() -> bool:
        told = bool(server.client.api("restless")["error"])
        return serving() == author.last_good and told == (author.last_good != author.number)

    with load(url, SEED) as clients:
        wait_for(lambda: all(client.done for client in clients), "every client to have been served once", 20)
        for _ in range(SAVES):
            time.sleep(author.rng.uniform(0.05, 0.4))
            author.save(author.some_kind())
        wait_for(is_settled, lambda: f"save {author.last_good} of {author.number}; {serving()} serves", 15)
        generations = [one["number"] for one in server.client.generations("restless")]
        author.save("no-op")
        time.sleep(0.5)
        assert [one["number"] for one in server.client.generations("restless")] == generations
    tell(server, author, clients)
    failures = [failure for client in clients for failure in client.failures]
    assert not failures, "\n".join([f"{len(failures)} failed:", *failures[:10], server.words()])
    assert serving() == author.last_good
    assert max(generations) <= author.number
    assert len(latencies_ms(author, clients)) > 0.5 * len(author.saved_at)


def tell(server: RunningServer, author: Author, clients: list[Client]) -> None:
    """For the record: `pytest -s`, or the output of a failure."""
    calls: Counter[str] = Counter()
    for client in clients:
        calls[client.kind] += client.done
    found = latencies_ms(author, clients)
    failed = sum(len(client.failures) for client in clients)
    print(f"\n{server.engine}: saves {dict(author.kinds)}; calls {dict(calls)}, failed {failed}")
    print(
        f"save to answer: p50 {statistics.median(found):.0f} ms, p95 {found[int(len(found) * 0.95)]:.0f} ms, ", end=""
    )
    print(f"slowest {found[-1]:.0f} ms, of {len(found)} saves that served")
