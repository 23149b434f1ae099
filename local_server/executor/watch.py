"""Tells when something in a watched directory changed.

One thread watches the directories of every API, by native events, each directory for itself: ignored ones
(`node_modules`, `.venv`) then cost nothing. Containers never watch: events do not cross every kind of mount. Events are
only a hint to look, never the truth; what changed is decided by hashes, and a scan of everything every two seconds
covers events that were lost.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local_server.domain.ids import ApiId

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

QUIET_MS = 7
"""Waits for this long without a further event; watchfiles looks twice, so a save is told after about 14 ms."""
LONGEST_MS = 75
IDLE_MS = 60_000
MANY_FILES = 50
"""More than this at once is a branch switch or an unpacked archive: wait for the rest of it."""
MANY_QUIET_S = 0.150

ADDED = 1
"""watchfiles' number for something that was not there before."""

Changed = Callable[[ApiId], None]


class Watcher:
    """Watches any number of APIs. `changed` is called on the event loop, once for each burst of events."""

    def __init__(self, changed: Changed, *, poll: bool = False) -> None:
        self._changed = changed
        self._directories: dict[ApiId, frozenset[str]] = {}
        self._delayed: dict[ApiId, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self._notify: RustNotify | None = None
        self._restart = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self.polling = poll

    def watch(self, api_id: ApiId, directories: frozenset[str]) -> None:
        """Watch exactly these directories for the API from now on. The same ones again cost nothing."""
        if self._directories.get(api_id) == directories:
            return
        self._directories[api_id] = directories
        self._renew()

    def forget(self, api_id: ApiId) -> None:
        if self._directories.pop(api_id, None) is not None:
            self._renew()
        if handle := self._delayed.pop(api_id, None):
            handle.cancel()

    async def close(self) -> None:
        """Stop watching. May be called twice."""
        self._closing = True
        self._restart.set()
        for handle in self._delayed.values():
            handle.cancel()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5)
            self._thread = None

    def _renew(self) -> None:
        self._restart.set()
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self._restart.clear()
            wanted = dict(self._directories)
            owners = _owners(wanted)
            if not owners:
                self._restart.wait()
                continue
            with self._open(sorted(owners)) as notify:
                # What was saved between two watchers was seen by neither.
                self._tell(dict.fromkeys(wanted, 0))
                self._follow(notify, owners)

    def _open(self, directories: list[str]) -> Any:
        from watchfiles._rust_notify import RustNotify

        try:
            return RustNotify(directories, False, self.polling, 300, False, True)
        except FileNotFoundError:
            # One vanished meanwhile; the rest must still be watched. The owner's next scan says so to its user.
            return RustNotify([d for d in directories if os.path.isdir(d)], False, self.polling, 300, False, True)
        except OSError:
            # inotify's limits are reached: polling is slower, but sees every save.
            self.polling = True
            return RustNotify(directories, False, True, 300, False, True)

    def _follow(self, notify: "RustNotify", owners: dict[str, set[ApiId]]) -> None:
        while not self._restart.is_set():
            changes = notify.watch(LONGEST_MS, QUIET_MS, IDLE_MS, self._restart)
            if isinstance(changes, str):
                continue
            counts: dict[ApiId, int] = {}
            for kind, path in changes:
                if kind == ADDED and path in owners:
                    # A watched directory was removed and made again: the watch of the old one sees nothing any more.
                    self._restart.set()
                directory = path.rpartition("/")[0] or path.rpartition("\\")[0]
                for api_id in owners.get(directory, set()) | owners.get(path, set()):
                    counts[api_id] = counts.get(api_id, 0) + 1
            self._tell(counts)

    def _tell(self, counts: dict[ApiId, int]) -> None:
        if not counts or self._closing:
            return
        try:
            self._loop.call_soon_threadsafe(self._gather, counts)
        except RuntimeError:  # the loop closed while this thread was on its way here
            self._closing = True

    def _gather(self, counts: dict[ApiId, int]) -> None:
        for api_id, count in counts.items():
            waiting = self._delayed.pop(api_id, None)
            if waiting is None and count <= MANY_FILES:
                self._changed(api_id)
                continue
            if waiting is not None:
                waiting.cancel()
            self._delayed[api_id] = self._loop.call_later(MANY_QUIET_S, self._settled, api_id)

    def _settled(self, api_id: ApiId) -> None:
        self._delayed.pop(api_id, None)
        self._changed(api_id)


def _owners(directories: dict[ApiId, frozenset[str]]) -> dict[str, set[ApiId]]:
    owners: dict[str, set[ApiId]] = {}
    for api_id, paths in directories.items():
        for path in paths:
            owners.setdefault(path, set()).add(api_id)
    return owners
