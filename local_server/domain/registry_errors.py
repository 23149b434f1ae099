"""What the registry refuses: manifests, names, directories, uploads."""

from collections.abc import Sequence
from dataclasses import dataclass

from local_server.domain.errors import ApimarketError


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


class FileNotHere(ApimarketError):
    status, code, title = 404, "file_not_found", "No such file"

    def __init__(self, api: str, path: str) -> None:
        super().__init__(
            f"{path!r} is no file of {api}",
            hint=f"List its files, and what is left out of them: apimarket files {api}",
            extra={"path": path},
        )


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
