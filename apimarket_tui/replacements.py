"""Keys that are replaced by others, each once however often it takes to be told."""

from typing import TYPE_CHECKING
from uuid import uuid4

from apimarket_tui.backend import Trouble, attempt

if TYPE_CHECKING:
    from apimarket_tui.backend import MarketServer
    from local_server.wire.accounts import NewKeyView

GRACE_S = 3600


class Replacements:
    """Remembers what was asked and not answered: the answer that was lost may have held the new key, so that the same
    is asked again, of the same key."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[str, str]] = {}

    def waits(self, what: str) -> bool:
        """Whether it was asked for and nothing came."""
        return what in self._asked

    async def ask(self, server: "MarketServer", what: str, key_id: str) -> "NewKeyView | Trouble":
        """`what` is whose key it is: of a subscription its id, for the key it has by then may be the one not seen."""
        key_id, once = self._asked.setdefault(what, (key_id, str(uuid4())))
        made = await attempt(server.rotate_key(key_id, GRACE_S, once))
        if not isinstance(made, Trouble) or not (made.unreachable or made.code == "timeout"):
            self._asked.pop(what, None)
        return made
