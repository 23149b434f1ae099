"""A screen with a request: it can be written into a file, and filled in from an OpenAPI document."""

import asyncio
from functools import partial
from pathlib import Path

from textual.content import Content

from apimarket_tui.backend import CallResult, Trouble
from apimarket_tui.clean import one_line
from apimarket_tui.documents import document_at
from apimarket_tui.drafts import AuthKind, Draft, Outgoing, outgoing
from apimarket_tui.operations import NoOperations, Operation, base_of, operations_of
from apimarket_tui.saved_calls import content_of, name_for, write
from apimarket_tui.screens.frame import FrameScreen, stands
from apimarket_tui.screens.operations import OperationScreen


class CallScreen(FrameScreen):
    """Subclasses have the fields."""

    _to_replace: Path | None = None
    """A file that is there already: named a second time, it is replaced."""

    def draft(self) -> Draft:
        """What stands in the fields. Raises ValueError where the address means nothing."""
        raise NotImplementedError

    def address(self) -> str:
        """What was typed as one."""
        raise NotImplementedError

    def answer_here(self) -> CallResult | None:
        """The answer that is shown, where there is one."""
        raise NotImplementedError

    def fill(
        self,
        method: str,
        url: str,
        headers: str = "",
        body: str = "",
        query: str = "",
        auth: AuthKind | None = None,
        secret: str = "",
    ) -> None:
        """`auth` None: that stays as it is."""
        raise NotImplementedError

    def show_status(self, left: Content, right: Content | None = None) -> None:
        raise NotImplementedError

    def refuse(self, why: str) -> None:
        """Say why what was asked for is not done."""
        raise NotImplementedError

    # -- Files

    def do_save_call(self) -> None:
        """Ask for a name; its ending says whether the request or the answer is written."""
        try:
            out = outgoing(self.draft())
        except ValueError as error:
            self.refuse(str(error))
            return
        self._to_replace = None
        answer = self.answer_here()
        what = "a file; the request as .http or .sh" if answer is not None else "a file: .http or .sh"
        self.ask(what, name_for(out, answer), partial(self._save, out, answer))

    def _save(self, out: Outgoing, answer: CallResult | None, name: str) -> str:
        path = Path(name).expanduser().absolute()
        try:
            write(path, content_of(path, out, answer), replace=path == self._to_replace)
        except FileExistsError:
            self._to_replace = path
            return "it is there; enter again replaces it"
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)
        self.market.tell(f"written to {path}")
        return ""

    # -- Documents

    def do_import(self) -> None:
        self.ask("OpenAPI: an address or a file", self._document_of_api(), self._import)

    def _document_of_api(self) -> str:
        """Where frameworks put it, below the API that the address means."""
        typed = self.address()
        apis = self.market.live.fleet.all()
        named = typed.lstrip("/").partition("/")[0].partition("?")[0]
        api = next((one for one in apis if typed.startswith(one.url.rstrip("/")) or one.name == named), None)
        return f"{api.url.rstrip('/')}/openapi.json" if api is not None else typed

    def _import(self, source: str) -> str:
        if not source:
            return "name where the document is"
        self.begin("openapi", partial(self._import_from, source))
        return ""

    async def _import_from(self, source: str) -> None:
        self.show_status(Content.styled(f"⟳ reading {one_line(source)}", "$warning"))
        found = await document_at(self.market.backend, source)
        if not stands(self):
            return
        try:
            if isinstance(found, Trouble):
                raise NoOperations(found.text)
            operations = await asyncio.to_thread(operations_of, found)
        except NoOperations as error:
            self.refuse(str(error))
            return
        base = self._base_of(found, source)
        self.show_status(Content.styled(f"{len(operations):,} operations of {base or 'a file'}", "$dim"))
        self.app.push_screen(OperationScreen(source, operations), partial(self._fill_operation, base))

    def _base_of(self, document: bytes, source: str) -> str:
        """Our own API's address, whatever its document says."""
        apis = self.market.live.fleet.all()
        own = next((api.url.rstrip("/") for api in apis if source.startswith(api.url.rstrip("/") + "/")), None)
        return own if own is not None else base_of(document, source)

    def _fill_operation(self, base: str, chosen: "Operation | None") -> None:
        if chosen is not None:
            self.fill(chosen.method, base + chosen.path, chosen.headers, chosen.body, chosen.query)
