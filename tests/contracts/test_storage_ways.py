"""What storage/base.py promises of the ways to APIs, of every store."""

from datetime import timedelta

from local_server.domain.ids import ApiId
from local_server.domain.manifest import RateLimit
from local_server.domain.routing import Notice, Route, Steering
from local_server.domain.ways import Place, Upstream, Way
from local_server.storage.base import Storage
from tests.storage.factories import NOON, an_api

API = an_api(1)
SERVING = Route(
    API.id, "alice", "weather", "serving", pending_error="the newest save: \udcff", timeout_s=0.5,
    cors=("https://a.example", "*"), auth="none", cache_ttl_s=60, rate_limit=RateLimit(5, 60), version="1.0.0",
)  # fmt: skip
WAY = Way(
    API.id,
    (
        Place(Route(API.id, "alice", "weather", "stopped", "it is stopped"), None),
        Place(SERVING, Upstream(7, "a" * 64, "172.18.0.2", 8000, several=True, others=(("172.18.0.3", 8001),))),
    ),
    Steering((("dev", 90), ("1.0.0", 10)), {"1": "1.0.0"}, {"1.0.0": Notice(NOON, NOON + timedelta(days=30), "2.0.0")}),
)


async def put(storage: Storage, way: Way) -> None:
    await storage.write(lambda tx: tx.ways.put(way))


async def test_one_is_kept_whole_and_replaced_whole(storage: Storage) -> None:
    await storage.write(lambda tx: tx.registry.add(API))
    assert await storage.read(lambda tx: tx.ways.get(API.id)) is None
    await put(storage, WAY)
    assert await storage.read(lambda tx: tx.ways.get(API.id)) == WAY
    bare = Way(API.id, WAY.places[:1])
    await put(storage, bare)
    assert await storage.read(lambda tx: list(tx.ways.all())) == [bare]


async def test_one_goes_with_its_api(storage: Storage) -> None:
    await storage.write(lambda tx: tx.registry.add(API))
    await put(storage, WAY)
    await storage.write(lambda tx: tx.registry.remove(API.id))
    await put(storage, WAY)
    assert await storage.read(lambda tx: list(tx.ways.all())) == []


async def test_one_can_be_taken_away(storage: Storage) -> None:
    await storage.write(lambda tx: tx.registry.add(API))
    await put(storage, WAY)
    for api_id in (API.id, API.id, ApiId("unknown")):
        await storage.write(lambda tx, api_id=api_id: tx.ways.remove(api_id))
    assert await storage.read(lambda tx: tx.ways.get(API.id)) is None
