"""What to say about a save: pure, from the row of an API before and after. One line each.

`⟳ g15 68 ms (detect 12 · snapshot 3 · import 40)`   `✗ SyntaxError: invalid syntax (main.py:12) · g14 still serving`
"""

from collections.abc import Mapping

from local_server.cli.text import line_of, milliseconds
from local_server.client.documents import ApiDocument

PHASES = ("detect", "snapshot", "prepare", "build", "announce", "import", "ready", "swap")


def budget(timings_ms: Mapping[str, float]) -> str:
    """`68 ms (detect 12 · snapshot 3)`: the parts in milliseconds; empty when nothing was measured."""
    parts = " · ".join(f"{phase} {timings_ms[phase]:.0f}" for phase in PHASES if phase in timings_ms)
    total = milliseconds(timings_ms["total"]) if "total" in timings_ms else ""
    return f"{total} ({parts})" if total and parts else total or parts


class Follower:
    """Turns the rows of one API, as they change, into lines; says everything once."""

    def __init__(self) -> None:
        self._served: int | None = None
        self._trouble = ""
        self._progress = ""
        self._state = ""

    def lines(self, api: ApiDocument) -> list[str]:
        told = [*self._progress_of(api), *self._trouble_of(api), *self._reload_of(api)]
        if api["state"] != self._state:
            self._state = api["state"]
            if self._state == "stopped":
                told.append("○ stopped")
        return told

    @property
    def reachable(self) -> bool:
        """Whether a generation has answered since the API last stopped."""
        return self._served is not None and self._state != "stopped"

    def _progress_of(self, api: ApiDocument) -> list[str]:
        progress = line_of(api["progress"])
        changed, self._progress = progress != self._progress, progress
        return [f"… {progress}"] if changed and progress else []

    def _trouble_of(self, api: ApiDocument) -> list[str]:
        failure, generation = api["failure"], api["generation"]
        headline = line_of(failure["headline"] if failure else api["error"] or "")
        # The same mistake saved again is news: the person wants to know that the save was seen.
        key = f"{generation['number'] if generation else 0} {headline}" if headline else ""
        changed, self._trouble = key != self._trouble, key
        if not changed or not headline:
            return []
        serving = f"g{api['serving']} still serving" if api["serving"] is not None else "nothing is serving"
        hint = [f"  {line_of(failure['hint'])}"] if failure and failure["hint"] else []
        return [f"✗ {headline} · {serving}", *hint]

    def _reload_of(self, api: ApiDocument) -> list[str]:
        serving, generation = api["serving"], api["generation"]
        if serving is None or serving == self._served:
            return []
        first, self._served = self._served is None, serving
        measured = budget(generation["timings_ms"]) if generation and generation["number"] == serving else ""
        return [f"{'▶' if first else '⟳'} g{serving} {measured}".rstrip()]
