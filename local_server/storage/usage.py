"""What storage can do for the request log, and for what was counted of it; part of `Tx` and `ReadTx` (base.py)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId, UserId
from local_server.domain.usage import HistoryFilter, HistoryPage, PathCount, Popularity, Rollup, Step, TroubleCount


class UsageReader(Protocol):
    def history(self, api_id: ApiId, limit: int = 100, before: str | None = None) -> Sequence[Execution]:
        """Newest first; `before` is the id of the last row seen."""

    def count(self, api_id: ApiId, since: datetime) -> Mapping[str, int]:
        """Outcome -> number of requests that started at or after `since`."""

    def page(self, api_id: ApiId, wanted: HistoryFilter, limit: int = 100, before: str | None = None) -> HistoryPage:
        """The rows that `wanted` describes, newest first; looks through a bounded number of rows at once. `before` is
        the `next` of the page before."""

    def rollups(self, api_id: ApiId, step: Step, since: datetime) -> Sequence[Rollup]:
        """Those that began at or after `since`, oldest first. Where nothing was requested there is none."""

    def popularity(self, user_id: UserId, step: Step, since: datetime) -> Popularity:
        """Requests in the rollups that began at or after `since`, by each API of the user, 0 included."""

    def paths(self, api_id: ApiId, since: datetime, newest: int) -> Sequence[PathCount]:
        """Of the `newest` rows at or after `since`, by path, most requests first."""

    def troubles(self, api_id: ApiId, since: datetime, newest: int) -> Sequence[TroubleCount]:
        """Of the `newest` rows at or after `since` that were not ok, by how they ended, most requests first."""


class UsageStore(UsageReader, Protocol):
    def add(self, rows: Sequence[Execution]) -> int:
        """Append, and count in the rollups of the row's minute, hour and day; returns how many were new. A row whose
        id is there already is left alone and not counted again (a batch may be sent twice). Rows of APIs that were
        removed meanwhile are dropped."""

    def prune(self, before: datetime, limit: int = 10_000) -> int:
        """Delete older rows, at most `limit`; returns how many. Rollups stay."""

    def prune_rollups(self, step: Step, before: datetime, limit: int = 10_000) -> int:
        """Delete rollups that began earlier, at most `limit`; returns how many."""
