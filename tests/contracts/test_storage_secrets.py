"""What storage/secrets.py promises, of every store."""

from datetime import timedelta

import pytest

from local_server.domain.api_secrets import SealedSecret
from local_server.domain.ids import ApiId
from local_server.storage.base import Storage
from tests.storage.factories import NOON, add_apis, an_api, an_id

API = ApiId(an_id(1))


def a_secret(name: str = "TOKEN", sealed: bytes = b"\x00\xff", number: int = 1) -> SealedSecret:
    return SealedSecret(ApiId(an_id(number)), name, sealed, NOON)


@pytest.fixture
async def kept(storage: Storage) -> Storage:
    await add_apis(storage, an_api(1), an_api(2))
    for secret in (a_secret("B"), a_secret("A"), a_secret("A", number=2)):
        await storage.write(lambda tx, secret=secret: tx.secrets.put(secret))
    return storage


class TestSecrets:
    async def test_come_back_as_they_were_by_name(self, kept: Storage) -> None:
        assert await kept.read(lambda tx: tx.secrets.of_api(API)) == [a_secret("A"), a_secret("B")]
        everything = await kept.read(lambda tx: tx.secrets.all())
        assert everything == [a_secret("A"), a_secret("B"), a_secret("A", number=2)]

    async def test_a_name_has_one_value(self, kept: Storage) -> None:
        newer = SealedSecret(API, "A", b"new", NOON + timedelta(days=1))
        await kept.write(lambda tx: tx.secrets.put(newer))
        assert await kept.read(lambda tx: tx.secrets.of_api(API)) == [newer, a_secret("B")]

    async def test_are_removed_one_by_one_and_with_their_api(self, kept: Storage) -> None:
        assert await kept.write(lambda tx: tx.secrets.remove(API, "A"))
        assert not await kept.write(lambda tx: tx.secrets.remove(API, "A"))
        assert not await kept.write(lambda tx: tx.secrets.remove(API, "\0"))
        await kept.write(lambda tx: tx.registry.remove(API))
        assert await kept.read(lambda tx: tx.secrets.all()) == [a_secret("A", number=2)]
