"""A line that breaks: after any byte of a publish, in either direction, it goes on without sending anything twice."""

import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from local_server.domain.outbox import OutboxState
from tests.sync.conftest import Machine
from tests.sync.fake_marketplace import FakeMarketplace
from tests.sync.real_marketplace import RealMarketplace

Open = Callable[..., Awaitable[Machine]]


class CuttingLine:
    """Passes bytes on to `target`, and breaks every connection once `budget` bytes went the one way."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.budget: int | None = None
        """Of bytes toward the marketplace; negative: of bytes back. None: without end."""
        self.sent_bytes = 0
        self.back_bytes = 0
        self.cuts = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # nobody is at the other end now
                client.close()
                continue
            threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                allowed = self._allowed(len(data), up)
                target.sendall(data[:allowed])
                if allowed < len(data):
                    break
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _allowed(self, count: int, up: bool) -> int:
        with self._lock:
            if up:
                self.sent_bytes += count
            else:
                self.back_bytes += count
            if self.budget is None or (self.budget > 0) != up:
                return count
            left = abs(self.budget)
            if count <= left:
                self.budget = (left - count) * (1 if up else -1) or None
                return count
            self.budget = None  # the next connection finds the line whole
            self.cuts += 1
            return left


@contextmanager
def a_line(market: FakeMarketplace | RealMarketplace) -> Iterator[CuttingLine]:
    line = CuttingLine(int(market.url.rpartition(":")[2]))
    if isinstance(market, RealMarketplace):
        market.answer_to(line.url)
    try:
        yield line
    finally:
        line.close()


FILES: dict[str, bytes] = {
    **{f"lib/{number}.bin": bytes([number]) * 20 + os.urandom(60_000) for number in range(25)},
    "large.bin": os.urandom(9 * 1024 * 1024),
}
"""More than goes along with the request, and one blob that is sent alone."""


class TestCutLine:
    @pytest.mark.slow
    @pytest.mark.parametrize("direction", [1, -1], ids=["on the way there", "on the way back"])
    async def test_after_any_byte_it_goes_on(self, open_machine: Open, market: FakeMarketplace, direction: int) -> None:
        """Steps over a whole publish: request, negotiation, batches, a resumed blob, commit."""
        with a_line(market) as line:
            machine = await open_machine(url=line.url)
            await machine.publish()
            whole = await self._publish_cut(machine, line, market, None)
            total = line.sent_bytes if direction > 0 else line.back_bytes
            assert whole == 1
            # Every byte of heads and answers; of the bulk in between, steps.
            places = range(1, total, max(total // 40, 1)) if direction > 0 else range(1, total, max(total // 25, 1))
            for place in places:
                assert await self._publish_cut(machine, line, market, place * direction) == 1
            assert line.cuts >= 0.75 * len(places), "the line was hardly ever cut"

    async def _publish_cut(
        self, machine: Machine, line: CuttingLine, market: FakeMarketplace, budget: int | None
    ) -> int:
        """Publish other files over a line that breaks once; how many versions that made. The bytes taken of each blob
        are its size and at most the torn end of one request."""
        for place in market.market.received_bytes, market.market.partial:
            place.clear()
        before = len(market.market.versions["ana/one"])
        salt = os.urandom(8)
        machine.write({name: salt + content for name, content in FILES.items()})
        await machine.queue()
        line.sent_bytes = line.back_bytes = 0
        line.budget = budget
        (done, *_) = await machine.drain()
        line.budget = None
        assert done.state is OutboxState.APPLIED, done.trouble
        tree = market.market.trees[done.tree]
        for entry in tree.entries.values():
            assert len(market.market.blobs[entry.sha256]) == entry.size_bytes
            taken = market.market.received_bytes.get(entry.sha256, 0)
            assert taken <= entry.size_bytes, "a whole blob was taken twice"
        new = market.market.versions["ana/one"][before:]
        assert [one["id"] for one in new] == [done.version]
        return len(new)

    async def test_every_byte_of_a_small_publish(self, open_machine: Open, market: FakeMarketplace) -> None:
        """One request: a cut anywhere in it, or in its answer, leaves one version."""
        with a_line(market) as line:
            machine = await open_machine(url=line.url)
            await machine.publish()
            for number, budget in enumerate((*range(1, 900, 60), *range(-1, -500, -60))):
                machine.write({"main.py": f"print({number})\n"})
                await machine.queue()
                line.budget = budget
                (done, *_) = await machine.drain()
                line.budget = None
                assert done.state is OutboxState.APPLIED, (budget, done.trouble)
            versions = market.market.versions["ana/one"]
            assert len({one["semver"] for one in versions}) == len(versions) == number + 2
            assert line.cuts > 15
