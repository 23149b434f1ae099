"""A failure in one line."""

import pytest

from local_server.domain.deployments import Failure

ONE = 'apimarket.toml has 1 mistake:\n  line 5: gateway.auth: found "keys"'
TWO = "apimarket.toml has 2 mistakes:\n  line 5: gateway.auth: wrong\n  line 7: run.cpus: wrong"


@pytest.mark.parametrize(
    ("failure", "headline"),
    [
        (Failure("syntax", "SyntaxError: bad\n  x = (", "app.py", 12), "SyntaxError: bad (app.py:12)"),
        (Failure("syntax", "app.py:12: bad", "app.py", 12), "app.py:12: bad"),
        (Failure("build", "It does not build:\n  undefined: x", "a.go", 3), "It does not build: undefined: x (a.go:3)"),
        (Failure("manifest", ONE, "apimarket.toml", 5), ONE.replace("\n  ", " ")),
        (Failure("manifest", TWO, "apimarket.toml", 5), "apimarket.toml has 2 mistakes: line 5: gateway.auth: wrong"),
        (Failure("timeout", " "), "timeout"),
    ],
)
def test_its_headline(failure: Failure, headline: str) -> None:
    assert failure.headline == headline
