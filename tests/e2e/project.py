"""A project that a test writes itself, registered with a running server."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.traffic import ask

FUNCTION = "def handler(request):\n    return {'says': 'good'}\n"


@dataclass
class Project:
    server: RunningServer
    name: str
    directory: Path

    @classmethod
    def write(
        cls, server: RunningServer, name: str, files: dict[str, str], settings: str = "", place: Path | None = None
    ) -> Project:
        """Make the directory (in `place`) with its files; `settings` are lines of the manifest behind its name."""
        directory = (place or server.home.parent / "projects") / name
        directory.mkdir(parents=True)
        project = cls(server, name, directory)
        project.manifest(settings)
        for path, text in files.items():
            project.save(path, text)
        return project

    def manifest(self, settings: str, runtime: str = "python") -> None:
        self.save("apimarket.toml", f'[api]\nname = "{self.name}"\nruntime = "{runtime}"\n{settings}')

    def save(self, path: str, text: str) -> None:
        (self.directory / path).write_text(textwrap.dedent(text))

    def add(self, state: str = "running") -> Project:
        """Register it, and wait for the state."""
        self.server.run("add", str(self.directory))
        self.server.until(self.name, state)
        return self

    @property
    def row(self) -> dict[str, Any]:
        return dict(self.server.client.api(self.name))

    @property
    def url(self) -> str:
        return str(self.row["url"])

    @property
    def body(self) -> str:
        return ask(self.url).body

    @property
    def log(self) -> str:
        return "\n".join(line["text"] for line in self.server.client.logs(self.name, limit=1000))

    def until_error(self, words: str, patience_s: float = 60) -> dict[str, Any]:
        """Wait until the API's failure says so; returns the failure."""

        def told() -> dict[str, Any] | None:
            failure = self.row["failure"]
            return dict(failure) if failure and words in failure["message"] else None

        return dict(
            wait_for(told, lambda: f"{words!r} to be told; it is: {self.row['failure']}\n{self.log}", patience_s)
        )

    def until_mended(self, patience_s: float = 60) -> None:
        wait_for(
            lambda: self.row["state"] == "running" and not self.row["error"],
            lambda: f"{self.name} to be without an error; it has: {self.row}\n{self.log}",
            patience_s,
        )

    def until_says(self, words: str, patience_s: float = 60) -> None:
        wait_for(
            lambda: words in self.body,
            lambda: f"{words!r} to be answered; it is: {self.body}\n{self.row}\n{self.log}",
            patience_s,
        )

    def remove(self) -> None:
        self.server.run("rm", self.name, "--yes")
