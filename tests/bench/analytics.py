"""The request log and its statistics in the real store: how fast rows go in, what they weigh, how fast answers come.

Rows are spread evenly over the last 30 days of one API, 4 % of them failed, and written in the batches that the server
writes. Times of answers are the median and the slowest of 20, with the file as warm as the writing left it; the CPU
they took tells how much of the time a busy machine spent elsewhere.
Run: scripts/bench analytics [--rows 1000000]
"""

import argparse
import asyncio
import random
import shutil
import statistics as numbers
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from local_server.analytics.service import BATCH
from local_server.analytics.statistics import statistics
from local_server.analytics.windows import WINDOWS
from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.ids import ApiId, RequestId, uuid7
from local_server.domain.registry import Api
from local_server.domain.usage import EVERYTHING, HistoryFilter, HistoryPage
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.storage.factories import ALICE, an_api

DAYS = 30
ASKED = 20
PATHS = ["/forecast", "/forecast/{}", "/cities/{}/history", "/health", "/"]
FILTERS = {
    "history": EVERYTHING,
    "history, not ok": HistoryFilter(not_ok=True),
    "history, 5xx": HistoryFilter(status_class=5),
    "history, a path": HistoryFilter(path_prefix="/cities/"),
    "history, nothing passes": HistoryFilter(method="PURGE"),
}


def batches(api_id: ApiId, rows: int, until: datetime) -> Iterator[list[Execution]]:
    dice = random.Random(7)
    step_us = DAYS * 86_400_000_000 // rows
    begin = until - timedelta(microseconds=step_us * rows)
    for first in range(0, rows, BATCH):
        yield [
            execution(api_id, number, begin + timedelta(microseconds=number * step_us), dice)
            for number in range(first, min(first + BATCH, rows))
        ]


def execution(api_id: ApiId, number: int, at: datetime, dice: random.Random) -> Execution:
    failed = dice.random() < 0.04
    total_us = int(dice.lognormvariate(8.5, 0.8))
    return Execution(
        id=RequestId(uuid7(int(at.timestamp() * 1000), dice.randbytes(10))),
        api_id=api_id,
        generation=1 + number // 200_000,
        method="GET",
        path=dice.choice(PATHS).format(dice.randrange(10_000)),
        status=500 if failed else 200,
        outcome=CallOutcome.SERVER_ERROR if failed else CallOutcome.OK,
        started_at=at,
        total_us=total_us,
        upstream_us=int(total_us * 0.9),
        bytes_in=0,
        bytes_out=512,
        held=False,
    )


async def ingest(storage: Storage, api: Api, rows: int) -> tuple[float, float]:
    """Seconds in the store alone, by the clock and of CPU: making the rows is not what is measured."""
    seconds = cpu = 0.0
    for batch in batches(api.id, rows, RealSystem().now()):
        began, used = time.perf_counter(), time.process_time()
        await storage.write(partial(add, batch))
        seconds += time.perf_counter() - began
        cpu += time.process_time() - used
    return seconds, cpu


def add(batch: Sequence[Execution], tx: Tx) -> int:
    return tx.usage.add(batch)


def first_page(api_id: ApiId, wanted: HistoryFilter, tx: ReadTx) -> HistoryPage:
    return tx.usage.page(api_id, wanted)


async def timed(name: str, ask: Callable[[], Awaitable[object]]) -> None:
    took_ms, cpu_ms = [], []
    for _ in range(ASKED):
        began, used = time.perf_counter(), time.process_time()
        await ask()
        took_ms.append((time.perf_counter() - began) * 1000)
        cpu_ms.append((time.process_time() - used) * 1000)
    figures = (numbers.median(took_ms), max(took_ms), numbers.median(cpu_ms))
    print(f"{name:<26}" + "".join(f" {figure:>10.2f}" for figure in figures), flush=True)


async def measure(rows: int, home: Path) -> None:
    storage = await SqliteStorage.open(home / "registry.db", lambda event: None)
    api = an_api(1, "weather")
    await storage.write(lambda tx: tx.accounts.add(ALICE))
    await storage.write(lambda tx: tx.registry.add(api))
    try:
        seconds, cpu = await ingest(storage, api, rows)
        size = sum(file.stat().st_size for file in home.iterdir() if not file.name.endswith("-wal"))
        print(f"{rows} rows in {seconds:.1f} s ({cpu:.1f} s of CPU): {rows / seconds:.0f} rows/s")
        print(f"{size / rows:.0f} bytes a row, rollups and indices included")
        print(f"{'answer':<26} {'median ms':>10} {'slowest ms':>10} {'CPU ms':>10}")
        for window in WINDOWS.values():
            await timed(f"stats, {window.name}", partial(statistics, storage, RealSystem(), api, window))
        for name, wanted in FILTERS.items():
            await timed(name, partial(storage.read, partial(first_page, api.id, wanted)))
    finally:
        await storage.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="apimarket-bench-"))
    try:
        asyncio.run(measure(options.rows, home))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
