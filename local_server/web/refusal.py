"""A refusal as a page, for who sits before a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_server.domain.errors import ApimarketError
    from local_server.gateway.asgi_types import Scope

# Whole in itself: who is refused gets no other file.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · apimarket</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: dark }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: #12151b; color: #d3d9e3;
  font: 16px/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }}
main {{ max-width: 60ch; margin: 2rem; padding: 1.5rem 2rem; border-left: 3px solid #7fb3ff; background: #181c24 }}
h1 {{ margin: 0 0 .5rem; font-size: 1.15rem; color: #7fb3ff }}
p {{ margin: .4rem 0 }}
</style>
</head>
<body><main><h1>{title}</h1><p>{detail}.</p><p>{hint}</p></main></body>
</html>
"""


def wants_page(scope: Scope) -> bool:
    """Whether it is a browser that goes somewhere, rather than a program or a part of a page."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def refusal_page(error: ApimarketError) -> bytes:
    return _PAGE.format(title=escape(error.title), detail=escape(error.detail), hint=escape(error.hint)).encode()
