"""What publishing one changed line costs on the wire, beside git push, rsync, docker push and npm publish.

One directory, copied for each, of 1,000 source files and 8 MB. It is published as it is; then one line of one file is
changed and it is published again: the second time is what counts, and what one counting proxy in front of each saw of
it. Peers that are not on this machine are named, with the way to have them. Run: scripts/bench sync [--files 1000]
"""

import argparse
import asyncio
import random
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from local_server.client import Client
from tests.bench._counting import Count, counting
from tests.bench._gateways import Absent
from tests.bench._publishers import PEERS, Publisher
from tests.bench.reload import free_port
from tests.e2e.conftest import running
from tests.sync.conftest import machine_at

FILES, FILE_BYTES = 1_000, 8_000
OURS = "apimarket publish"
CHANGED = "package_3/module_7.py"
HEADER = "| | turns | connections | bytes up | bytes down | up, of ours |\n|---|---|---|---|---|---|"
MANIFEST = '[api]\nname = "one"\nruntime = "python"\nversion = "0.1.0"\n'


def write_project(directory: Path, files: int) -> None:
    """Python source of drawn words; it compresses like source, to about a quarter."""
    dice = random.Random(7)
    words = ["".join(dice.choices("abcdefghijklmnoprstuvwy", k=dice.randint(3, 10))) for _ in range(3_000)]
    directory.mkdir()
    (directory / "apimarket.toml").write_text(MANIFEST)
    for number in range(files):
        path = directory / f"package_{number // 10}" / f"module_{number % 10}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(_source(dice, words))


def _source(dice: random.Random, words: list[str]) -> str:
    lines: list[str] = []
    held = 0
    while held < FILE_BYTES:
        a, b, c, d = dice.choices(words, k=4)
        line = f"def {a}_{b}({c}: int) -> int:\n    return {d}_{a}({c} + {dice.randrange(10_000)})\n\n\n"
        lines.append(line)
        held += len(line)
    return "".join(lines)[:FILE_BYTES] + "\n"


def change_a_line(directory: Path) -> None:
    path = directory / CHANGED
    lines = path.read_text().splitlines(keepends=True)
    place = len(lines) // 2 // 4 * 4 + 1
    lines[place] = "    return 42\n"
    path.write_text("".join(lines))


@contextmanager
def ours(place: Path, project: Path) -> Iterator[Publisher]:
    """A machine with its outbox, and a marketplace that is a whole server with an account's session."""
    port = free_port()
    with counting(port) as proxy:
        # To those in front of the proxy it has another name.
        env = {"APIMARKET_ALLOWED_HOSTS": f'["127.0.0.1:{proxy.port}"]', "APIMARKET_PROFILE": "hosted"}
        with running(place / "marketplace", "process", port=port, env=env) as server:
            session = Client(server.url).signup({"handle": "ana", "password": "correct horse", "role": "developer"})

            async def publish(number: int) -> None:
                machine = await machine_at(place / "laptop", f"http://127.0.0.1:{proxy.port}", session["token"])
                machine.api = replace(machine.api, directory=str(project))
                try:
                    async with machine.markets.visit(machine.url):
                        pass  # as a server that runs, it has met the marketplace
                    proxy.count.clear()
                    entry = await machine.publish(f"0.1.{number}")
                    if entry.state != "applied":
                        raise SystemExit(f"not published: {entry.trouble}")
                finally:
                    await machine.storage.close()

            yield Publisher(proxy.count, lambda number: asyncio.run(publish(number)))


def measured(publisher: Publisher, project: Path) -> Count:
    publisher.publish(1)
    change_a_line(project)
    publisher.publish(2)
    return publisher.count


def line(name: str, count: Count, ours_up: int) -> str:
    ratio = f"{count.up_bytes / ours_up:,.1f}×"
    return f"| {name} | {count.turns} | {count.connections} | {count.up_bytes:,} | {count.down_bytes:,} | {ratio} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--peer", action="append", choices=list(PEERS), help="only these; default: all")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="apimarket-bench-"))
    try:
        pristine = directory / "pristine"
        write_project(pristine, options.files)
        whole = b"".join(path.read_bytes() for path in sorted(pristine.rglob("*.py")))
        print(f"{options.files:,} files, {len(whole):,} bytes, {len(zlib.compress(whole)):,} compressed\n\n{HEADER}")
        ours_up = 0
        peers = {OURS: ours} | {name: PEERS[name] for name in options.peer or PEERS}
        for number, (name, peer) in enumerate(peers.items()):
            place, project = directory / f"place-{number}", directory / f"project-{number}"
            place.mkdir()
            shutil.copytree(pristine, project)
            try:
                with peer(place, project) as publisher:
                    count = measured(publisher, project)
                ours_up = ours_up or count.up_bytes
                print(line(name, count, ours_up), flush=True)
            except Absent as absent:
                print(f"| {name} | left out: {absent} |", flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
