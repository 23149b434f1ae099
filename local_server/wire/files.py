"""The files of an API and its manifest, as they lie in its directory and beside what runs."""

from typing import Literal

from pydantic import BaseModel

Change = Literal["", "same", "new", "changed", "removed"]


class ApiFileView(BaseModel):
    path: str
    """Below the directory, `/` between segments."""
    bytes: int
    mode: Literal["644", "755"]
    change: Change = ""
    """Since what runs was read; empty: nothing runs, or there is no directory to compare it with."""


class LeftOutView(BaseModel):
    """What lies in the directory and is not the API."""

    path: str
    directory: bool
    """It is one; nothing inside is named."""
    why: str
    """The rule that says so: `.gitignore line 3: dist/`, or `always left out`."""


class ManifestRowView(BaseModel):
    key: str
    """`run.memory_mb`; a plan's with its code, as `plan.free.price`."""
    value: str
    """As TOML writes it; empty: nothing is set."""
    default: bool
    """It is what holds where the key does not stand there."""


class ManifestProblemView(BaseModel):
    line: int
    key: str
    message: str


class ManifestView(BaseModel):
    """What apimarket.toml comes to."""

    rows: list[ManifestRowView]
    """The values that hold. While there are problems: those of before."""
    problems: list[ManifestProblemView]


class FilesView(BaseModel):
    """GET /api/v1/apis/{id}/files"""

    directory: str
    """Empty: it exists as versions only, published from elsewhere."""
    running: int | None = None
    """Number of the generation that serves; None: nothing does."""
    digest: str = ""
    """Of the tree that serves."""
    files: list[ApiFileView]
    """By path: those of the directory, and those of what serves that the directory lacks."""
    left_out: list[LeftOutView]
    left_out_more: int = 0
    """Beyond those that are named."""
    problem: str = ""
    """Why the directory cannot be read; the files are those of what serves then."""
    hint: str = ""
    """What to do about the problem."""
    manifest: ManifestView


class FileView(BaseModel):
    """GET /api/v1/apis/{id}/file: one file, as far as it is shown."""

    path: str
    of: Literal["directory", "running"]
    bytes: int
    """Of the whole file."""
    mode: Literal["644", "755"]
    binary: bool
    """It is no text in UTF-8, which is not shown."""
    text: str = ""
    whole: bool = True
    """False: the text is only the beginning."""
