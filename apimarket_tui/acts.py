"""What can be done to one API. Every act answers at once, works in the background, and says why it could not."""

import os
import subprocess
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.programs import editor_command, shell_command
from apimarket_tui.words import runs

if TYPE_CHECKING:
    from apimarket_tui.actions import Action
    from apimarket_tui.app import ApimarketApp
    from local_server.wire.apis import ApiView


NOT_STARTED = frozenset({125, 126, 127})
"""How shells and Docker say that there was nothing to run. What else a program ends with is its own affair."""


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

    # -- Lending the terminal

    def do_edit(self, api: "ApiView", chosen: str = "", line: int | None = None) -> None:
        """Give the terminal to $EDITOR until it ends; `chosen` is a file below the API's directory."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
        if self._app.is_web:
            self._app.tell(f"A browser has no terminal for an editor\nOpen it yourself: {api.directory}", bad=True)
        elif not editor:
            self._app.tell("$EDITOR is not set\nSet it, as in: export EDITOR=nano", bad=True)
        elif not os.path.isdir(api.directory):
            self._app.tell(f"{api.directory} is not a directory on this machine", bad=True)
        else:
            try:
                command = editor_command(editor, api, chosen, line)
            except FileNotFoundError as error:
                self._app.tell(str(error), bad=True)
            except ValueError as error:
                self._app.tell(f"$EDITOR is {editor!r}: {error}\nSet it to a program on your PATH", bad=True)
            else:
                self._lend(command, api.directory, "Set $EDITOR to a program on your PATH")

    def do_shell(self, api: "ApiView") -> None:
        """Give the terminal to a shell in the API's container until it ends."""
        command = shell_command(api)
        if self._app.is_web:
            self._app.tell("A browser has no terminal for a shell\nIn one: apimarket, then x", bad=True)
        elif command is not None:
            self._lend(command, None, "A shell in a container needs the docker program, and the container")
        elif api.isolated and api.serving is None:
            self._app.tell(f"{api.name} does not run: s starts it", bad=True)
        else:
            self._app.tell(f"{api.name} runs in no container: e opens its directory", bad=True)

    def _lend(self, command: Sequence[str], directory: str | None, hint: str) -> None:
        self._app.run_worker(self._lent(command, directory, hint), name=command[0], group="lent", exclusive=True)

    async def _lent(self, command: Sequence[str], directory: str | None, hint: str) -> None:
        try:
            with self._app.suspend():
                # The terminal belongs to the program meanwhile: the app has nothing to do but wait.
                trouble = _ended(command, directory)
        except SuspendNotSupported:
            trouble = f"This terminal cannot be given to {command[0]}"
        if trouble:
            self._app.tell(f"{trouble}\n{hint}", bad=True)
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


def _ended(command: Sequence[str], directory: str | None) -> str:
    """Run it to its end. Returns why it could not be, and raises nothing: the terminal would not come back."""
    try:
        status = subprocess.run(command, cwd=directory, check=False).returncode
    except (OSError, ValueError) as error:
        return f"{command[0]} could not be started: {getattr(error, 'strerror', None) or error}"
    return f"{command[0]} ended with {status}" if status in NOT_STARTED else ""
