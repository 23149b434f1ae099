"""`backup` and `restore`: everything a server keeps, in one file, and back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.serving import database_option
from local_server.cli.text import clean
from local_server.client import discovery

if TYPE_CHECKING:
    from local_server.backup.service import Done
    from local_server.settings import Settings


@verb()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@database_option
def backup(file: Path, database: str, as_json: bool) -> None:
    """Write everything this server keeps into FILE: its database, out of one moment, and every version's files. A
    running server goes on. Whoever has the file can do what the server can: keep it as such."""
    from local_server.backup import service

    _tell(service.backup(_settings(database), file.absolute()), "Backed up", as_json)


@verb()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@database_option
def restore(file: Path, database: str, as_json: bool) -> None:
    """Put a backup back, into an empty data directory and an empty database. The whole file is checked first, and
    nothing is ever overwritten."""
    from local_server.backup import service

    _tell(service.restore(_settings(database), file.absolute()), "Restored", as_json)


def _settings(database: str) -> "Settings":
    from local_server.settings import read_settings

    return read_settings({"home": discovery.home(), "database": database})


def _tell(done: "Done", what: str, as_json: bool) -> None:
    if as_json:
        print_json(done._asdict())
        return
    size = f"{done.size_bytes / (1 << 20):.1f} MiB"
    click.echo(f"{what} {done.database} of {done.made_at}: {done.files} files, {size}, {clean(done.path)}")
