"""Bringing a published version to this machine: its files as they were published, as an API that runs here."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.widgets import Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.live import following
from apimarket_tui.screens.form import Field, FieldError, FormScreen
from apimarket_tui.screens.frame import stands
from apimarket_tui.toned import content_of
from apimarket_tui.words import Spans, bar, size, span

if TYPE_CHECKING:
    from apimarket_tui.marketplaces import Place
    from local_server.wire.apis import ApiView
    from local_server.wire.events import PullUpdated
    from local_server.wire.market import ListingCard
    from local_server.wire.outbox import PullVersion

BAR_CELLS = 16


class CloneScreen(FormScreen["ApiView"]):
    HEADING = "Clone and run"
    VERB = "Fetch it"
    FIELD_OF_CODE: ClassVar[Mapping[str, str]] = {
        "directory_taken": "directory",
        "unusable_directory": "directory",
    }

    def __init__(self, place: "Place", card: "ListingCard", version: str) -> None:
        super().__init__()
        self._place, self._card, self._version = place, card, version
        self._since: datetime | None = None
        self._came: PullUpdated | None = None

    def about(self) -> Content:
        told = f"The files of {one_line(self._card.name)} as they were published, with their signature checked."
        server = self.market.live.server
        if server is not None and not server.isolated:
            return Content.assemble((told, "$dim"), (" A stranger's code runs here with no isolation.", "$warning"))
        return Content.styled(told, "$dim")

    def fields(self) -> Sequence[Field]:
        return (
            Field("version", "Version", "the newest", one_line(self._version)),
            Field("directory", "Directory", "a new one below the projects directory"),
        )

    async def submit(self, typed: Mapping[str, str]) -> "ApiView | Trouble":
        from local_server.wire.outbox import PullVersion

        version = typed["version"].removeprefix("v")
        name = f"{self._card.name}@{version}" if version else self._card.name
        directory, follow = typed["directory"] or None, version == one_line(self._version)
        wanted = PullVersion(name=name, remote=self._place.url, directory=directory, start=True, follow=follow)
        telling = [asyncio.create_task(one) for one in (self._keep_told(), self._follow(wanted))]
        try:
            pulled = await attempt(self.market.backend.pull_version(wanted))
        finally:
            for task in telling:
                task.cancel()
        if isinstance(pulled, Trouble):
            field = "version" if pulled.code == "not_published" and version else "directory"
            raise FieldError(field, pulled.text)
        apis = await attempt(self.market.backend.apis())
        if isinstance(apis, Trouble):
            return apis
        here = next((api for api in apis if api.id == pulled.api_id), None)
        return here if here is not None else Trouble("It was fetched, and removed again meanwhile")

    async def _follow(self, wanted: "PullVersion") -> None:
        """How much of it came, as the server tells. It tells of all that are fetched."""
        async for event in following(self.market.backend, ("pull",)):
            if event.topic == "pull" and (event.name, event.remote) == (wanted.name, wanted.remote):
                self._came = event
                self._show_told()

    async def _keep_told(self) -> None:
        """How long it has taken, while it takes."""
        self._since, self._came = self.market.clock(), None
        while stands(self):
            self._show_told()
            await asyncio.sleep(0.5)

    def _show_told(self) -> None:
        took = span((self.market.clock() - self._since).total_seconds()) if self._since is not None else "now"
        spans: Spans = [("⟳ fetching and checking  ", "warn")]
        came = self._came
        if came is not None and came.total_bytes:
            spans.append((bar(came.done_bytes, came.total_bytes, BAR_CELLS).ljust(BAR_CELLS, "░"), "accent"))
            spans.append((f" {size(came.done_bytes)} of {size(came.total_bytes)}", "text"))
        spans.append((f"  {took if took != 'now' else ''}  esc gives it up", "dim"))
        self.query_one(".more", Static).update(content_of(spans))
