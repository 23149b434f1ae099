"""What is done to many APIs at once: each by itself, so that one that cannot stops no other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apimarket_tui.backend import Backend, Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.words import runs

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp
    from local_server.wire.apis import ApiView

AT_ONCE = 4
MOST_LOGS = 50
"""That are followed as one: each is a topic of one stream of events."""
TOLD = 4
"""Refusals that are told one by one; of more it is told how many."""


@dataclass(frozen=True, slots=True)
class Bulk:
    key: str
    title: str
    help: str
    done: str
    act: "Callable[[Backend, ApiView], Awaitable[ApiView | None]] | None"
    """None: nothing is changed, they are only shown together."""
    wants: "Callable[[ApiView], bool]" = lambda api: True
    """Those it makes a difference to."""
    asks: str = ""
    """What is asked before, with the number in place of {}."""


LOGS = Bulk("l", "logs", "Follow their logs as one, by time", "shown", None)
BULKS = (
    LOGS,
    Bulk("r", "reload", "Start their newest code afresh", "reloaded", lambda backend, api: backend.restart(api.name)),
    Bulk(
        "s",
        "start",
        "Start those that do not run",
        "started",
        lambda backend, api: backend.deploy(api.name),
        lambda api: not runs(api),
    ),
    Bulk("x", "stop", "Stop those that run", "stopped", lambda backend, api: backend.stop(api.name), runs),
    Bulk("z", "undo", "Go back to what served before", "undone", lambda backend, api: backend.undo(api.name)),
    Bulk(
        "d",
        "remove",
        "Forget them; their directories stay",
        "removed",
        lambda backend, api: backend.remove(api.name),
        asks="Remove {}?",
    ),
)


class BulkActs:
    def __init__(self, app: "ApimarketApp") -> None:
        self._app = app

    def choose(self, apis: "Sequence[ApiView]") -> None:
        """Ask what shall be done to these, then do it."""
        from apimarket_tui.screens.bulk import BulkScreen

        self._app.push_screen(BulkScreen(apis), lambda bulk: self._chosen(bulk, apis) if bulk is not None else None)

    def _chosen(self, bulk: Bulk, apis: "Sequence[ApiView]") -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen
        from apimarket_tui.screens.merged_log import MergedLogScreen

        wanted = [api for api in apis if bulk.wants(api)]
        if bulk is LOGS and len(apis) > MOST_LOGS:
            self._app.tell(f"{len(apis):,} logs are too many for one screen; mark up to {MOST_LOGS}", bad=True)
        elif bulk is LOGS:
            self._app.push_screen(MergedLogScreen(apis))
        elif not wanted:
            self._app.tell(f"None of them is to be {bulk.done}")
        elif not bulk.asks:
            self._begin(bulk, wanted)
        else:
            more = f"{names_of(wanted)}\nThey stop and are forgotten. Their directories stay as they are."
            question = bulk.asks.format(counted(len(wanted)))
            self._app.push_screen(
                ConfirmScreen(question, more, bulk.title.title()),
                lambda yes: self._begin(bulk, wanted) if yes else None,
            )

    def _begin(self, bulk: Bulk, apis: "Sequence[ApiView]") -> None:
        self._app.tell(f"{bulk.title}: {counted(len(apis))}…")
        self._app.run_worker(self._do(bulk, apis), name=f"bulk {bulk.title}", group="bulk")

    async def _do(self, bulk: Bulk, apis: "Sequence[ApiView]") -> None:
        room, act = asyncio.Semaphore(AT_ONCE), bulk.act
        assert act is not None

        async def one(api: "ApiView") -> Trouble | None:
            async with room:
                answer = await attempt(act(self._app.backend, api))
            if isinstance(answer, Trouble):
                return answer
            if answer is None:
                self._app.live.fleet.drop(api.id)
            else:
                self._app.live.fleet.put(answer)
            self._app.live.changed()
            return None

        answers = await asyncio.gather(*(one(api) for api in apis))
        refused = [(api, trouble) for api, trouble in zip(apis, answers, strict=True) if trouble is not None]
        self._tell(bulk, len(apis) - len(refused), refused)

    def _tell(self, bulk: Bulk, done: int, refused: "Sequence[tuple[ApiView, Trouble]]") -> None:
        lines = [f"{counted(done)} {bulk.done}"] if done or not refused else []
        lines += [f"✗ {one_line(api.name)}: {one_line(trouble.detail)}" for api, trouble in refused[:TOLD]]
        if len(refused) > TOLD:
            lines.append(f"✗ and {len(refused) - TOLD} more")
        self._app.tell("\n".join(lines), bad=bool(refused))


def counted(number: int) -> str:
    return "1 API" if number == 1 else f"{number:,} APIs"


def names_of(apis: "Sequence[ApiView]") -> str:
    shown = ", ".join(one_line(api.name) for api in apis[:8])
    return shown if len(apis) <= 8 else f"{shown} and {len(apis) - 8} more"
