"""A request, or an answer, as a file."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from apimarket_tui.answers import header, header_pairs
from apimarket_tui.backend import CallResult
from apimarket_tui.drafts import Outgoing
from apimarket_tui.widgets.requests import curl

REQUESTS = {".http": "http", ".rest": "http", ".sh": "curl", ".curl": "curl"}
"""Endings that mean the request; any other the answer's body, as it came."""
_ENDINGS = {
    "json": ".json",
    "html": ".html",
    "xml": ".xml",
    "csv": ".csv",
    "png": ".png",
    "jpeg": ".jpg",
    "text": ".txt",
}


def name_for(request: Outgoing, answer: CallResult | None) -> str:
    """What the file may be called: `forecast.json` for an answer, `forecast.http` where there is none."""
    last = urlsplit(request.url).path.rstrip("/").rpartition("/")[2]
    stem = "".join(char if char.isalnum() or char in "-_" else "-" for char in last).strip("-")[:60] or "answer"
    if answer is None:
        return f"{stem}.http"
    kind = header(header_pairs(answer.headers), "content-type").lower()
    return stem + next((ending for word, ending in _ENDINGS.items() if word in kind), ".bin")


def content_of(path: Path, request: Outgoing, answer: CallResult | None) -> bytes:
    """By the file's ending. Raises ValueError where there is no answer to write."""
    match REQUESTS.get(path.suffix.lower()):
        case "http":
            return http_text(request, answer).encode()
        case "curl":
            return f"#!/bin/sh\n{curl(request.method, request.url, request.headers, request.body)}\n".encode()
    if answer is None:
        raise ValueError("No answer is here to be written; a name that ends in .http or .sh means the request")
    return answer.body


def http_text(request: Outgoing, answer: CallResult | None) -> str:
    """As the REST clients of editors read it; what came is told in comments before it."""
    lines = []
    if answer is not None:
        lines.append(f"# {answer.status} {answer.reason}, {len(answer.body)} bytes in {answer.elapsed_ms:.0f} ms")
    lines += [f"{request.method} {request.url}", *(f"{name}: {value}" for name, value in request.headers), ""]
    return "\n".join(lines) + (f"\n{request.body}\n" if request.body else "\n")


def write(path: Path, content: bytes, *, replace: bool = False) -> None:
    """A new file for its owner's eyes: a request may hold a key. Raises FileExistsError unless it may be replaced, and
    OSError."""
    how = os.O_TRUNC if replace else os.O_EXCL
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
