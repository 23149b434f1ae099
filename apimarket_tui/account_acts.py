"""Signing in to another server, and out of it again, from any screen."""

from typing import TYPE_CHECKING

from apimarket_tui.live import ServerChanged

if TYPE_CHECKING:
    from apimarket_tui.accounts import Session
    from apimarket_tui.app import ApimarketApp


class AccountActs:
    def __init__(self, app: "ApimarketApp") -> None:
        self._app = app

    def sign_in(self) -> None:
        from apimarket_tui.screens.sign_in import SignInScreen

        self._app.push_screen(SignInScreen(), self.signed_in)

    @property
    def likely_url(self) -> str:
        """Where one would sign in next: to the server of this screen, where that asks who one is."""
        app = self._app
        asked = app.by_session and app.live.lost is not None and app.live.lost.status == 401
        return app.backend.url if asked else app.accounts.likely_url

    def signed_in(self, session: "Session | None") -> None:
        if session is not None:
            self._speak_as(session.url, session.token)
            self._app.relay(ServerChanged())
            self._app.tell(f"signed in to {session.host} as {session.handle}")

    def _speak_as(self, url: str, token: str) -> None:
        """A session with the very server of this screen is what it is spoken to with."""
        if self._app.by_session and url == self._app.backend.url:
            self._app.backend.use_token(token)
            self._app.live.look_now()
            self._app.live.reread()

    def sign_out(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        session = self._app.accounts.current
        if session is None:
            self._app.tell("No session: A signs in")
            return
        question = f"Sign {session.handle} out of {session.host}?"
        more = "Every session of the account ends, on every machine. What runs here is not touched."
        self._app.push_screen(
            ConfirmScreen(question, more, "Sign out"), lambda yes: self._sign_out(session) if yes else None
        )

    def _sign_out(self, session: "Session") -> None:
        async def sign_out() -> None:
            trouble = await self._app.accounts.sign_out(session)
            self._speak_as(session.url, "")
            self._app.relay(ServerChanged())
            told = f"signed out of {session.host}"
            if trouble is None:
                self._app.tell(told)
            else:
                self._app.tell(f"{told} here; the server did not hear of it\n{trouble.detail}", bad=True)

        self._app.run_worker(sign_out(), name="sign out", group="sign out")
