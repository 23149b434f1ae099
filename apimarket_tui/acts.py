"""What can be done to one API. Every act answers at once, works in the background, and says why it could not."""

import os
import shlex
import subprocess
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.words import runs

if TYPE_CHECKING:
    from apimarket_tui.actions import Action
    from apimarket_tui.app import ApimarketApp
    from local_server.wire.apis import ApiView


class ApiActs:
    def __init__(self, app: "ApimarketApp") -> None:
        self._app = app

    def do(self, action: "Action", api: "ApiView") -> None:
        getattr(self, action.method)(api)

    # -- Showing

    def do_logs(self, api: "ApiView") -> None:
        self._app.open_api(api, "logs")

    def do_try(self, api: "ApiView") -> None:
        self._app.run_worker(self._app.open_console(api), name="console", group="console")

    def do_publish(self, api: "ApiView") -> None:
        from apimarket_tui.screens.publish import PublishScreen

        self._app.push_screen(PublishScreen(api.id))

    def do_copy(self, api: "ApiView") -> None:
        self._app.copy_to_clipboard(one_line(api.url))
        self._app.tell(f"copied {api.url}")

    def do_browse(self, api: "ApiView") -> None:
        if api.url.startswith(("http://", "https://")):
            self._app.open_url(one_line(api.url))
        else:
            self._app.tell(f"{api.url!r} is no web address", bad=True)

    def do_edit(self, api: "ApiView") -> None:
        """Give the terminal to $EDITOR until it ends."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
        if not editor:
            self._app.tell("$EDITOR is not set\nSet it, as in: export EDITOR=nano", bad=True)
            return
        if not os.path.isdir(api.directory):
            self._app.tell(f"{api.directory} is not a directory on this machine", bad=True)
            return
        if self._app.is_web:
            self._app.tell("A browser has no $EDITOR; open the directory yourself", bad=True)
            return
        self._app.run_worker(self._edit(editor, api.directory), name="edit", group="edit", exclusive=True)

    async def _edit(self, editor: str, directory: str) -> None:
        try:
            with self._app.suspend():
                # The terminal belongs to the editor meanwhile: the app has nothing to do but wait.
                subprocess.run([*shlex.split(editor), directory], check=False)  # noqa: ASYNC221
        except (OSError, ValueError) as error:
            self._app.tell(f"{editor} could not be started: {error}\nSet $EDITOR to a program on your PATH", bad=True)
        self._app.refresh()

    # -- Changing

    def do_restart(self, api: "ApiView") -> None:
        self._change(api, f"reloading {api.name}", self._app.backend.restart(api.name))

    def do_toggle(self, api: "ApiView") -> None:
        if runs(api):
            self._change(api, f"stopping {api.name}", self._app.backend.stop(api.name))
        else:
            self._change(api, f"starting {api.name}", self._app.backend.deploy(api.name))

    def do_undo(self, api: "ApiView") -> None:
        self._change(api, f"{api.name} goes back one generation", self._app.backend.undo(api.name))

    def do_remove(self, api: "ApiView") -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        question = f"Remove {api.name}?"
        more = f"It stops and is forgotten. {api.directory} stays as it is."
        self._app.push_screen(ConfirmScreen(question, more, "Remove"), lambda yes: self._remove(api) if yes else None)

    def _remove(self, api: "ApiView") -> None:
        async def remove() -> None:
            answer = await attempt(self._app.backend.remove(api.name))
            if isinstance(answer, Trouble):
                self._app.tell_trouble(answer)
                return
            self._app.live.fleet.drop(api.id)
            self._app.live.changed()
            self._app.tell(f"{api.name} is removed")

        self._app.run_worker(remove(), name=f"remove {api.name}", group=f"act:{api.id}")

    def _change(self, api: "ApiView", told: str, act: "Awaitable[ApiView]") -> None:
        async def change() -> None:
            answer = await attempt(act)
            if isinstance(answer, Trouble):
                self._app.tell_trouble(answer)
                return
            self._app.live.fleet.put(answer)
            self._app.live.changed()

        self._app.tell(told)
        self._app.run_worker(change(), name=told, group=f"act:{api.id}")
