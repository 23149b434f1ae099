"""What a database cannot do, and what a backup does not hold."""

from local_server.domain.errors import ApimarketError


class StorageFull(ApimarketError):
    status, code, title = 507, "storage_full", "The disk is full"

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"There is no room left in {directory}",
            hint="Free some space; apimarket goes on by itself. What was serving serves on.",
            extra={"directory": directory},
        )


class StorageNewer(ApimarketError):
    status, code, title = 503, "storage_newer", "The data is from a newer apimarket"

    def __init__(self, path: str, migration: str) -> None:
        super().__init__(
            f"{path} was written by a newer apimarket (migration {migration!r} is unknown here)",
            hint="Install the newer version again: pip install --upgrade apimarket",
        )


class StorageUnreadable(ApimarketError):
    """The database file is damaged, is no database, or may not be opened."""

    status, code, title = 503, "storage_unreadable", "The data cannot be read"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} cannot be opened: {reason}",
            hint=f"Restore it from a backup, or begin anew by moving it away: mv {path} {path}.broken",
            extra={"path": path},
        )


class StorageUnavailable(ApimarketError):
    """The database server does not answer, or has nothing to spare. Nothing was changed. `place` is where it is,
    without who logs in."""

    status, code, title = 503, "storage_unavailable", "The database does not answer"
    retry_after_s = 2

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"The database at {place} cannot be used now: {reason}",
            hint="It is tried again with every request. Look whether PostgreSQL runs there and takes more connections.",
            extra={"place": place},
        )


class StorageUncertain(StorageUnavailable):
    """The connection broke in the moment of a commit, and the database did not come back to say what became of it."""

    code, title = "storage_uncertain", "Whether that was kept is not known"

    def __init__(self, place: str) -> None:
        ApimarketError.__init__(
            self,
            f"The connection to {place} broke while a change was being committed; it was kept whole, or not at all",
            hint="Look before you do it again. A request with an Idempotency-Key may simply be sent again.",
            extra={"place": place},
        )


class EmbeddedUnavailable(ApimarketError):
    """`--database embedded` cannot be had here."""

    status, code, title = 503, "embedded_unavailable", "The embedded PostgreSQL cannot run"

    def __init__(self, place: str, reason: str, *, missing: bool = False) -> None:
        hint = (
            "Install it with: pip install 'apimarket[embedded]'"
            if missing
            else "Look into the log beside it, or run it as a user of its own with APIMARKET_HOME in a place of theirs."
        )
        super().__init__(f"The embedded PostgreSQL in {place} cannot run: {reason}", hint=hint, extra={"place": place})


class BackupUnreadable(ApimarketError):
    status, code, title = 422, "backup_unreadable", "That backup cannot be restored"

    def __init__(self, path: str, reason: str, hint: str = "Nothing was changed. Take another backup.") -> None:
        super().__init__(f"{path} cannot be restored: {reason}", hint=hint, extra={"path": path})


class FileExists(ApimarketError):
    status, code, title = 409, "file_exists", "That file is there already"

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is there already, and is not overwritten", hint="Give another name.")


class NothingToBackUp(ApimarketError):
    status, code, title = 404, "nothing_to_back_up", "There is nothing to back up"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"There is no apimarket database in {place}",
            hint="Name the data directory with APIMARKET_HOME, and a PostgreSQL with --database.",
            extra={"place": place},
        )


class DatabaseNotEmpty(ApimarketError):
    status, code, title = 409, "database_not_empty", "There is something already"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place} holds something already; a backup goes into an empty place only",
            hint="Use an empty database and another data directory: APIMARKET_HOME=DIR apimarket restore FILE",
            extra={"place": place},
        )
