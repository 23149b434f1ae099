"""What goes along with a request: query, headers, body and auth, one of them seen at a time."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, Input, TextArea

from apimarket_tui.clean import clean
from apimarket_tui.drafts import AUTH_KINDS, HINTS, AuthKind
from apimarket_tui.widgets.method import MethodPicker
from apimarket_tui.widgets.tabs import TabLine

PARTS = ("query", "headers", "body", "auth")


class AuthPicker(MethodPicker):
    CHOICES: ClassVar[tuple[str, ...]] = AUTH_KINDS

    def render(self) -> Content:
        return Content.assemble((f" {self.method}", "bold $primary"), (" ▾", "$dim"))


class AskPane(Vertical):
    def compose(self) -> ComposeResult:
        yield TabLine([part.title() for part in PARTS], id="ask-tabs")
        with ContentSwitcher(initial="query"):
            yield TextArea(id="query", compact=True, show_line_numbers=False, placeholder="name=value")
            yield TextArea(id="headers", compact=True, show_line_numbers=False, placeholder="Name: value")
            yield TextArea(id="body", compact=True, show_line_numbers=False, placeholder="sent as it is")
            with Vertical(id="auth"):
                yield AuthPicker("none", id="auth-kind")
                yield Input(password=True, compact=True, id="auth-secret")

    def on_mount(self) -> None:
        for area in self.query(TextArea):
            area.tab_behavior = "focus"
        self._show_auth()

    @property
    def tabs(self) -> TabLine:
        return self.query_one("#ask-tabs", TabLine)

    def text(self, part: str) -> str:
        return self.query_one(f"#{part}", TextArea).text

    @property
    def auth(self) -> AuthKind:
        chosen = self.query_one(AuthPicker).method
        return next(kind for kind in AUTH_KINDS if kind == chosen)

    @property
    def secret(self) -> str:
        return self.query_one("#auth-secret", Input).value

    def fill(self, query: str, headers: str, body: str, auth: AuthKind | None = None, secret: str = "") -> None:
        """`auth` None: that stays as it is. The first part that has something is shown."""
        texts = {"query": query, "headers": headers, "body": body}
        for part, text in texts.items():
            self.query_one(f"#{part}", TextArea).text = clean(text)
        if auth is not None:
            self.query_one(AuthPicker).method = auth
            self.query_one("#auth-secret", Input).value = secret
        open_part = PARTS[self.tabs.active]
        if not texts.get(open_part, "") and (filled := [part for part in PARTS[:3] if texts[part]]):
            self.tabs.open(PARTS.index("body" if "body" in filled else filled[0]))

    @on(TabLine.Changed, "#ask-tabs")
    def _turned(self, event: TabLine.Changed) -> None:
        event.stop()
        self.query_one(ContentSwitcher).current = PARTS[self.tabs.active]

    @on(TextArea.Changed)
    def _written(self) -> None:
        self._show_marks()

    @on(AuthPicker.Changed)
    def _show_auth(self) -> None:
        field = self.query_one("#auth-secret", Input)
        field.display = self.auth != "none"
        field.placeholder = HINTS[self.auth]
        self._show_marks()

    def _show_marks(self) -> None:
        """A dot where something goes along."""
        for index, part in enumerate(PARTS):
            filled = self.auth != "none" if part == "auth" else _says_something(part, self.text(part))
            self.tabs.retitle(index, part.title() + ("•" if filled else ""))


def _says_something(part: str, text: str) -> bool:
    """Lines of query and headers that begin with `#` do not go along."""
    return any(line.strip() and (part == "body" or not line.lstrip().startswith("#")) for line in text.splitlines())
