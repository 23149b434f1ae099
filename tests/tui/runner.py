"""The app over the fake server in a real terminal: `python -m tests.tui.runner --help`."""

import argparse
import asyncio
import sys
import time

from apimarket_tui.app import ApimarketApp
from local_server.wire.apis import TrafficView
from local_server.wire.events import ApiUpdated, TrafficUpdated

from .fake_backend import NOW, FakeBackend, an_api, some_traffic


class Runner(ApimarketApp):
    def __init__(self, backend: FakeBackend, hz: float, first_frame: bool) -> None:
        super().__init__(backend, clock=lambda: NOW)
        self._fake, self._hz, self._first_frame = backend, hz, first_frame

    async def on_mount(self) -> None:  # type: ignore[override]
        super().on_mount()
        if self._hz:
            self.run_worker(self._liven())
        if self._first_frame:
            self.call_after_refresh(self.exit, 0)

    async def _liven(self) -> None:
        """Every API's row and figures change `hz` times a second."""
        turn = 0
        # Made beforehand: what is measured is the app, not the making of figures.
        prepared = [some_traffic(float(rate), 20.0 + rate) for rate in range(40)]
        while True:
            turn += 1
            figures: dict[str, TrafficView] = {}
            for number, api in enumerate(self._fake.known.values()):
                figures[api.id] = prepared[(number + turn) % 40]
                self._fake.emit(ApiUpdated(api=api))
            self._fake.emit(TrafficUpdated(apis=figures))
            await asyncio.sleep(1 / self._hz)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--apis", type=int, default=0)
    parser.add_argument("--hz", type=float, default=0)
    parser.add_argument("--first-frame", action="store_true")
    parser.add_argument("--directory", help="one API alone, in this directory")
    options = parser.parse_args()
    apis = [an_api(f"api-{number:04d}") for number in range(options.apis)] if options.apis else None
    if options.directory:
        apis = [an_api("weather", directory=options.directory)]
    return Runner(FakeBackend(apis), options.hz, options.first_frame).run() or 0


if __name__ == "__main__":
    started = time.perf_counter()
    status = main()
    print(f"left after {time.perf_counter() - started:.2f}s")
    sys.exit(status)
