"""The manifest of a version, as its document says it. Strangers write these: what no `apimarket.toml` could say is
refused."""

from collections.abc import Callable, Mapping
from typing import Any

from local_server.domain.errors import ApimarketError
from local_server.domain.manifest import Manifest
from local_server.domain.manifest_toml import parse, render
from local_server.domain.sync_errors import PublishRefused

Build = Callable[[dict[str, Any]], Manifest]
"""Makes a manifest of a document that is trusted."""


def read_manifest(document: Mapping[str, Any], build: Build) -> Manifest:
    """Raises PublishRefused."""
    try:
        manifest = build(dict(document))
        again = parse(render(manifest))
    except ApimarketError as error:
        raise PublishRefused("manifest", error.detail) from None
    except (ArithmeticError, AttributeError, KeyError, RecursionError, StopIteration, TypeError, ValueError) as error:
        raise PublishRefused("manifest", f"is none: {error}") from None
    if again != manifest:
        raise PublishRefused("manifest", "says what no apimarket.toml can say")
    return manifest
