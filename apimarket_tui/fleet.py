"""The APIs as last heard of. Pure: events in, names of what changed out."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from apimarket_tui.words import condition, language

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, TrafficView


class Fleet:
    """Every API by id, sorted by name on demand. Kept while the server is away."""

    def __init__(self) -> None:
        self._apis: dict[str, ApiView] = {}
        self._traffic: dict[str, TrafficView] = {}
        self._sorted: list[ApiView] | None = None

    def __len__(self) -> int:
        return len(self._apis)

    def replace(self, apis: Iterable["ApiView"]) -> None:
        """All of them, freshly read."""
        self._apis = {api.id: api for api in apis}
        self._traffic = {api.id: api.traffic for api in self._apis.values()}
        self._sorted = None

    def put(self, api: "ApiView") -> None:
        """One of them. An event about a state may come without figures: the last known ones stay."""
        self._apis[api.id] = api
        if api.traffic.history or api.id not in self._traffic:
            self._traffic[api.id] = api.traffic
        self._sorted = None

    def drop(self, api_id: str) -> None:
        self._apis.pop(api_id, None)
        self._traffic.pop(api_id, None)
        self._sorted = None

    def put_traffic(self, by_id: "dict[str, TrafficView]") -> None:
        self._traffic.update(by_id)

    def get(self, api_id: str) -> "ApiView | None":
        return self._apis.get(api_id)

    def traffic(self, api: "ApiView") -> "TrafficView":
        return self._traffic.get(api.id) or api.traffic

    def named(self, name: str) -> "ApiView | None":
        return next((api for api in self._apis.values() if api.name == name), None)

    def all(self) -> "Sequence[ApiView]":
        """Sorted by name."""
        if self._sorted is None:
            self._sorted = sorted(self._apis.values(), key=lambda api: (api.name, api.id))
        return self._sorted

    def matching(self, text: str) -> "Sequence[ApiView]":
        """Those of which every word of `text` is part of the name, language, state, tags or summary."""
        words = text.casefold().split()
        if not words:
            return self.all()
        return [api for api in self.all() if all(word in _haystack(api) for word in words)]


def _haystack(api: "ApiView") -> str:
    parts = (api.name, api.runtime, language(api.runtime), condition(api).word, api.summary, *api.tags)
    return "\n".join(parts).casefold()
