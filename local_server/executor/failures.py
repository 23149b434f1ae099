"""Turns an error of the engine, the source or the registry into a generation's failure."""

from local_server.domain.deployments import Failure
from local_server.domain.errors import (
    ApimarketError,
    BuildFailed,
    DependenciesFailed,
    EngineUnavailable,
    ImageMissing,
    InvalidManifest,
    StorageFull,
    ToolchainMissing,
    UnusableDirectory,
)

KINDS: dict[type[ApimarketError], str] = {
    BuildFailed: "build",
    DependenciesFailed: "dependencies",
    EngineUnavailable: "engine",
    ImageMissing: "image",
    InvalidManifest: "manifest",
    StorageFull: "disk",
    ToolchainMissing: "toolchain",
    UnusableDirectory: "directory",
}
PASSING = frozenset({"engine", "disk"})
"""Kinds that may heal without a save; the executor tries again by itself."""


def failure_of(error: ApimarketError) -> Failure:
    kind = KINDS.get(type(error), "sandbox")
    log = str(error.extra.get("log", ""))
    if isinstance(error, InvalidManifest):
        first = error.problems[0]
        return Failure(kind, error.detail, "apimarket.toml", first.line, log, error.hint)
    if isinstance(error, BuildFailed):
        return Failure(kind, error.detail, error.file, error.line, log, error.hint)
    return Failure(kind, error.detail, traceback=log, hint=error.hint)
