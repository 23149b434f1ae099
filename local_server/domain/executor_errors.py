"""Why an API is not built or not run."""

from local_server.domain.errors import ApimarketError


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
