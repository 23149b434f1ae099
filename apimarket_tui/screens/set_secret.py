"""A secret of an API is given its value, which nobody sees again."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.screens.form import Field, FieldError, FormScreen

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.secrets import SecretChanged


class SetSecretScreen(FormScreen["SecretChanged"]):
    HEADING = "Secret"
    VERB = "Set it"

    def __init__(self, api: "ApiView", secret: str) -> None:
        super().__init__()
        self._api, self._secret = api, secret

    def first(self) -> str:
        return "value" if self._secret else "name"

    def about(self) -> Content:
        told = f"{one_line(self._api.name)} finds it in its environment, and starts afresh. It cannot be read back."
        return Content.styled(told, "$dim")

    def fields(self) -> Sequence[Field]:
        return (
            Field("name", "Name", "as apimarket.toml names it: API_TOKEN", self._secret),
            Field("value", "Value", "one line; longer ones: apimarket secrets set", secret=True),
        )

    async def submit(self, typed: Mapping[str, str]) -> "SecretChanged | Trouble":
        if not typed["name"]:
            raise FieldError("name", "Which secret? Give its name.")
        if not typed["value"]:
            raise FieldError("value", "Give its value; d forgets one.")
        answer = await attempt(self.market.backend.put_secret(self._api.name, typed["name"], typed["value"]))
        if isinstance(answer, Trouble):
            raise FieldError("value", answer.text)
        return answer
