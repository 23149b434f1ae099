"""What goes out of what was written: the query, auth, and nothing that was only a placeholder."""

import pytest

from apimarket_tui.drafts import AuthKind, Draft, outgoing, with_query

URL = "http://127.0.0.1:8080/ana/weather/now"


class TestQuery:
    @pytest.mark.parametrize(
        ("url", "query", "whole"),
        [
            (URL, "", URL),
            (URL, "q=oslo\n# units=metric\n\nlang = nb no", f"{URL}?q=oslo&lang=nb+no"),
            (f"{URL}?a=1", "b=2&3", f"{URL}?a=1&b=2%263"),
            (f"{URL}?", "a=", f"{URL}?a="),
            (f"{URL}#part", "a=1", f"{URL}?a=1#part"),
        ],
    )
    def test_it_joins_what_the_url_has(self, url: str, query: str, whole: str) -> None:
        assert with_query(url, query) == whole

    def test_a_line_that_is_none_is_named(self) -> None:
        with pytest.raises(ValueError, match="Query line 2 is 'oslo'"):
            with_query(URL, "a=1\noslo")


class TestAuth:
    @pytest.mark.parametrize(
        ("kind", "secret", "header"),
        [
            ("bearer", " am_live_x ", ("Authorization", "Bearer am_live_x")),
            ("basic", "ana:köln", ("Authorization", "Basic YW5hOmvDtmxu")),
            ("x-api-key", "k", ("X-API-Key", "k")),
        ],
    )
    def test_each_kind_is_a_header(self, kind: AuthKind, secret: str, header: tuple[str, str]) -> None:
        assert outgoing(Draft("GET", URL, auth=kind, secret=secret)).headers == [header]

    def test_none_adds_nothing(self) -> None:
        assert outgoing(Draft("GET", URL, secret="left over")).headers == []

    def test_one_without_a_value_says_what_is_missing(self) -> None:
        with pytest.raises(ValueError, match="Auth is basic, and has no value; write user:password"):
            outgoing(Draft("GET", URL, auth="basic"))

    def test_twice_is_refused(self) -> None:
        with pytest.raises(ValueError, match="stands in the headers and in auth"):
            outgoing(Draft("GET", URL, headers="authorization: x", auth="bearer", secret="y"))

    def test_a_secret_does_not_show_in_what_is_printed_of_a_draft(self) -> None:
        assert "hidden" not in repr(Draft("GET", URL, secret="hidden"))


@pytest.mark.parametrize(
    "draft",
    [
        Draft("GET", URL, headers="Authorization: Bearer [redacted]"),
        Draft("GET", f"{URL}?token=[redacted]"),
        Draft("POST", URL, body='{"password": "[redacted]"}'),
    ],
)
def test_the_place_of_a_secret_is_not_sent(draft: Draft) -> None:
    with pytest.raises(ValueError, match="write it again"):
        outgoing(draft)


def test_a_parameter_of_the_path_must_be_filled_in() -> None:
    with pytest.raises(ValueError, match=r"still has \{id\} in it"):
        outgoing(Draft("GET", f"{URL}/{{id}}"))
