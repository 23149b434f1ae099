"""Threads that each hold a connection and take work from one queue.

An executor of the standard library would do, at twice the cost of a hop, and without saying in which order finished
work is told of: here what is finished first is delivered first, with its `then`, even if nobody waits for it any more.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

C = TypeVar("C")
T = TypeVar("T")


class _Job(Generic[C, T]):
    def __init__(self, work: Callable[[C], T], then: Callable[[T], None] | None) -> None:
        self._work = work
        self._then = then
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def perform(self, connection: C) -> None:
        """On the worker's thread."""
        if self.future.cancelled():
            return
        try:
            deliver = partial(self._succeed, self._work(connection))
        except BaseException as error:  # every failure belongs to the caller, who waits on another thread
            deliver = partial(self._fail, error)
        try:
            self._loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            logger.warning("The event loop closed before work on the storage was done; its result is lost")

    def _succeed(self, result: T) -> None:
        if self._then is not None:
            self._then(result)
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if self.future.done():
            return
        if isinstance(error, StopIteration):  # a future may not carry one
            wrapped = RuntimeError("work on the storage raised StopIteration")
            wrapped.__cause__ = error
            error = wrapped
        self.future.set_exception(error)


class Workers(Generic[C]):
    """`count` threads; `open_connection` and `close_connection` run on each of them."""

    def __init__(
        self,
        name: str,
        count: int,
        open_connection: Callable[[], C],
        close_connection: Callable[[C], None],
    ) -> None:
        self._open = open_connection
        self._close = close_connection
        self._jobs: SimpleQueue[_Job[C, object] | None] = SimpleQueue()
        self._started: list[ThreadFuture[None]] = [ThreadFuture() for _ in range(count)]
        self._ended: list[ThreadFuture[None]] = [ThreadFuture() for _ in range(count)]
        self._stopping = False
        for number, (started, ended) in enumerate(zip(self._started, self._ended, strict=True)):
            # Daemons: an interpreter that ends without close() must not wait for them. Each commit is whole anyway.
            threading.Thread(target=self._serve, args=(started, ended), name=f"{name}-{number}", daemon=True).start()

    async def ready(self) -> None:
        """Wait until every thread has its connection. Raises what `open_connection` raised; call stop() then too."""
        for started in self._started:
            await asyncio.wrap_future(started)

    async def run(self, work: Callable[[C], T], then: Callable[[T], None] | None = None) -> T:
        """Run `work` on a thread, then `then` with its result on the event loop, before the caller goes on. Cancelling
        the caller keeps work that has not begun from beginning, and changes nothing about work that has."""
        if self._stopping:
            raise RuntimeError("The storage is closed")
        job = _Job(work, then)
        self._jobs.put(job)  # type: ignore[arg-type]  # one queue holds jobs of many results
        return await job.future

    async def stop(self) -> None:
        """Finish everything that was asked for, close the connections, end the threads. May be called twice."""
        if not self._stopping:
            self._stopping = True
            for _ in self._ended:
                self._jobs.put(None)
        for ended in self._ended:
            await asyncio.wrap_future(ended)

    def _serve(self, started: ThreadFuture[None], ended: ThreadFuture[None]) -> None:
        try:
            connection = self._open()
        except BaseException as error:
            started.set_exception(error)
            ended.set_result(None)
            return
        started.set_result(None)
        try:
            while (job := self._jobs.get()) is not None:
                job.perform(connection)
                del job  # or its closure would live until the next one comes
            self._close(connection)
        except BaseException:
            logger.exception("A storage thread ended badly")
        finally:
            ended.set_result(None)
