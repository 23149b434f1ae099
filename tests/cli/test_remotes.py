"""Which marketplace the market's verbs are about when none is named."""

from pathlib import Path

import click
import pytest

from local_server.cli.remotes import market_of
from local_server.client import sessions

FAR, FARTHER = "https://market.example", "https://other.example"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APIMARKET_HOME", str(tmp_path))
    monkeypatch.delenv("APIMARKET_URL", raising=False)
    monkeypatch.delenv("APIMARKET_REMOTE", raising=False)
    return tmp_path


def log_in(home: Path, url: str) -> None:
    sessions.keep(home, url, {"token": "t", "handle": "ana", "expires_at": "2099-01-01T00:00:00+00:00"})


def test_the_one_logged_in_to(home: Path) -> None:
    log_in(home, FAR)
    assert market_of(None).url == FAR


def test_the_one_named_goes_before_the_setting_and_that_before_the_login(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(home, FAR)
    monkeypatch.setenv("APIMARKET_REMOTE", FARTHER)
    assert market_of(None).url == FARTHER
    assert market_of("https://third.example/").url == "https://third.example"


def test_what_is_no_address_is_told_apart_from_one_in_the_clear(home: Path) -> None:
    with pytest.raises(click.UsageError, match="is no address"):
        market_of("market.example")
    with pytest.raises(click.UsageError, match="in the clear"):
        market_of("http://market.example")


def test_of_several_one_must_be_named(home: Path) -> None:
    log_in(home, FAR)
    log_in(home, FARTHER)
    with pytest.raises(click.UsageError, match=f"{FAR}, {FARTHER}. Choose one"):
        market_of(None)
    assert market_of(FARTHER).url == FARTHER
