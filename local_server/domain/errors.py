"""Every refusal the product can make, and what each means to an outsider.

An error carries the data it is about and builds its own message from it. `status` (HTTP), `code` (stable, for
programs) and `hint` (what to do next, for people) stand here and nowhere else; routes, CLI and TUI only show them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar


class ApimarketError(Exception):
    """Base of every expected error. `extra` holds what a program may want beside the message (JSON values only)."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong inside apimarket"

    def __init__(self, detail: str, *, hint: str = "", extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.extra: Mapping[str, Any] = extra or {}


# -- Registry ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ManifestProblem:
    """One mistake in an `apimarket.toml`: where, what was found, what is allowed."""

    line: int
    key: str
    message: str


class InvalidManifest(ApimarketError):
    status, code, title = 422, "invalid_manifest", "apimarket.toml has mistakes"

    def __init__(self, problems: Sequence[ManifestProblem], path: str = "apimarket.toml") -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  line {p.line}: {p.key}: {p.message}" for p in self.problems)
        count = "1 mistake" if len(self.problems) == 1 else f"{len(self.problems)} mistakes"
        super().__init__(
            f"{path} has {count}:\n{lines}",
            hint="Correct the lines above and save; nothing was changed meanwhile.",
            extra={"problems": [{"line": p.line, "key": p.key, "message": p.message} for p in self.problems]},
        )


class InvalidName(ApimarketError):
    status, code, title = 422, "invalid_name", "That name cannot be used"

    def __init__(self, name: str, reason: str, suggestion: str = "") -> None:
        hint = f"Try: {suggestion}" if suggestion else "Use 2 to 63 of a-z, 0-9 and '-', beginning with a letter."
        super().__init__(f"{name!r} {reason}", hint=hint, extra={"name": name, "suggestion": suggestion})


class NameTaken(ApimarketError):
    status, code, title = 409, "name_taken", "That name is taken"

    def __init__(self, name: str, directory: str) -> None:
        super().__init__(
            f"An API named {name!r} is registered already, "
            + (f"from {directory}" if directory else "published from elsewhere"),
            hint=f"Choose another name, or remove the first one: apimarket rm {name}",
            extra={"name": name, "directory": directory},
        )


class HandleTaken(NameTaken):
    title = "That user name is taken"

    def __init__(self, handle: str) -> None:
        ApimarketError.__init__(
            self,
            f"A user named {handle!r} exists already",
            hint="Choose another name.",
            extra={"name": handle},
        )


class DirectoryTaken(ApimarketError):
    status, code, title = 409, "directory_taken", "That directory is registered already"

    def __init__(self, directory: str, name: str) -> None:
        super().__init__(
            f"{directory} is registered already, as {name!r}",
            hint=f"See it with: apimarket status {name}",
            extra={"name": name, "directory": directory},
        )


class ApiNotFound(ApimarketError):
    status, code, title = 404, "api_not_found", "No such API"

    def __init__(self, name: str, close: Sequence[str] = ()) -> None:
        meant = f"Did you mean {' or '.join(close)}? " if close else ""
        super().__init__(
            f"No API is registered under {name!r}",
            hint=f"{meant}List them with: apimarket ls",
            extra={"name": name, "close": list(close)},
        )


class UnusableDirectory(ApimarketError):
    """The directory is missing, empty, not an API, too large, or reaches out of itself."""

    status, code, title = 422, "unusable_directory", "That directory cannot be run as an API"

    def __init__(self, directory: str, reason: str, hint: str) -> None:
        super().__init__(f"{directory} {reason}", hint=hint, extra={"directory": directory})


class UploadRefused(ApimarketError):
    """Nothing of the upload was taken. `path` is the member that is to blame, if one is."""

    status, code, title = 422, "upload_refused", "The upload cannot be taken"

    def __init__(self, reason: str, hint: str, path: str = "") -> None:
        shown = path.encode("utf-8", "backslashreplace").decode()[:300]
        super().__init__(f"{shown!r} {reason}" if path else reason, hint=hint, extra={"path": shown} if path else {})


class UploadTooLarge(UploadRefused):
    status, code, title = 413, "upload_too_large", "The upload is too large"


class TemplateNotFound(ApimarketError):
    status, code, title = 404, "template_not_found", "No such template"

    def __init__(self, name: str, available: Sequence[str]) -> None:
        super().__init__(
            f"There is no template {name!r}; there are: {', '.join(available)}",
            hint="See what each is: apimarket new --template list",
            extra={"name": name, "available": list(available)},
        )


class RevisionConflict(ApimarketError):
    status, code, title = 412, "revision_conflict", "Somebody changed it meanwhile"

    def __init__(self, name: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{name!r} is at revision {actual}, not {expected}",
            hint="Read it again and repeat the change.",
            extra={"expected": expected, "actual": actual},
        )


# -- Executor ----------------------------------------------------------------------------------------------------


class EngineUnavailable(ApimarketError):
    status, code, title = 503, "engine_unavailable", "The engine does not answer"

    def __init__(self, engine: str, reason: str) -> None:
        super().__init__(
            f"The {engine} engine does not answer: {reason}",
            hint="apimarket tries again by itself. See what is missing with: apimarket doctor",
            extra={"engine": engine},
        )


class ImageMissing(ApimarketError):
    status, code, title = 503, "image_missing", "A base image is missing"

    def __init__(self, image: str, reason: str) -> None:
        super().__init__(
            f"The image {image} is not on this machine and could not be pulled: {reason}",
            hint=f"Get it where there is a network: docker pull {image}",
            extra={"image": image},
        )


class ToolchainMissing(ApimarketError):
    """The process engine found no Node or no Go."""

    status, code, title = 503, "toolchain_missing", "A language is missing on this machine"

    def __init__(self, runtime: str, extra_name: str | None, package: str) -> None:
        by_pip = f"pip install 'apimarket[{extra_name}]'  (or install {package} from your system)"
        super().__init__(
            f"Running a {runtime} API without Docker needs {package}, and none is on PATH",
            hint=f"Install it with: {by_pip}" if extra_name else f"Install {package} from your system.",
            extra={"runtime": runtime},
        )


class DependenciesFailed(ApimarketError):
    status, code, title = 422, "dependencies_failed", "The dependencies could not be installed"

    def __init__(self, source: str, reason: str, log: str) -> None:
        super().__init__(
            f"The dependencies of {source} could not be installed: {reason}",
            hint=f"Correct {source} and save, or see all of it with: apimarket logs NAME",
            extra={"source": source, "log": log},
        )


class BuildFailed(ApimarketError):
    status, code, title = 422, "build_failed", "The code does not compile"

    def __init__(self, message: str, file: str | None, line: int | None, log: str) -> None:
        super().__init__(message, hint="Correct it and save.", extra={"file": file, "line": line, "log": log})
        self.file, self.line, self.log = file, line, log


class SandboxFailed(ApimarketError):
    """The container or process that holds an API could not be started, or ended before it said anything."""

    status, code, title = 503, "sandbox_failed", "The API's container did not start"


class NothingToUndo(ApimarketError):
    status, code, title = 409, "nothing_to_undo", "There is nothing to undo"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} has no earlier generation that served other code",
            hint=f"See what became of each save: apimarket status {name}",
        )


# -- Gateway -----------------------------------------------------------------------------------------------------


class HostRefused(ApimarketError):
    status, code, title = 421, "host_refused", "This server does not answer to that host name"


class OriginRefused(ApimarketError):
    status, code, title = 403, "origin_refused", "A web page of another origin may not call this"


class MalformedRequest(ApimarketError):
    """The request can be read in more than one way: never passed on."""

    status, code, title = 400, "malformed_request", "The request is not clear HTTP"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The request {problem}", hint="Send it with an ordinary HTTP client.")


class RequestStalled(ApimarketError):
    status, code, title = 408, "request_stalled", "The request did not arrive"

    def __init__(self, waited_s: float, part: str = "body") -> None:
        super().__init__(f"The request's {part} did not arrive within {waited_s:g} s", hint="Send it again.")


class HeadTooLarge(ApimarketError):
    status, code, title = 431, "head_too_large", "The request's headers are too large"

    def __init__(self, limit_bytes: int, limit_fields: int) -> None:
        super().__init__(
            f"A request's path and headers may have {limit_bytes} bytes and {limit_fields} fields",
            hint="Send large values in the body; clear this site's cookies if a browser sent them.",
        )


class TokenRequired(ApimarketError):
    status, code, title = 401, "token_required", "The control API needs the local token"

    def __init__(self) -> None:
        super().__init__(
            "The request carries no valid bearer token",
            hint="Send 'Authorization: Bearer TOKEN' with the token from $APIMARKET_HOME/token.",
        )


class ApiUnavailable(ApimarketError):
    """No generation of the API can answer. `retry_after_s` is whole seconds."""

    status, code, title = 503, "api_unavailable", "The API is not answering"

    def __init__(self, detail: str, hint: str, retry_after_s: int = 1) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after_s = retry_after_s


class UpstreamFailed(ApimarketError):
    status, code, title = 502, "upstream_failed", "The API broke off"


class UpstreamTimeout(ApimarketError):
    status, code, title = 504, "upstream_timeout", "The API did not answer in time"


# -- Analytics ---------------------------------------------------------------------------------------------------


class ExecutionRefused(ApimarketError):
    status, code, title = 422, "execution_refused", "That execution cannot be logged"

    def __init__(self, place: int, started_at: datetime, oldest: datetime, newest: datetime) -> None:
        allowed = f"{oldest.isoformat(timespec='seconds')} to {newest.isoformat(timespec='seconds')}"
        super().__init__(
            f"Execution {place} started at {started_at.isoformat()}; allowed is {allowed}",
            hint="Older ones are not kept (APIMARKET_KEEP_EXECUTIONS_DAYS); a later one comes of a wrong clock.",
            extra={"place": place},
        )


# -- Server ------------------------------------------------------------------------------------------------------


class PortTaken(ApimarketError):
    status, code, title = 503, "port_taken", "The port is taken"

    def __init__(self, port: int, holder: str) -> None:
        super().__init__(
            f"Port {port} is taken by {holder}",
            hint=f"Try: apimarket serve --port {port + 1}",
            extra={"port": port},
        )


class AlreadyRunning(ApimarketError):
    status, code, title = 409, "already_running", "A server is running already"

    def __init__(self, directory: str, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The data directory {directory} is in use by a server ({who})",
            hint="Use that one, or stop it first: apimarket stop",
            extra={"pid": pid},
        )


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


class KeyDiffers(ApimarketError):
    """What was begun or sealed with the key on one server would not hold on another. `database` is without who logs
    in."""

    status, code, title = 409, "key_differs", "The servers of this database have another key"

    def __init__(self, path: str, database: str) -> None:
        super().__init__(
            f"{path} is not the key that the other servers of {database} have",
            hint=f"Copy theirs to it, from the data directory of any of them: scp OTHER:{path} {path}",
            extra={"path": path, "database": database},
        )


class BlobsDiffer(ApimarketError):
    """Versions that are published on one server would have no files on another."""

    status, code, title = 409, "blobs_differ", "The servers of this database keep their files elsewhere"

    def __init__(self, path: str, database: str) -> None:
        super().__init__(
            f"{path} is not where the other servers of {database} keep the files of versions",
            hint=f"Mount theirs at {path}, or make it a link to that place.",
            extra={"path": path, "database": database},
        )


class RoleNeedsPostgres(ApimarketError):
    status, code, title = 422, "role_needs_postgres", "That role needs a PostgreSQL that several servers share"

    def __init__(self, role: str, database: str) -> None:
        super().__init__(
            f"--role {role} is one part of several, which share a PostgreSQL; this server has {database}",
            hint="Name the database with APIMARKET_DATABASE=postgresql://…, or leave --role away: one server does all.",
            extra={"role": role},
        )


class ExecutorTaken(ApimarketError):
    """Two would run every API twice, and each would take the other's containers for its own."""

    status, code, title = 409, "executor_taken", "Another executor runs"

    def __init__(self, database: str) -> None:
        super().__init__(
            f"An executor runs already on {database}",
            hint="End that one first. Gateways may be as many as you like: apimarket serve --role gateway",
            extra={"database": database},
        )


class RedisClientMissing(ApimarketError):
    status, code, title = 503, "redis_client_missing", "The client of Redis is not installed"

    def __init__(self) -> None:
        super().__init__(
            "APIMARKET_REDIS_URL names a Redis, and the package that speaks with one is missing",
            hint="Install it with: pip install 'apimarket[redis]'",
        )


class SettingRefused(ApimarketError):
    """`value` is empty where it must not be repeated: there may be a password in it."""

    status, code, title = 422, "setting_refused", "A setting cannot have that value"

    def __init__(self, variable: str, value: str, reason: str) -> None:
        super().__init__(
            f"{variable}{f' is {value}' if value else ''}: {reason[:1].lower()}{reason[1:]}",
            hint="Correct it in the environment, or on the command line, and start again.",
            extra={"variable": variable},
        )


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


class ServerUnreachable(ApimarketError):
    """Raised by the client, never sent by the server."""

    status, code, title = 503, "server_unreachable", "No server answers"

    def __init__(self, url: str, reason: str, *, elsewhere: bool = False) -> None:
        """`elsewhere`: it is another machine's, which nobody can start from here."""
        super().__init__(
            f"{url} does not answer: {reason}" if elsewhere else f"No apimarket server answers at {url}: {reason}",
            hint="Look at the address, and at this machine's network."
            if elsewhere
            else "Start one with: apimarket serve  (or just: apimarket)",
            extra={"url": url},
        )
