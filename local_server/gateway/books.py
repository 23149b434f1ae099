"""What is over is entered in the books after whatever waits to be written has been: no caller waits for them.

A turn of the event loop ends many requests at once when the gateway is busy; their entries are made together, which
costs less than one by one.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from local_server.domain.quotas import costs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local_server.domain.executions import Execution
    from local_server.gateway.access_log import Trace
    from local_server.gateway.inspector import Capture
    from local_server.gateway.quotas import Purse


class Books:
    """`record` is told of all, `refund` of what cost nothing after all, `keep` of what is kept whole. Use on one event
    loop."""

    def __init__(
        self,
        record: Callable[[Sequence[Execution]], None],
        refund: Callable[[Purse], None],
        keep: Callable[[Capture, Execution], None],
    ) -> None:
        self._record = record
        self._refund = refund
        self._keep = keep
        self._over: list[Trace] = []

    def enter(self, trace: Trace) -> None:
        """A request is over."""
        trace.ended_s = perf_counter()
        if not self._over:
            asyncio.get_running_loop().call_soon(self.post)
        self._over.append(trace)

    def post(self) -> None:
        """Enter what is over by now. May be called at any time."""
        over, self._over = self._over, []
        if not over:
            return
        executions: list[Execution] = []
        for trace in over:
            execution = trace.execution()
            executions.append(execution)
            if trace.purse is not None and not costs(trace.outcome, trace.generation):
                self._refund(trace.purse)
            if trace.capture is not None:
                self._keep(trace.capture, execution)
        self._record(executions)
