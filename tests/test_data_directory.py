"""Why a data directory is not one."""

import errno
from pathlib import Path

import pytest

from local_server.data_directory import DataDirectory
from local_server.domain.server_errors import DirectoryRefused
from local_server.domain.storage_errors import StorageFull


def test_one_that_cannot_be_made_is_named_and_not_called_full(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryRefused, match="not a directory") as refused, DataDirectory(tmp_path / "file/data"):
        pass
    assert str(tmp_path / "file/data") in refused.value.detail


def test_a_full_disk_is_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StorageFull), DataDirectory(tmp_path / "data"):
        pass
