"""Which plan of an API, and what it may cost at most: subscribing to it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from apimarket_tui.amounts import minor_per_unit
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.screens.form import Field, FieldError, FormScreen, Result
from apimarket_tui.screens.frame import stands
from apimarket_tui.widgets.plans import PlanTable
from apimarket_tui.widgets.table import LineTable

if TYPE_CHECKING:
    from apimarket_tui.backend import MarketServer
    from apimarket_tui.marketplaces import Place
    from local_server.wire.market import ListingView, NewSubscriptionView, PlanView


class PlanScreen(FormScreen[Result]):
    """One plan of an API and a spend cap. Subclasses say what becomes of them."""

    FIRST = "plans"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "submit", show=False)]

    def __init__(self, place: "Place", name: str, plan: str) -> None:
        """`plan` is the one that is meant, where one is."""
        super().__init__()
        self._place, self._api, self._plan = place, name, plan

    def extra(self) -> ComposeResult:
        yield PlanTable(id="plans")

    def on_mount(self) -> None:
        kept = self.market.kept.get(("listing", self._place.url, self._api), object)
        if kept is not None:
            self._show(kept[0].plans)  # type: ignore[attr-defined]
        self.run_worker(self._load(), name="plans")

    async def _load(self) -> None:
        listing: ListingView | Trouble
        listing = await attempt(self.market.marketplaces.server(self._place).listing(self._api))
        if not stands(self):
            return
        if isinstance(listing, Trouble):
            self.refuse("cap", listing.text)
        else:
            self._show(listing.plans)

    def _show(self, plans: "Sequence[PlanView]") -> None:
        table = self.query_one(PlanTable)
        table.show_rows(plans)
        if self._plan and table.select(self._plan):
            self._plan = ""

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        self.action_submit()

    def plan(self) -> "PlanView":
        """The selected one. Raises FieldError where none has come yet."""
        plan = self.query_one(PlanTable).selected
        if plan is None:
            raise FieldError("cap", "The plans have not come yet.")
        return plan


class SubscribeScreen(PlanScreen["NewSubscriptionView"]):
    HEADING = "Subscribe"
    VERB = "Subscribe"

    def about(self) -> Content:
        told = f"{one_line(self._api)} on {one_line(self._place.title)}. The key is shown once."
        return Content.styled(told, "$dim")

    def fields(self) -> Sequence[Field]:
        return (Field("cap", "Spend cap", "none, or what a month may cost at most, as: 20"),)

    async def submit(self, typed: Mapping[str, str]) -> "NewSubscriptionView | Trouble":
        from local_server.wire.market import Subscribe

        plan = self.plan()
        cap = minor_of(typed["cap"], plan)
        try:
            wanted = Subscribe(plan=plan.code, spend_cap_minor=cap)
        except ValueError:
            raise FieldError("cap", "The marketplace names that plan as none can be named.") from None
        server = self.market.marketplaces.server(self._place)
        answer = await attempt(server.subscribe(self._api, wanted, self.once.key_for(wanted.model_dump())))
        if not isinstance(answer, Trouble) and answer.key is None:
            answer = await _with_a_key(server, answer)
        if isinstance(answer, Trouble):
            hint = "A signs in there, or makes an account." if answer.status == 401 else answer.hint
            raise FieldError("cap", f"{answer.detail}\n{hint}".rstrip())
        return answer


async def _with_a_key(server: "MarketServer", made: "NewSubscriptionView") -> "NewSubscriptionView | Trouble":
    """Of a subscription whose first answer was lost, and its key with it: another one takes that one's place."""
    if made.key_id is None:
        return made
    key = await attempt(server.rotate_key(made.key_id, 0))
    return key if isinstance(key, Trouble) else made.model_copy(update={"key": key.key, "key_id": key.info.id})


def minor_of(text: str, plan: "PlanView") -> int | None:
    """An amount of the plan's currency in its minor units, nothing as None. Raises FieldError."""
    if not text:
        return None
    try:
        amount = Decimal(text.upper().removesuffix(plan.currency).strip())
        minor = amount * minor_per_unit(plan)
    except InvalidOperation:
        raise FieldError("cap", f"{text!r} is no amount; write it as: 20 or 20.50") from None
    if not minor.is_finite() or not 0 <= minor <= 10**15 or minor != minor.to_integral_value():
        raise FieldError("cap", f"{text!r} is no amount of {plan.currency}; write it as: 20")
    return int(minor)
