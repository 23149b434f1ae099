"""What servers of one database must have in common, looked at before one of them serves: their keys, and `blobs/`.

The first to start writes down what it has, in the table `meta`: of a key its fingerprint, of `blobs/` a name that lies
in it. Whoever comes with something else is refused. Sessions and secrets would hold on one server and not on another,
and versions that are published on one would have no files on another.
"""

import asyncio
import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from local_server.data_directory import DataDirectory
from local_server.domain.server_errors import BlobsDiffer, KeyDiffers
from local_server.settings import EMBEDDED, Settings
from local_server.storage.flush import flush
from local_server.storage.pg_link import PostgresLink, Raw, connect

BLOBS_NAME = "blobs_name"
"""In `meta`. A restored database does without: its files are in a new place."""


async def check_in_common(settings: Settings, data: DataDirectory) -> None:
    """Raises KeyDiffers, BlobsDiffer, StorageUnavailable. A database in the data directory is no other server's."""
    url = settings.database.get_secret_value()
    if url not in ("", EMBEDDED):
        keys = {"session.key": data.signing_key(), "secrets.key": data.secrets_key()}
        await asyncio.to_thread(agree, url, settings.home, keys, blobs=settings.runs_apis)


def agree(url: str, home: Path, keys: Mapping[str, bytes], *, blobs: bool) -> None:
    """`keys` by the names of their files in `home`. Blocking. Raises KeyDiffers, BlobsDiffer, StorageUnavailable."""
    link = PostgresLink(url, 1)
    with link.failures_named(), connect(url) as raw:
        for name, key in keys.items():
            fingerprint = hmac.digest(key, f"apimarket {name}".encode(), "sha256")[:16].hex()
            if _agreed(raw, f"fingerprint of {name}", fingerprint) != fingerprint:
                raise KeyDiffers(str(home / name), link.place)
        if blobs:
            _check_blobs(raw, home / "blobs", link.place)


def _check_blobs(raw: Raw, root: Path, database: str) -> None:
    name = _name_in(root)
    if name is None:
        if _found(raw, BLOBS_NAME) is not None:
            raise BlobsDiffer(str(root), database)
        name = _named(root)
    if _agreed(raw, BLOBS_NAME, name) != name:
        raise BlobsDiffer(str(root), database)


def _agreed(raw: Raw, key: str, value: str) -> str:
    """What the first of the servers wrote down."""
    raw.execute("insert into meta (key, value) values (%s, %s) on conflict (key) do nothing", [key, value])
    return _found(raw, key) or value


def _found(raw: Raw, key: str) -> str | None:
    row = raw.execute("select value from meta where key = %s", [key]).fetchone()
    return str(row["value"]) if row else None


def _name_in(root: Path) -> str | None:
    with suppress(FileNotFoundError):
        return (root / "name").read_text().strip()
    return None


def _named(root: Path) -> str:
    """Of two servers that do so at once in one directory, both return the name of the first."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = root / f".name-{secrets.token_hex(8)}"
    unfinished.write_text(f"{secrets.token_hex(16)}\n")
    try:
        flush(unfinished)
        with suppress(FileExistsError):
            os.link(unfinished, root / "name")
        flush(root)
    finally:
        unfinished.unlink()
    return (root / "name").read_text().strip()
