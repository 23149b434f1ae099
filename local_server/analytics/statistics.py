"""What became of an API's requests over a window: from the rollups, whose histograms are merged, never averaged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from local_server.analytics.templates import template_of
from local_server.analytics.windows import Window
from local_server.domain.executions import CallOutcome
from local_server.domain.histogram import percentile_us
from local_server.domain.ids import ApiId
from local_server.domain.registry import Api
from local_server.domain.usage import GenerationTally, PathCount, Popularity, Rollup, Tally, TroubleCount
from local_server.storage.base import ReadTx, Storage
from local_server.system import System

PATHS_FROM = 1_000
"""Which paths are busy is told from so many of the newest requests: paths are beyond counting."""
TROUBLES_FROM = 500
PATHS, TROUBLES, GENERATIONS = 10, 20, 20


@dataclass(frozen=True, slots=True)
class Point:
    """One minute, hour or day."""

    starts_at: datetime
    tally: Tally = field(default_factory=Tally)

    def percentile_us(self, share: float) -> float | None:
        return percentile_us(self.tally.latencies, share)


@dataclass(frozen=True, slots=True)
class Rank:
    """Among the APIs of the same owner; those with as many requests share a place."""

    place: int
    of: int
    share: float
    """Of all their requests, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Statistics:
    window: Window
    since: datetime
    until: datetime
    tally: Tally
    points: Sequence[Point]
    generations: Sequence[tuple[int, GenerationTally]]
    """The newest of the directory, newest first; 0 stands for requests that nothing answered."""
    versions: Sequence[tuple[str, GenerationTally]]
    """Those that answered, the busiest first."""
    paths: Sequence[PathCount]
    troubles: Sequence[TroubleCount]
    rank: Rank

    @property
    def requests_per_s(self) -> float:
        return self.tally.requests / max((self.until - self.since).total_seconds(), 1.0)

    @property
    def success_rate(self) -> float | None:
        """Share that was ok. With the error rate it makes less than 1: the rest are callers' mistakes, and refusals."""
        return self._share(self.tally.outcomes.get(CallOutcome.OK, 0))

    @property
    def error_rate(self) -> float | None:
        return self._share(self.tally.errors)

    @property
    def mean_us(self) -> float | None:
        answered = sum(self.tally.latencies.values())
        return self.tally.total_us / answered if answered else None

    def percentile_us(self, share: float) -> float | None:
        return percentile_us(self.tally.latencies, share)

    def _share(self, requests: int) -> float | None:
        return requests / self.tally.requests if self.tally.requests else None


@dataclass(frozen=True, slots=True)
class _Read:
    rollups: Sequence[Rollup]
    popularity: Popularity
    paths: Sequence[PathCount]
    troubles: Sequence[TroubleCount]


async def statistics(storage: Storage, system: System, api: Api, window: Window) -> Statistics:
    """Of the API as of now, in one consistent read."""
    now = system.now()
    since = window.starts_at(now)
    read = await storage.read(lambda tx: _read(tx, api, window, since))
    total = Tally()
    for rollup in read.rollups:
        total.add(rollup.tally)
    return Statistics(
        window=window,
        since=since,
        until=now,
        tally=total,
        points=_points(window.steps(now), read.rollups),
        generations=sorted(total.generations.items(), reverse=True)[:GENERATIONS],
        versions=sorted(total.versions.items(), key=_by_requests)[:GENERATIONS],
        paths=_paths(read.paths),
        troubles=_troubles(read.troubles),
        rank=_rank(api.id, read.popularity),
    )


def _read(tx: ReadTx, api: Api, window: Window, since: datetime) -> _Read:
    return _Read(
        tx.usage.rollups(api.id, window.step, since),
        tx.usage.popularity(api.user_id, window.step, since),
        tx.usage.paths(api.id, since, PATHS_FROM),
        tx.usage.troubles(api.id, since, TROUBLES_FROM),
    )


def _by_requests(item: tuple[str, GenerationTally]) -> tuple[int, str]:
    return -item[1].requests, item[0]


def _points(steps: Iterable[datetime], rollups: Iterable[Rollup]) -> list[Point]:
    by_start = {rollup.starts_at: rollup.tally for rollup in rollups}
    return [Point(step, by_start.get(step) or Tally()) for step in steps]


def _paths(counts: Iterable[PathCount]) -> list[PathCount]:
    groups: dict[str, PathCount] = {}
    for count in counts:
        path = template_of(count.path)
        known = groups.get(path, PathCount(path, 0, 0))
        groups[path] = PathCount(path, known.requests + count.requests, known.total_us + count.total_us)
    return sorted(groups.values(), key=lambda group: -group.requests)[:PATHS]


def _troubles(counts: Iterable[TroubleCount]) -> list[TroubleCount]:
    groups: dict[tuple[str, int, str, str], list[TroubleCount]] = {}
    for count in counts:
        groups.setdefault((count.outcome, count.status, count.method, template_of(count.path)), []).append(count)
    summed = [_summed(path, group) for (_, _, _, path), group in groups.items()]
    return sorted(summed, key=lambda group: -group.requests)[:TROUBLES]


def _summed(path: str, group: Sequence[TroubleCount]) -> TroubleCount:
    newest = max(group, key=lambda one: one.last_at)
    return replace(newest, path=path, requests=sum(one.requests for one in group))


def _rank(api_id: ApiId, popularity: Mapping[ApiId, int]) -> Rank:
    own = popularity.get(api_id, 0)
    total = sum(popularity.values())
    place = 1 + sum(1 for requests in popularity.values() if requests > own)
    return Rank(place, max(len(popularity), 1), own / total if total else 0.0)
