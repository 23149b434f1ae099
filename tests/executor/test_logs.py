"""The log of an API: bounded, clean, and there again after a restart."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local_server.domain.events import LogWritten
from local_server.domain.ids import ApiId
from local_server.executor import logs
from local_server.executor.logs import LogBook, printable


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def new_id(self) -> str:
        return "id"


def book(directory: Path, written: list[LogWritten] | None = None) -> LogBook:
    return LogBook(ApiId("a"), directory, Clock(), (written if written is not None else []).append)


class TestPrintable:
    def test_nothing_a_terminal_would_act_upon_is_left(self) -> None:
        hostile = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://evil\x1b\\link\x9b2J\x07\x00\x7f tab\there"
        assert printable(hostile) == "red link2J tab\there"

    def test_ordinary_text_of_any_script_is_left_alone(self) -> None:
        assert printable("Wetter für Köln · 天気 · ☀") == "Wetter für Köln · 天気 · ☀"


class TestLogBook:
    async def test_lines_are_told_of_in_order_and_in_batches(self, tmp_path: Path) -> None:
        written: list[LogWritten] = []
        log = book(tmp_path, written)
        for number in range(1000):
            log.add(1, "out", f"line {number}")
        await log.close()
        assert [line.text for event in written for line in event.lines] == [f"line {n}" for n in range(1000)]
        assert len(written) <= 3

    async def test_which_replica_wrote_a_line_is_there_again_after_a_restart(self, tmp_path: Path) -> None:
        first = book(tmp_path)
        first.add(3, "out", "alone")
        first.add(4, "out", "among others", 2)
        await first.close()
        second = book(tmp_path)
        await second.open()
        assert [(line.text, line.replica) for line in second.tail(10)] == [("alone", 0), ("among others", 2)]

    async def test_it_is_there_again_after_a_restart(self, tmp_path: Path) -> None:
        first = book(tmp_path)
        first.add(3, "err", "before")
        await first.close()
        second = book(tmp_path)
        await second.open()
        assert [(line.generation, line.stream, line.text) for line in second.tail(10)] == [(3, "err", "before")]

    async def test_a_torn_last_line_is_left_out(self, tmp_path: Path) -> None:
        first = book(tmp_path)
        first.add(1, "out", "whole")
        await first.close()
        with (tmp_path / "log.jsonl").open("a") as file:
            file.write('["2026-01-01T00:00:')
        second = book(tmp_path)
        await second.open()
        assert [line.text for line in second.tail(10)] == ["whole"]

    async def test_neither_memory_nor_disk_grows_without_end(self, tmp_path: Path) -> None:
        log = book(tmp_path)
        for _ in range(60):
            for number in range(1_000):
                log.add(1, "out", f"{number} {'x' * 200}")
            await log.close()
            await asyncio.sleep(0)
        assert len(log.tail(100_000)) == logs.MEMORY_LINES
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * logs.FILE_BYTES

    async def test_since_leaves_out_what_is_older(self, tmp_path: Path) -> None:
        log = book(tmp_path)
        log.add(1, "out", "old")
        log.add(1, "out", "new")
        newest = log.tail(1)[0].at
        assert [line.text for line in log.tail(10, since=newest)] == ["new"]
        await log.close()

    async def test_one_generation_is_found_beyond_what_memory_holds(self, tmp_path: Path) -> None:
        log = book(tmp_path)
        for number in range(40):
            log.add(7, "out", f"early {number}, 8, and so on")
        await log.close()
        for number in range(logs.MEMORY_LINES + 1):
            log.add(8, "out", f"later {number}")
        assert not [line for line in log.tail(logs.MEMORY_LINES) if line.generation == 7]
        found = await log.of_generation(7, 30)
        assert [line.text for line in found] == [f"early {number}, 8, and so on" for number in range(10, 40)]
        assert {line.generation for line in await log.of_generation(8, 10)} == {8}
        assert await log.of_generation(9, 10) == []
        assert await log.of_generation(7, 30, since=found[-1].at) == [found[-1]]
        await log.close()
