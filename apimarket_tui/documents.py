"""Fetches an OpenAPI document: from an API or elsewhere on the web, or from a file."""

import asyncio
from pathlib import Path

from apimarket_tui.backend import Backend, Trouble, attempt

LARGEST = 5_000_000
"""Bytes."""
TIMEOUT_S = 20.0


async def document_at(backend: Backend, source: str) -> bytes | Trouble:
    """`source` is an http address or the path of a file."""
    if source.startswith(("http://", "https://")):
        answer = await attempt(backend.call("GET", source, {"Accept": "application/json"}, b"", TIMEOUT_S))
        if isinstance(answer, Trouble):
            return answer
        if answer.status != 200:
            return Trouble(f"{source} answers {answer.status} {answer.reason}", "Name where the document is.")
        content = answer.body
    else:
        try:
            content = await asyncio.to_thread(_read, source)
        except OSError as error:
            return Trouble(f"{source} cannot be read: {error.strerror or error}", "Name a file, or an http:// address.")
    if len(content) > LARGEST:
        return Trouble(f"{source} is larger than {LARGEST // 1_000_000} MB", "Name a smaller document.")
    return content


def _read(source: str) -> bytes:
    with Path(source).expanduser().open("rb") as file:
        return file.read(LARGEST + 1)
