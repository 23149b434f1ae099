"""Going over to another plan of an API that one has subscribed to, or to another spend cap."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.amounts import written
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.screens.form import Field, FieldError
from apimarket_tui.screens.subscribe import PlanScreen, minor_of

if TYPE_CHECKING:
    from apimarket_tui.marketplaces import Place
    from local_server.wire.market import SubscriptionView


class ChangePlanScreen(PlanScreen["SubscriptionView"]):
    HEADING = "Another plan"
    VERB = "Change"

    def __init__(self, place: "Place", one: "SubscriptionView") -> None:
        super().__init__(place, one.api, one.plan.code)
        self._one = one

    def about(self) -> Content:
        told = f"{one_line(self._one.api)} is on {one_line(self._one.plan.code)}. For more it changes at once, for less"
        return Content.styled(f"{told} when the period ends.", "$dim")

    def fields(self) -> Sequence[Field]:
        cap = self._one.spend_cap_minor
        shown = "" if cap is None else written(cap, self._one.plan)
        return (Field("cap", "Spend cap", "as it is, or what a month may cost at most, as: 20", shown),)

    async def submit(self, typed: Mapping[str, str]) -> "SubscriptionView | Trouble":
        from local_server.wire.market import ChangeSubscription

        plan, one = self.plan(), self._one
        cap = minor_of(typed["cap"], plan)
        wanted = ChangeSubscription()
        if plan.code != one.plan.code:
            wanted.plan = plan.code
        if cap is not None and cap != one.spend_cap_minor:
            wanted.spend_cap_minor = cap
        if not wanted.model_fields_set:
            raise FieldError("cap", "That is how it is already: choose another plan, or another cap.")
        answer = await attempt(self.market.marketplaces.server(self._place).change_subscription(one.id, wanted))
        if isinstance(answer, Trouble):
            raise FieldError("cap", answer.text)
        return answer
