"""One to five stars: a digit, an arrow or a click gives them."""

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from apimarket_tui.words import stars as drawn

MOST = 5


class StarPicker(Widget, can_focus=True):
    stars: reactive[int] = reactive(0)
    """0: none were given yet."""

    def on_key(self, event: events.Key) -> None:
        if event.key.isdecimal() and 1 <= int(event.key) <= MOST:
            self.stars = int(event.key)
        elif event.key in ("right", "left"):
            self.stars = max(1, min(MOST, self.stars + (1 if event.key == "right" else -1)))
        else:
            return
        event.stop()
        event.prevent_default()

    def on_click(self, event: events.Click) -> None:
        if 0 <= event.x < MOST:
            self.stars = event.x + 1

    def render(self) -> Content:
        told = f"  {self.stars} of {MOST}" if self.stars else "  1 to 5, or ← →"
        return Content.assemble((drawn(self.stars), "$warning"), (told, "$dim"))
