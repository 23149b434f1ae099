"""Some fields and a button. What is wrong stands below the field it is about; what was typed stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast
from uuid import uuid4

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from apimarket_tui.backend import Trouble
from apimarket_tui.clean import clean
from apimarket_tui.screens.frame import TooSmall, mind_size, stands

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Field:
    id: str
    label: str
    placeholder: str = ""
    value: str = ""
    secret: bool = False


class FieldError(ValueError):
    """What was typed cannot be meant."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class Once:
    """The Idempotency-Key of what one form asks for: the same as long as the same is asked, since an answer that was
    lost may have been a yes."""

    def __init__(self) -> None:
        self._asked: Mapping[str, object] = {}
        self._key = ""

    def key_for(self, asked: Mapping[str, object]) -> str:
        if not self._key or asked != self._asked:
            self._asked, self._key = dict(asked), str(uuid4())
        return self._key


class SecretInput(Input):
    """Shows dots. Takes no text of several lines, of which a field would keep the first without a word."""

    class ManyLines(Message):
        def __init__(self, field: str) -> None:
            super().__init__()
            self.field = field

    def __init__(self, value: str, **rest: Any) -> None:
        super().__init__(value, password=True, **rest)

    def _on_paste(self, event: events.Paste) -> None:
        if len(event.text.splitlines()) > 1:
            event.stop()
            event.prevent_default()
            self.post_message(self.ManyLines(self.id or ""))


class FormScreen(ModalScreen[Result], Generic[Result]):
    """Subclasses give the words, `fields` and `submit`; the screen's result is what `submit` answered, or None."""

    HEADING: ClassVar[str]
    VERB: ClassVar[str]
    FIELD_OF_CODE: ClassVar[Mapping[str, str]] = {}
    """Which field a refusal is about; any other is told below the last."""
    FIRST: ClassVar[str] = ""
    """Which field has the focus at the start, where it is not the first."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("ctrl+s,ctrl+j", "submit", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._busy = False
        self.once = Once()

    @property
    def market(self) -> "ApimarketApp":
        return cast("ApimarketApp", self.app)

    def fields(self) -> Sequence[Field]:
        raise NotImplementedError

    async def submit(self, typed: Mapping[str, str]) -> "Result | Trouble":
        """Do it. Raises FieldError."""
        raise NotImplementedError

    def first(self) -> str:
        """Which field has the focus at the start."""
        return self.FIRST or self.fields()[0].id

    def about(self) -> Content:
        """A line or two below the heading."""
        return Content("")

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog form"):
            yield Static(Content.styled(self.HEADING, "bold"))
            yield Static(self.about(), classes="more")
            yield from self.extra()
            for field in self.fields():
                with Horizontal(classes="field", id=f"{field.id}-line"):
                    yield Static(field.label, classes="label")
                    made = SecretInput if field.secret else Input
                    yield made(clean(field.value), placeholder=field.placeholder, compact=True, id=field.id)
                yield Static(id=f"{field.id}-error", classes="error")
            with Horizontal(classes="buttons"):
                yield Button(Content(f"{self.VERB} (ctrl+s)"), id="submit", variant="primary", compact=True)
                yield Button(Content("Cancel (esc)"), id="cancel", compact=True)

    def extra(self) -> ComposeResult:
        """Further widgets above the fields."""
        yield from ()

    def on_mount(self) -> None:
        self._clear_errors()
        self.query_one(f"#{self.first()}").focus()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    @on(Button.Pressed, "#submit")
    @on(Input.Submitted)
    def action_submit(self) -> None:
        if self._busy:
            return
        self._clear_errors()
        typed = {field.id: self.query_one(f"#{field.id}", Input).value.strip() for field in self.fields()}
        for field in self.fields():
            if field.secret:
                # A blank at the end of a password belongs to it.
                typed[field.id] = self.query_one(f"#{field.id}", Input).value
        self._set_busy(True)
        self.run_worker(self._submit(typed), name="submit")

    async def _submit(self, typed: Mapping[str, str]) -> None:
        try:
            answer = await self.submit(typed)
        except FieldError as error:
            self._set_busy(False)
            self.refuse(error.field, str(error))
            return
        if not stands(self):
            return
        self._set_busy(False)
        if isinstance(answer, Trouble):
            self.market.live.report(answer)
            self.refuse(self.FIELD_OF_CODE.get(answer.code, self.fields()[-1].id), answer.text)
        else:
            self.dismiss(answer)

    @on(SecretInput.ManyLines)
    def _many_lines(self, event: SecretInput.ManyLines) -> None:
        """Cut off at the first line it would be another secret, and nobody would see it."""
        self.refuse(event.field, "That is more than one line, which a field does not hold.")

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self.query_one("#submit", Button).disabled = busy

    def refuse(self, field: str, text: str) -> None:
        error = self.query_one(f"#{field}-error", Static)
        error.update(Content(clean(text)))
        error.display = True
        self.query_one(f"#{field}").focus()

    def _clear_errors(self) -> None:
        for error in self.query(".error"):
            error.display = False

    @on(Button.Pressed, "#cancel")
    def action_leave(self) -> None:
        self.dismiss(None)
