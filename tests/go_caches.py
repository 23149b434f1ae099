"""What Go has compiled, kept from one run of the tests to the next and shared by all that compile: its standard library
alone takes half a minute. Go's cache is made to be shared by processes that build at the same time."""

from pathlib import Path

import platformdirs


def go_cache(name: str) -> Path:
    """One for each engine: in containers others write."""
    place = platformdirs.user_cache_path("apimarket-tests", appauthor=False) / "go" / name
    place.mkdir(parents=True, exist_ok=True)
    return place


def share_go_cache(home: Path, engine: str) -> None:
    """With the server that will run on `home`, which has none yet."""
    own = home / "cache" / "go-build"
    if not own.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(go_cache(engine))
