"""What can be done about a version on its way, and about what a marketplace has, from wherever it is shown."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp
    from local_server.wire.outbox import OutboxEntryView, PulledView, RemoteApiView


class OutboxActs:
    def __init__(self, app: "ApimarketApp") -> None:
        self._app = app

    def retry(self, entry: "OutboxEntryView") -> None:
        self._change(entry, f"trying {entry.name} {entry.version} again", self._app.backend.retry_outgoing(entry.op))

    def cancel(self, entry: "OutboxEntryView") -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        question = f"Give up publishing {one_line(entry.name)} {one_line(entry.version)}?"
        more = "The marketplace does not get it. What runs here, and its files, stay as they are."
        self._app.push_screen(
            ConfirmScreen(question, more, "Give up", "Go on"), lambda yes: self._cancel(entry) if yes else None
        )

    def _cancel(self, entry: "OutboxEntryView") -> None:
        told = f"{entry.name} {entry.version} is given up"
        self._change(entry, told, self._app.backend.cancel_outgoing(entry.op))

    def _change(self, entry: "OutboxEntryView", told: str, act: "Awaitable[OutboxEntryView]") -> None:
        async def change() -> None:
            answer = await attempt(act)
            if isinstance(answer, Trouble):
                self._app.tell_trouble(answer)
                return
            self._app.live.take_outgoing(answer)
            self._app.tell(told)

        self._app.run_worker(change(), name=told, group=f"outgoing:{entry.op}")

    def settle(self, api: str, remote: str) -> None:
        """Show both sides of a conflict."""
        from apimarket_tui.screens.conflict import ConflictScreen

        self._app.push_screen(ConflictScreen(api, remote))

    def ask_now(self) -> None:
        """Ask every marketplace what is new, and send what waits."""

        async def ask() -> None:
            answer = await attempt(self._app.backend.sync_now())
            if isinstance(answer, Trouble):
                self._app.tell_trouble(answer)
            else:
                self._app.live.take_outbox(answer)
                self._app.tell("asked every marketplace")

        self._app.tell("asking every marketplace…")
        self._app.run_worker(ask(), name="sync now", group="sync now", exclusive=True)

    def pull(self, there: "RemoteApiView") -> None:
        """Bring the newest version here, and write it to the directory if nothing there is unpublished."""
        from local_server.wire.outbox import PullApi

        if there.api is None:
            self._app.tell(f"{there.name} is no API of this machine: 2 finds it and clones it", bad=True)
            return
        api = there.api

        async def pull() -> None:
            answer = await attempt(self._app.backend.pull(api, PullApi(remote=there.remote, write=True)))
            if isinstance(answer, Trouble):
                self._app.tell_trouble(answer)
                return
            self._app.tell(_pulled(answer), bad=answer.conflict)
            self._app.live.reread()

        self._app.tell(f"fetching {there.name}…")
        self._app.run_worker(pull(), name=f"pull {api}", group=f"pull:{api}", exclusive=True)


def _pulled(pulled: "PulledView") -> str:
    if pulled.conflict:
        return f"{pulled.name} {pulled.version} was made apart from what is here\nenter shows both sides"
    if pulled.written:
        return f"{pulled.name} {pulled.version} is in {pulled.directory}"
    if not pulled.new_versions:
        return f"{pulled.name} has nothing new"
    return f"{pulled.name} {pulled.version} is fetched"
