"""A new API: from a template, or from a directory that is there. The server judges; its words stand by the field."""

from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import clean
from apimarket_tui.screens.frame import TooSmall, mind_size, stands
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.widgets.tabs import TabLine
from apimarket_tui.words import Spans, language

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp
    from local_server.wire.apis import TemplateView

COLUMNS = (
    Column("title", "TEMPLATE", 16, 24),
    Column("runtime", "LANG", 4, 4),
    Column("summary", "WHAT IT IS", 12, 200),
)
FIELD_OF_CODE = {
    "invalid_name": "name",
    "name_taken": "name",
    "template_not_found": "templates",
    "directory_taken": "directory",
    "unusable_directory": "directory",
}


class WizardScreen(ModalScreen[Any]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("ctrl+s,ctrl+j", "create", show=False, priority=True),
        Binding("ctrl+e", "turn", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._busy = False

    @property
    def market(self) -> "ApimarketApp":
        return self.app  # type: ignore[return-value]

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog wizard"):
            yield TabLine(["New from a template", "Existing directory"])
            with Horizontal(classes="field"):
                yield Static("Name", classes="label")
                yield Input(placeholder="weather", compact=True, id="name")
            yield Static(id="name-error", classes="error")
            yield LineTable["TemplateView"](COLUMNS, lambda one: one.name, _cell, id="templates")
            yield Static(id="templates-error", classes="error")
            with Horizontal(classes="field"):
                yield Static("Directory", classes="label")
                yield Input(compact=True, id="directory")
            yield Static(id="directory-error", classes="error")
            with Horizontal(classes="buttons"):
                yield Button("Create (ctrl+s)", id="create", variant="primary", compact=True)
                yield Button("Cancel (esc)", id="cancel", compact=True)
                yield Static(Content.styled("ctrl+e template or directory", "$dim"), id="turn")

    def on_mount(self) -> None:
        self._show_kind()
        self._clear_errors()
        self.query_one("#name", Input).focus()
        self.run_worker(self._load_templates(), name="templates")

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    async def _load_templates(self) -> None:
        templates = await attempt(self.market.backend.templates())
        if not stands(self):
            return
        if isinstance(templates, Trouble):
            self._refuse("templates", templates.text)
            return
        self.query_one("#templates", LineTable).show_rows(templates)

    # -- Which of the two

    @property
    def existing(self) -> bool:
        return self.query_one(TabLine).active == 1

    def action_turn(self) -> None:
        self.query_one(TabLine).go(1)

    @on(TabLine.Changed)
    def _show_kind(self) -> None:
        existing = self.existing
        self.query_one("#templates").display = not existing
        self.query_one("#name", Input).placeholder = "from its apimarket.toml or its name" if existing else "weather"
        self.query_one("#directory", Input).placeholder = (
            "/home/you/code/weather" if existing else "a new one below the projects directory"
        )
        self.query_one("#create", Button).label = "Add (ctrl+s)" if existing else "Create (ctrl+s)"
        self._clear_errors()
        self.query_one("#directory" if existing else "#name", Input).focus()

    # -- Creating

    @on(Button.Pressed, "#create")
    @on(Input.Submitted)
    @on(LineTable.Chosen)
    def action_create(self) -> None:
        if self._busy:
            return
        self._clear_errors()
        name = self.query_one("#name", Input).value.strip()
        directory = self.query_one("#directory", Input).value.strip()
        if self.existing and not directory:
            self._refuse("directory", "Which directory? Give its path.")
        elif not self.existing and not name:
            self._refuse("name", "What is it called? 2 to 63 of a-z, 0-9 and '-', a letter first.")
        else:
            self._set_busy(True)
            self.run_worker(self._create(name, directory), name="create")

    async def _create(self, name: str, directory: str) -> None:
        from local_server.wire.apis import RegisterApi, ScaffoldApi

        backend = self.market.backend
        if self.existing:
            answer = await attempt(backend.register(RegisterApi(directory=directory, name=name or None)))
        else:
            template = self.query_one("#templates", LineTable).selected
            request = ScaffoldApi(name=name, directory=directory or None)
            if template is not None:
                request.template = template.name
            answer = await attempt(backend.scaffold(request))
        if not stands(self):
            return
        self._set_busy(False)
        if not isinstance(answer, Trouble):
            self.dismiss(answer)
            return
        self.market.live.report(answer)
        field = FIELD_OF_CODE.get(answer.code, "directory")
        self._refuse("name" if field == "templates" and self.existing else field, answer.text)

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        button = self.query_one("#create", Button)
        button.disabled = busy

    # -- Refusing

    def _refuse(self, field: str, text: str) -> None:
        error = self.query_one(f"#{field}-error", Static)
        error.update(Content(clean(text)))
        error.display = True
        self.query_one(f"#{field}").focus()

    def _clear_errors(self) -> None:
        for error in self.query(".error"):
            error.display = False

    def action_leave(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#cancel")
    def _cancelled(self) -> None:
        self.dismiss(None)


def _cell(template: "TemplateView", column: str, width: int) -> Spans:
    match column:
        case "title":
            return [(template.title, "strong")]
        case "runtime":
            return [(language(template.runtime), "dim")]
        case _:
            return [(template.summary, "text")]
