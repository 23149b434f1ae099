"""The files of an API, as a server tells of them: some changed, some left out, and a manifest."""

import json
from collections.abc import Awaitable, Callable

from local_server.client.errors import ApimarketClientError
from local_server.wire.files import (
    ApiFileView,
    FilesView,
    FileView,
    LeftOutView,
    ManifestProblemView,
    ManifestRowView,
    ManifestView,
)

MAIN = '''"""Current weather for any city."""

import json

CITIES = {"oslo": -3.5, "bergen": 6.0}


async def app(scope, receive, send):
    """One answer a request; 404 for a city that nobody knows."""
    city = scope["query_string"].decode().removeprefix("q=")
    found = CITIES.get(city)
    status = 200 if found is not None else 404
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"city": city, "temperature": found}).encode()})
'''
MANIFEST_TEXT = """[api]
name = "weather"
runtime = "python3.12"
version = "0.3.1"
tags = ["geo", "weather"]

[run]
health = "/health"
memory_mb = "lots"

[gateway]
rate_limit = "60/min"
"""
TEXTS = {
    "apimarket.toml": MANIFEST_TEXT.replace('"lots"', "256"),
    "main.py": MAIN,
    "README.md": "# Weather\n\nAsk for a *city*.\n",
    "data/cities.json": '{"oslo": {"lat": 59.9, "lon": 10.7}}\n',
    "data/stations.csv": "id,city\n1,oslo\n",
    "run.sh": "#!/bin/sh\nexec python main.py\n",
    "old.py": "print('gone')\n",
}
CHANGES = {"main.py": "changed", "data/stations.csv": "new", "old.py": "removed"}
MISTAKE = ManifestProblemView(
    line=9, key="run.memory_mb", message='found "lots"; allowed: a whole number from 32 to 65536 MB'
)


def some_files(**fields: object) -> FilesView:
    rows = [("api.name", '"weather"'), ("api.runtime", '"python3.12"'), ("api.version", '"0.3.1"'), ("api.summary", "")]
    rows += [("run.entry", ""), ("run.health", '"/health"'), ("run.memory_mb", "256"), ("run.cpus", "1.0")]
    rows += [("gateway.auth", '"key"'), ("gateway.rate_limit", '"60/min"')]
    usual = {"api.summary", "run.entry", "run.cpus", "gateway.auth"}
    values: dict[str, object] = {
        "directory": "/home/ana/code/weather",
        "running": 14,
        "digest": "8d3cb1a09f2e",
        "files": [
            ApiFileView(
                path=path,
                bytes=len(TEXTS.get(path, "")) or 41_312,
                mode="755" if path == "run.sh" else "644",
                change=CHANGES.get(path, "same"),  # type: ignore[arg-type]
            )
            for path in sorted([*TEXTS, "static/logo.png"])
        ],
        "left_out": [
            LeftOutView(path=".env", directory=False, why="always left out: it holds secrets"),
            LeftOutView(path="__pycache__", directory=True, why="always left out"),
            LeftOutView(path="data/raw", directory=True, why=".gitignore line 3: raw/"),
        ],
        "manifest": ManifestView(
            rows=[ManifestRowView(key=key, value=value, default=key in usual) for key, value in rows], problems=[]
        ),
    }
    return FilesView.model_validate(values | fields)


def some_contract() -> bytes:
    """What weather says of itself at /openapi.json."""
    told = (
        ("get", "/now", "The weather now"),
        ("get", "/forecast/{city}", "The next hours"),
        ("get", "/stations", "Every station"),
        ("get", "/stations/{id}", "One station"),
        ("post", "/reports", "Say what you see"),
        ("delete", "/reports/{id}", "Take a report back"),
    )
    paths: dict[str, dict[str, object]] = {}
    for method, path, summary in told:
        paths.setdefault(path, {})[method] = {"summary": summary}
    return json.dumps({"openapi": "3.1.0", "paths": paths}).encode()


class FakeFiles:
    _reached: Callable[..., Awaitable[None]]

    def __init__(self) -> None:
        self.file_list = some_files()
        self.texts = dict(TEXTS)
        self.running_texts = {"main.py": MAIN.replace("-3.5", "-4")}
        """What serves, where it differs."""

    def spoil_the_manifest(self) -> None:
        """A save with a mistake in it."""
        self.texts["apimarket.toml"] = MANIFEST_TEXT
        manifest = self.file_list.manifest.model_copy(update={"problems": [MISTAKE]})
        self.file_list = self.file_list.model_copy(update={"manifest": manifest})

    async def files(self, name: str) -> FilesView:
        await self._reached("files")
        return self.file_list

    async def file(self, name: str, path: str, of: str = "directory") -> FileView:
        await self._reached("file", f"{path} {of}")
        if path.endswith(".png"):
            return FileView(path=path, of="directory", bytes=41_312, mode="644", binary=True)
        texts = self.texts if of == "directory" else self.texts | self.running_texts
        if path not in texts:
            raise ApimarketClientError(
                f"{path!r} is no file of ana/{name}",
                hint=f"List them: apimarket files {name}",
                code="file_not_found",
                status=404,
                title="No such file",
            )
        text = texts[path]
        return FileView(path=path, of=of, bytes=len(text.encode()), mode="644", binary=False, text=text)  # type: ignore[arg-type]
