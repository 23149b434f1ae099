"""Textual's driver for a page in a browser, which ends when whoever reads and writes its pipes is gone."""

import contextlib
from typing import Any

from textual import messages
from textual.drivers.web_driver import WebDriver


class PageDriver(WebDriver):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        write = self._write
        self._write = lambda data: _as_far_as_read(write, data)  # type: ignore[assignment]

    def run_input_thread(self) -> None:
        """As the base has it; there the app goes on after the end of its input, for nobody."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.call_from_thread(self._app.post_message, messages.ExitApp())


def _as_far_as_read(write: Any, data: bytes) -> int:
    with contextlib.suppress(BrokenPipeError):
        return int(write(data))
    return len(data)
