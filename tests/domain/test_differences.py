"""How two answers differ: by what they mean, and without telling their secrets."""

import gzip
import hashlib
import json
import time
from typing import Any

import pytest

from local_server.domain.differences import MOST_LINES, difference
from local_server.domain.exchanges import BODY_BYTES, Answer, Body


def answer(
    body: bytes | str = b"", kind: str = "application/json", status: int = 200, *, complete: bool = True, **headers: str
) -> Answer:
    content = body.encode() if isinstance(body, str) else body
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        generation=1,
        status=status,
        headers=(("content-type", kind), *given.items()),
        body=Body(content[:BODY_BYTES], len(content)),
        digest=hashlib.sha256(content).hexdigest(),
        total_us=1000,
        complete=complete,
    )


def lines(first: Any, second: Any) -> list[str]:
    return list(difference(answer(json.dumps(first)), answer(json.dumps(second))).body)


class TestHead:
    def test_an_answer_is_as_itself(self) -> None:
        assert difference(answer(b"x"), answer(b"x")).same

    def test_another_status(self) -> None:
        found = difference(answer(b"{}"), answer(b"{}", status=500))
        assert found.status_changed
        assert not found.same

    def test_what_differs_each_time_does_not_count(self) -> None:
        first = answer(date="1", x_request_id="1", x_apimarket_generation="1", content_length="1", server_timing="1")
        assert difference(first, answer(date="2", x_request_id="2", x_apimarket_generation="2")).same

    def test_headers_that_came_went_and_changed(self) -> None:
        found = difference(answer(etag="1", x_old="o"), answer(etag="2", x_new="n")).headers
        assert [(one.name, one.first, one.second) for one in found] == [
            ("etag", "1", "2"),
            ("x-new", None, "n"),
            ("x-old", "o", None),
        ]

    def test_their_secrets_are_not_told(self) -> None:
        (found,) = difference(answer(set_cookie="sid=abc"), answer(set_cookie="sid=def")).headers
        assert (found.first, found.second) == ("sid=[redacted]", "sid=[redacted]")


class TestJson:
    def test_order_and_layout_do_not_count(self) -> None:
        assert difference(answer('{"a": 1, "b": [1, 2]}'), answer('{"b":[1,2],"a":1}')).same

    @pytest.mark.parametrize(
        ("first", "second", "told"),
        [
            ({"a": {"b": 1}}, {"a": {"b": 2}}, ["- a.b: 1", "+ a.b: 2"]),
            ({"a": 1}, {}, ["- a: 1"]),
            ({}, {"a b": None}, ['+ ["a b"]: null']),
            ([1, 2, 3], [0, 1, 2, 3], ["+ [0]: 0"]),
            ([1, 2, 3], [1, 3], ["- [1]: 2"]),
            ([{"id": 1}, {"id": 2}], [{"id": 1}, {"id": 3}], ["- [1].id: 2", "+ [1].id: 3"]),
            (1, True, ["- $: 1", "+ $: true"]),
            ([1], [1.0], ["- [0]: 1", "+ [0]: 1.0"]),
            ({"a": [1]}, {"a": {"0": 1}}, ["- a: [1]", '+ a: {"0": 1}']),
            ("a\nb", "a", ['- $: "a\\nb"', '+ $: "a"']),
        ],
    )
    def test_each_difference_is_told_by_its_path(self, first: Any, second: Any, told: list[str]) -> None:
        assert lines(first, second) == told

    def test_secrets_differ_without_being_told(self) -> None:
        assert lines({"token": {"a": "abc"}}, {"token": {"a": "def"}}) == [
            '- token.a: "[redacted]"',
            '+ token.a: "[redacted]"',
        ]
        assert lines({"a": {"token": "abc"}}, {"a": 1}) == ['- a: {"token": "[redacted]"}', "+ a: 1"]

    def test_more_differences_than_one_can_read_are_cut(self) -> None:
        found = lines(list(range(5000)), list(range(5000, 10000)))
        assert len(found) == MOST_LINES + 1
        assert found[-1].startswith("@ more")

    @pytest.mark.parametrize(
        "pair",
        [
            ([1, 2] * 250, [2, 1] * 250),
            ([1] * 30_000, [1] * 29_999 + [2]),
            (json.loads("[" * 500 + "]" * 500), json.loads("[" * 501 + "]" * 501)),
        ],
        ids=["repeated", "long", "deep"],
    )
    def test_none_takes_long(self, pair: tuple[Any, Any]) -> None:
        began = time.process_time()
        assert lines(*pair)
        assert time.process_time() - began < 2


class TestText:
    def test_lines_are_compared(self) -> None:
        found = difference(answer("one\ntwo\n", "text/plain"), answer("one\n2\n", "text/plain")).body
        assert found == ("@@ -1,2 +1,2 @@", "  one", "- two", "+ 2")

    def test_json_against_an_error_page(self) -> None:
        found = difference(answer('{"a": 1}'), answer("oops", "text/plain")).body
        assert found[1:] == ('- {"a": 1}', "+ oops")

    def test_packed_text_is_compared_unpacked(self) -> None:
        first = answer(gzip.compress(b"one", mtime=1), "text/plain", content_encoding="gzip")
        second = answer(gzip.compress(b"one", mtime=2), "text/plain", content_encoding="gzip")
        assert difference(first, second).body == ("@ they differ where secrets were redacted, or in how lines end",)

    def test_secrets_differ_without_being_told(self) -> None:
        found = difference(answer("password: abc", "text/plain"), answer("password: def", "text/plain"))
        assert not found.same
        assert "abc" not in str(found)

    def test_what_was_cut_is_told(self) -> None:
        found = difference(answer("x" * (BODY_BYTES + 1), "text/plain"), answer("y", "text/plain")).body
        assert found[-1] == f"@ - only its first {BODY_BYTES} of {BODY_BYTES + 1} bytes were compared"

    def test_an_answer_that_broke_off_differs_from_one_that_did_not(self) -> None:
        found = difference(answer("x", "text/plain"), answer("x", "text/plain", complete=False))
        assert found.body[-1] == "@ + it had not ended when the replay did"


class TestBinary:
    def test_size_and_digest_are_compared(self) -> None:
        found = difference(answer(b"\0\1", "image/png"), answer(b"\0\1\2", "image/png")).body
        assert [line[:9] for line in found] == ["- 2 bytes", "+ 3 bytes"]
