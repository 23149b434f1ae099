"""An API's files as JSON, for who must not pay for importing the models: wire/files.py, field by field."""

from typing import Literal, TypedDict


class ApiFileDocument(TypedDict):
    path: str
    bytes: int
    mode: Literal["644", "755"]
    change: Literal["", "same", "new", "changed", "removed"]


class LeftOutDocument(TypedDict):
    path: str
    directory: bool
    why: str


class ManifestRowDocument(TypedDict):
    key: str
    value: str
    default: bool


class ManifestProblemDocument(TypedDict):
    line: int
    key: str
    message: str


class ManifestDocument(TypedDict):
    rows: list[ManifestRowDocument]
    problems: list[ManifestProblemDocument]


class FilesDocument(TypedDict):
    directory: str
    running: int | None
    digest: str
    files: list[ApiFileDocument]
    left_out: list[LeftOutDocument]
    left_out_more: int
    problem: str
    hint: str
    manifest: ManifestDocument


class FileDocument(TypedDict):
    path: str
    of: Literal["directory", "running"]
    bytes: int
    mode: Literal["644", "755"]
    binary: bool
    text: str
    whole: bool
