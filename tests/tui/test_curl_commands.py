"""A curl command that is pasted becomes a request."""

import pytest
from textual import events
from textual.widgets import Input, TextArea

from apimarket_tui.curl_commands import is_curl, request_of
from apimarket_tui.widgets.method import MethodPicker
from apimarket_tui.widgets.requests import curl

from .screen_text import screen_text
from .screens import press, running, until


def test_what_browsers_copy() -> None:
    data = '$\'{"a":"it\\\'s\\u0021\\n"}\''
    pasted = request_of(
        f"curl 'https://a.example/x?y=1' \\\n  -H 'accept: */*' \\\n  -b 'k=v' \\\n  --data-raw {data} --compressed"
    )
    assert (pasted.method, pasted.url) == ("POST", "https://a.example/x?y=1")
    assert pasted.headers.splitlines()[:2] == ["accept: */*", "Cookie: k=v"]
    assert pasted.body == '{"a":"it\'s!\n"}'


@pytest.mark.parametrize(
    ("command", "method", "url", "headers", "body"),
    [
        ("curl localhost:8080/me/x", "GET", "http://localhost:8080/me/x", "", ""),
        ("$ curl -sS -XDELETE http://a/b", "DELETE", "http://a/b", "", ""),
        ("curl -I http://a/b -o /dev/null", "HEAD", "http://a/b", "", ""),
        ("curl --request=PUT --url http://a -d x -d y", "PUT", "http://a",
         "Content-Type: application/x-www-form-urlencoded", "x&y"),
        ("curl http://a --json '{}'", "POST", "http://a", "Content-Type: application/json", "{}"),
        ("curl -u me:pw http://a", "GET", "http://a", "Authorization: Basic bWU6cHc=", ""),
    ],
)  # fmt: skip
def test_options(command: str, method: str, url: str, headers: str, body: str) -> None:
    assert is_curl(command)
    pasted = request_of(command)
    assert (pasted.method, pasted.url, pasted.headers, pasted.body) == (method, url, headers, body)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("curl -H 'a: b'", "names no URL"),
        ("curl http://a -d @file", "sends a file"),
        ("curl http://a -H", "-H of that curl command says nothing"),
        ("curl 'http://a", "quotation"),
    ],
)
def test_what_is_none_says_why(command: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        request_of(command)


def test_what_the_console_copies_it_takes_again() -> None:
    copied = curl("POST", "http://a/b?c=d", [("X-Api-Key", "it's"), ("Content-Type", "text/plain")], "a 'b'\n\"c\"")
    pasted = request_of(copied)
    assert (pasted.method, pasted.url, pasted.body) == ("POST", "http://a/b?c=d", "a 'b'\n\"c\"")
    assert pasted.headers.splitlines() == ["X-Api-Key: it's", "Content-Type: text/plain"]


async def test_pasted_into_the_url_it_fills_the_console() -> None:
    async with running(size=(120, 40)) as pilot:
        await press(pilot, "3")
        field = pilot.app.screen.query_one("#url", Input)
        field.post_message(events.Paste("curl -X PATCH http://a.example/b \\\n  -H 'X-A: b' \\\n  -d '{}'\n"))
        await until(pilot, lambda: field.value == "http://a.example/b")
        assert pilot.app.screen.query_one(MethodPicker).method == "PATCH"
        assert pilot.app.screen.query_one("#body", TextArea).text == "{}"
        assert "X-A: b" in pilot.app.screen.query_one("#headers", TextArea).text
        field.post_message(events.Paste("curl -H 'X-A: b'"))
        await until(pilot, lambda: "names no URL" in screen_text(pilot.app))
        assert field.value == "http://a.example/b"
