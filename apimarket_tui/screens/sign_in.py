"""Signing in to a server, or making an account there. Nothing on this machine needs it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Button

from apimarket_tui.accounts import Session, address_of
from apimarket_tui.backend import Trouble
from apimarket_tui.screens.form import Field, FieldError, FormScreen
from apimarket_tui.widgets.tabs import TabLine

ONLY_NEW = ("email", "again")


class SignInScreen(FormScreen[Session]):
    HEADING = "Account"
    VERB = "Sign in"
    FIRST = "handle"
    FIELD_OF_CODE: ClassVar[Mapping[str, str]] = {
        "server_unreachable": "server",
        "timeout": "server",
        "not_json": "server",
        "name_taken": "handle",
        "invalid_name": "handle",
        "reserved_name": "handle",
        "email_taken": "email",
        "invalid_email": "email",
        "invalid_password": "password",
        "login_refused": "password",
        "too_many_attempts": "password",
    }
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+e", "turn", show=False, priority=True)]

    def about(self) -> Content:
        return Content.styled("For marketplaces and servers of others; your own APIs need none.  ctrl+e turns", "$dim")

    def extra(self) -> ComposeResult:
        yield TabLine(["Sign in", "New account"], id="kind")

    def fields(self) -> Sequence[Field]:
        return (
            Field("server", "Server", "https://market.example", self.market.account_acts.likely_url),
            Field("handle", "Handle", "or e-mail address"),
            Field("email", "E-mail", "may be left out"),
            Field("password", "Password", "", secret=True),
            Field("again", "Again", "the same once more", secret=True),
        )

    def on_mount(self) -> None:
        self._show_kind()

    @property
    def is_new(self) -> bool:
        return self.query_one("#kind", TabLine).active == 1

    def action_turn(self) -> None:
        self.query_one("#kind", TabLine).go(1)

    @on(TabLine.Changed)
    def _show_kind(self) -> None:
        for field in ONLY_NEW:
            self.query_one(f"#{field}-line").display = self.is_new
        self.query_one("#submit", Button).label = f"{'Make it' if self.is_new else 'Sign in'} (ctrl+s)"

    async def submit(self, typed: Mapping[str, str]) -> Session | Trouble:
        try:
            url = address_of(typed["server"])
        except ValueError as error:
            raise FieldError("server", str(error)) from None
        if not typed["handle"]:
            raise FieldError("handle", "Who are you? Give the handle of your account.")
        if not typed["password"]:
            raise FieldError("password", "Give the password of that account.")
        if not self.is_new:
            return await self._told(await self.market.accounts.sign_in(url, typed["handle"], typed["password"]))
        if typed["password"] != typed["again"]:
            raise FieldError("again", "The two passwords differ.")
        from local_server.wire.accounts import SignUp

        if len(typed["password"]) > 1024:
            raise FieldError("password", "A password has at most 72 bytes.")
        wanted = SignUp(handle=typed["handle"], email=typed["email"] or None, password=typed["password"])
        return await self._told(await self.market.accounts.sign_up(url, wanted))

    async def _told(self, answer: Session | Trouble) -> Session | Trouble:
        """A refusal belongs to its field, and says nothing of the local server."""
        if isinstance(answer, Trouble):
            raise FieldError(self.FIELD_OF_CODE.get(answer.code, "server"), answer.text)
        return answer
