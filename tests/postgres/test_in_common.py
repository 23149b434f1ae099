"""Servers of one database have the same keys, and the same place for files."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from local_server.domain.server_errors import BlobsDiffer, KeyDiffers
from local_server.domain.storage_errors import StorageUnavailable
from local_server.in_common import agree
from tests.postgres.clusters import Cluster

pytestmark = pytest.mark.postgres
KEYS = {"session.key": b"s" * 32, "secrets.key": b"t" * 32}


@pytest.fixture
def url(postgres18: Cluster) -> str:
    return postgres18.database()


def meta(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("select key, value from meta").fetchall())


class TestAgree:
    def test_the_same_again_is_fine(self, url: str, tmp_path: Path) -> None:
        for _ in range(2):
            agree(url, tmp_path, KEYS, blobs=True)

    @pytest.mark.parametrize("name", KEYS)
    def test_another_key_is_refused(self, url: str, tmp_path: Path, name: str) -> None:
        agree(url, tmp_path / "one", KEYS, blobs=False)
        with pytest.raises(KeyDiffers, match=name) as refused:
            agree(url, tmp_path / "other", KEYS | {name: b"x" * 32}, blobs=False)
        assert str(tmp_path / "other" / name) in (refused.value.hint or "")

    def test_no_key_can_be_read_off_the_database(self, url: str, tmp_path: Path) -> None:
        agree(url, tmp_path, KEYS, blobs=True)
        shown = repr(meta(url))
        assert not [key for key in KEYS.values() if key.decode() in shown or key.hex() in shown]

    def test_other_files_are_refused_and_theirs_are_taken(self, url: str, tmp_path: Path) -> None:
        one, other = tmp_path / "one", tmp_path / "other"
        agree(url, one, KEYS, blobs=True)
        for _ in range(2):
            with pytest.raises(BlobsDiffer, match="other/blobs"):
                agree(url, other, KEYS, blobs=True)
        other.mkdir()
        (other / "blobs").symlink_to(one / "blobs")
        agree(url, other, KEYS, blobs=True)

    def test_files_of_another_marketplace_are_refused(self, postgres18: Cluster, url: str, tmp_path: Path) -> None:
        agree(url, tmp_path / "one", KEYS, blobs=True)
        with psycopg.connect(url) as connection:
            connection.execute("update meta set value = 'another' where key = 'blobs_name'")
        with pytest.raises(BlobsDiffer):
            agree(url, tmp_path / "one", KEYS, blobs=True)

    def test_of_many_that_start_at_once_in_one_place_all_do(self, url: str, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: agree(url, tmp_path, KEYS, blobs=True), range(8)))
        assert [path.name for path in (tmp_path / "blobs").iterdir()] == ["name"]

    def test_a_part_that_has_no_files_needs_none(self, url: str, tmp_path: Path) -> None:
        agree(url, tmp_path / "one", KEYS, blobs=True)
        agree(url, tmp_path / "gateway", KEYS, blobs=False)

    def test_a_database_that_does_not_answer_is_said_to(self, tmp_path: Path) -> None:
        with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1/m"):
            agree("postgresql://ana:hunter2@127.0.0.1:1/m", tmp_path, KEYS, blobs=True)
