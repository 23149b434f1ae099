"""Turns an error of the engine, the source or the registry into a generation's failure."""

import errno
import logging

from local_server.domain.deployments import Failure
from local_server.domain.errors import ApimarketError
from local_server.domain.executor_errors import (
    BuildFailed,
    DependenciesFailed,
    EngineUnavailable,
    ImageMissing,
    ToolchainMissing,
)
from local_server.domain.registry_errors import InvalidManifest, UnusableDirectory
from local_server.domain.secret_errors import SecretsMissing, SecretsSealed
from local_server.domain.storage_errors import StorageFull

KINDS: dict[type[ApimarketError], str] = {
    BuildFailed: "build",
    DependenciesFailed: "dependencies",
    EngineUnavailable: "engine",
    ImageMissing: "image",
    InvalidManifest: "manifest",
    SecretsMissing: "secrets",
    SecretsSealed: "secrets",
    StorageFull: "disk",
    ToolchainMissing: "toolchain",
    UnusableDirectory: "directory",
}
PASSING = frozenset({"engine", "disk"})
"""Kinds that may heal without a save; the executor tries again by itself."""


logger = logging.getLogger("apimarket.executor")


def failure_of(error: Exception) -> Failure:
    """Of any error at all: a runner that died of one nobody thought of would never see another save."""
    if isinstance(error, ApimarketError):
        return _expected(error)
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _expected(StorageFull(str(error.filename or "the data directory")))
        where = f" ({error.filename})" if error.filename else ""
        return Failure(
            "disk", f"The disk refuses: {error.strerror or error}{where}", hint="It is tried again by itself."
        )
    logger.error("an API could not be started, for a reason nobody expected", exc_info=error)
    what = f"{type(error).__name__}: {error}"
    return Failure(
        "internal", f"Something went wrong inside apimarket: {what}", hint="See server.log; please report it."
    )


def _expected(error: ApimarketError) -> Failure:
    kind = KINDS.get(type(error), "sandbox")
    log = str(error.extra.get("log", ""))
    if isinstance(error, InvalidManifest):
        first = error.problems[0]
        return Failure(kind, error.detail, "apimarket.toml", first.line, log, error.hint)
    if isinstance(error, BuildFailed):
        return Failure(kind, error.detail, error.file, error.line, log, error.hint)
    return Failure(kind, error.detail, traceback=log, hint=error.hint)
