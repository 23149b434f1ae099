"""The marketplace itself, on a real port, seen as the one in memory is: what was asked and received, what it holds.

The tokens of the tests (`ana-token`, `bob-token`) stand for the sessions of two accounts.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from local_server.accounts import passwords
from local_server.domain.ids import Digest
from local_server.domain.packs import Frame, read_frame
from local_server.domain.trees import Tree
from local_server.publishing import incoming, parts
from local_server.storage.base import ReadTx, Tx
from tests.control.conftest import Answer, Running, serving
from tests.sync.fake_marketplace import PREFIX

PASSWORD = "correct horse"
T = TypeVar("T")


class RealMarket:
    """Properties ask the server anew each time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.received_bytes: Counter[str] = Counter()
        self.partial: dict[str, bytes] = {}
        self.refuse: dict[str, Any] | None = None
        self.sessions: dict[str, str] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.running: Running | None = None

    @property
    def heads(self) -> dict[str, dict[str, Any]]:
        return {refs["full_name"]: {"rev": refs["head_rev"], **refs["head"]} for refs in self._refs() if refs["head"]}

    @property
    def versions(self) -> dict[str, list[dict[str, Any]]]:
        """By name, in order."""
        names = [refs["full_name"] for refs in self._refs()]
        return {name: list(reversed(self.ask(f"/apis/{name}")["versions"])) for name in names}

    @property
    def changes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/changes?since=0")["changes"]
        return found

    @property
    def trees(self) -> "Trees":
        return Trees(self)

    @property
    def blobs(self) -> "Blobs":
        """All that are on disk."""
        return Blobs(self.home / "blobs")

    @property
    def keys(self) -> "Keys":
        return Keys(self)

    @property
    def home(self) -> Path:
        assert self.running is not None
        return self.running.home

    def take(self, content: bytes) -> None:
        """As if ana had sent it once."""
        runtime = self.runtime
        sha256, size_bytes = runtime.blobs.put(content)
        self.received_bytes[sha256] += size_bytes

        def grant(tx: Tx) -> None:
            user = tx.accounts.by_handle("ana")
            assert user is not None
            tx.uploads.grant(user.id, {sha256: size_bytes}, None)

        self.on_loop(runtime.storage.write(grant))

    def ask(self, path: str) -> Any:
        assert self.running is not None
        answer = self.running.ask("GET", f"{PREFIX}{path}", token=self.sessions["ana-token"])
        assert answer.status == 200, answer.body
        return answer.json

    def post(self, path: str, body: Any, method: str = "POST") -> Answer:
        """As ana."""
        assert self.running is not None
        return self.running.ask(method, path, body, token=self.sessions["ana-token"])

    @property
    def runtime(self) -> Any:
        assert self.running is not None
        return self.running.server.control.state.runtime

    def on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def _refs(self) -> list[dict[str, Any]]:
        found = self.ask("/snapshot")["apis"]
        return [refs | {"full_name": f"{refs['owner']}/{refs['slug']}"} for refs in found]


class Blobs(Mapping[str, bytes]):
    """Read one by one: some tests leave many, and look at few."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __getitem__(self, sha256: str) -> bytes:
        try:
            return (self._root / sha256[:2] / sha256[2:]).read_bytes()
        except FileNotFoundError:
            raise KeyError(sha256) from None

    def __iter__(self) -> Iterator[str]:
        return (path.parent.name + path.name for path in self._root.glob("[0-9a-f][0-9a-f]/*"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Trees:
    def __init__(self, market: RealMarket) -> None:
        self._market = market

    def __getitem__(self, digest: str) -> Tree:
        def question(tx: ReadTx) -> Tree | None:
            return tx.deployments.tree(Digest(digest))

        found: Tree | None = self._market.on_loop(self._market.runtime.storage.read(question))
        assert found is not None
        return found

    def clear(self) -> None:
        """As a marketplace that lost them."""
        self._market.on_loop(
            self._market.runtime.storage.write(lambda tx: tx.deployments._connection.change("delete from trees", {}))
        )


class Keys:
    def __init__(self, market: RealMarket) -> None:
        self._market = market

    def clear(self) -> None:
        self._market.on_loop(
            self._market.runtime.storage.write(
                lambda tx: tx.signing_keys._connection.change("delete from signing_keys", {})
            )
        )


class _Door:
    """Stands before the server: notes what is asked, and gives the tests' tokens their meaning."""

    def __init__(self, app: ASGIApp, market: RealMarket) -> None:
        self._app = app
        self._market = market

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        market = self._market
        market.loop = asyncio.get_running_loop()
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            given = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
            if given in market.sessions:
                market.asked.append(f"{scope['method']} {scope['path'].removeprefix(PREFIX)}")
                others = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
                real = (b"authorization", f"Bearer {market.sessions[given]}".encode())
                scope = {**scope, "headers": [*others, real]}
                if market.refuse is not None:
                    await JSONResponse(market.refuse, market.refuse["status"])(scope, receive, send)
                    return
        await self._app(scope, receive, send)


class RealMarketplace:
    """`url` answers while the block runs."""

    def __init__(self, market: RealMarket, url: str) -> None:
        self.market = market
        self.url = url

    def answer_to(self, url: str) -> None:
        """Also to those who know it by this address: at the far end of a line."""
        hosts = self.market.runtime.gateway.hosts
        hosts._names |= {url.partition("//")[2]}
        hosts._cache.clear()


@contextmanager
def the_marketplace(home: Path, handles: tuple[str, ...] = ("ana", "bob")) -> Iterator[RealMarketplace]:
    market = RealMarket()

    def prepare(app: FastAPI) -> None:
        app.add_middleware(_Door, market=market)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        patch.setattr(incoming, "read_frame", _counted_frames(market))
        patch.setattr(parts, "_append", _counted_appends(market, parts._append))
        with serving(home, prepare) as running:
            market.running = running
            for handle in handles:
                body = {"handle": handle, "password": PASSWORD, "role": "developer"}
                token = "" if handle == "ana" else None
                answer = running.ask("POST", "/api/v1/auth/signup", body, token=token)
                market.sessions[f"{handle}-token"] = answer.json["token"]
            yield RealMarketplace(market, f"http://127.0.0.1:{running.port}")


def _counted_frames(market: RealMarket) -> Callable[[Frame, bytes | None], bytes]:
    def counted(frame: Frame, base: bytes | None = None) -> bytes:
        content = read_frame(frame, base)
        market.received_bytes[frame.blob.sha256] += len(content)
        return content

    return counted


def _counted_appends(market: RealMarket, append: Callable[[Path, bytes], int]) -> Callable[[Path, bytes], int]:
    def counted(place: Path, content: bytes) -> int:
        market.received_bytes[place.name] += len(content)
        return append(place, content)

    return counted
