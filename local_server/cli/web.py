"""`web`: the terminal UI in a browser."""

import json
import os
import sys
from threading import Thread

import click

from local_server.cli.connection import started_endpoint
from local_server.cli.outcome import verb


@verb()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one. Default: 8090, or near."
)
@click.option("--no-open", is_flag=True, help="Print the link, and open no browser.")
def web(port: int | None, no_open: bool, as_json: bool) -> None:
    """The terminal UI in a browser on this machine, until Ctrl-C."""
    started_endpoint()
    from local_server.web.serving import serve

    links = 0

    def told(url: str) -> None:
        nonlocal links
        links += 1
        if as_json:
            click.echo(json.dumps({"url": url}))
        elif links == 1:
            click.echo(f"{url}\nIt lets one browser in. Ctrl-C ends its pages; the server and your APIs run on.")
        else:
            click.echo(f"A browser came in. For another one:\n{url}")
        if links == 1 and not no_open and _has_browser():
            Thread(target=_open, args=(url,), name="browser", daemon=True).start()

    serve(port, told)


def _has_browser() -> bool:
    """Not one that would take this terminal, as where there is no desktop."""
    if sys.platform in ("win32", "darwin") or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
