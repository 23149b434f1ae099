"""Secrets are hidden by name and by shape, in every notation, whole or cut off, and in linear time."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.redaction import (
    HIDDEN,
    redact_header,
    redact_headers,
    redact_query,
    redact_text,
    smells,
    without_keys,
)

JSON = "application/json"
KEY = "am_live_" + "k" * 49
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "password", "user_password", "userPassword", "PASSWORD", "passwd", "pwd", "token", "access_token",
            "accesstoken", "X-Auth-Token", "refreshToken", "secret", "clientSecret", "client_secrets", "key", "api_key",
            "apiKey", "APIKey", "X-Api-Key", "keys", "session", "sessionid", "PHPSESSID_session", "sid", "Cookie",
            "Authorization", "credentials", "jwt", "csrf", "otp", "pin", "cvv", "signature", "sig", "private_key",
            "creditCard", "card_number",
        ],
    )  # fmt: skip
    def test_these_smell(self, name: str) -> None:
        assert smells(name)

    @pytest.mark.parametrize(
        "name", ["", "user", "monkey", "keyboard", "opinion", "author", "passenger", "signal", "code", "total", "😀"]
    )
    def test_these_do_not(self, name: str) -> None:
        assert not smells(name)


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "value", "shown"),
        [
            ("authorization", "Bearer abc", f"Bearer {HIDDEN}"),
            ("Authorization", "abc", HIDDEN),
            ("proxy-authorization", "Basic YTpi", f"Basic {HIDDEN}"),
            ("cookie", "sid=abc; theme=dark", HIDDEN),
            ("set-cookie", "sid=abc; Path=/; HttpOnly", f"sid={HIDDEN}; Path=/; HttpOnly"),
            ("x-api-key", "abc", HIDDEN),
            ("x-session-token", "abc", HIDDEN),
            ("referer", "http://a/?token=abc&b=1", f"http://a/?token={HIDDEN}&b=1"),
            ("location", "/done?code=abc", f"/done?code={HIDDEN}"),
            ("x-note", f"see {KEY}", f"see {HIDDEN}"),
            ("x-note", f"see {TOKEN}", f"see {HIDDEN}"),
            ("sec-websocket-key", "dGhl", "dGhl"),
            ("www-authenticate", "Bearer", "Bearer"),
            ("access-control-allow-credentials", "true", "true"),
            ("idempotency-key", "7", "7"),
            ("content-type", JSON, JSON),
        ],
    )
    def test_one(self, name: str, value: str, shown: str) -> None:
        assert redact_header(name, value) == shown

    def test_order_and_repetition_stay(self) -> None:
        headers = [("b", "1"), ("cookie", "x"), ("b", "2")]
        assert redact_headers(headers) == [("b", "1"), ("cookie", HIDDEN), ("b", "2")]


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("token=abc", f"token={HIDDEN}"),
            ("a=1&access%5Ftoken=abc;b=2", f"a=1&access%5Ftoken={HIDDEN};b=2"),
            ("key=&a", "key=&a"),
            ("api_key=a=b&c=d", f"api_key={HIDDEN}&c=d"),
            ("code=abc&state=1", f"code={HIDDEN}&state=1"),
            (f"q={KEY}", f"q={HIDDEN}"),
            ("q=tokens", "q=tokens"),
        ],
    )
    def test_one(self, query: str, shown: str) -> None:
        assert redact_query(query) == shown
        assert redact_text(query, "application/x-www-form-urlencoded; charset=utf-8") == shown


class TestJson:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ('{"password": "abc", "a": 1}', '{"password": "[redacted]", "a": 1}'),
            ('{"a":[{"Token" :\n"ab\\"c"}]}', '{"a":[{"Token" :\n"[redacted]"}]}'),
            ('{"pin": 1234, "max_tokens": 1234}', '{"pin": "[redacted]", "max_tokens": 1234}'),
            ('{"password": null, "has_password": true}', '{"password": null, "has_password": true}'),
            ('{"secrets": {"a": ["}", {}]}, "b": 1}', '{"secrets": "[redacted]", "b": 1}'),
            ('{"pass\\u0077ord": "abc"}', '{"pass\\u0077ord": "[redacted]"}'),
            ('{"password": "a", "password": "b"}', '{"password": "[redacted]", "password": "[redacted]"}'),
            ('{"a": "b"}', '{"a": "b"}'),
            (
                '{"next": "https://a/?page=2&api_key=abc#x", "max": "/?max_tokens=3"}',
                '{"next": "https://a/?page=2&api_key=[redacted]#x", "max": "/?max_tokens=3"}',
            ),
            ('{"query": "access_token=abc\\u0026page=2"}', '{"query": "access_token=[redacted]\\u0026page=2"}'),
            ('["/cb?code=abc\\u0026sig=abc"]', '["/cb?code=[redacted]\\u0026sig=[redacted]"]'),
        ],
    )
    def test_layout_stays_and_values_go(self, text: str, shown: str) -> None:
        assert redact_text(text, JSON) == shown

    @pytest.mark.parametrize(
        "cut", ['{"password": "abc', '{"password": "abc\\', '{"secrets": {"a": "abc"', '{"pin": 12']
    )
    def test_what_was_cut_off_is_no_way_out(self, cut: str) -> None:
        shown = redact_text(cut, JSON)
        assert "abc" not in shown
        assert "12" not in shown

    @pytest.mark.parametrize(
        "text",
        [
            'it is 5" wide {"password": "abc"}',
            '{"query": "mutation { login(password: \\"abc\\") }"}',
            '"{\\"password\\": \\"abc\\"}"',
            'data: {"access_token":"abc"}\n\n',
            '{"password": "abc"}\n{"password": "abc"}',
            "{'password': 'abc'}",
        ],
        ids=["a stray quote", "GraphQL", "JSON in JSON", "SSE", "lines", "Python"],
    )
    def test_near_json_is_no_way_out_either(self, text: str) -> None:
        assert "abc" not in redact_text(text, JSON)

    @given(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.sampled_from(["a", "password", "api_key", 'q"uote', "ü"]), inner, max_size=3),
            ),
            max_leaves=12,
        ),
        st.booleans(),
    )
    def test_no_secret_of_any_document_stays(self, document: object, ascii_only: bool) -> None:
        planted = {"first": document, "password": "pl4nted", "then": [document, {"x_token": ["pl4nted"]}]}
        text = json.dumps(planted, ensure_ascii=ascii_only)
        shown = redact_text(text, JSON)
        assert "pl4nted" not in shown
        assert json.loads(shown).keys() == planted.keys()
        for end in range(0, len(text), 7):
            assert "pl4nted" not in redact_text(text[:end], JSON)


class TestOtherNotations:
    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("<login><Password>abc</Password></login>", "application/xml"),
            ("<password type='x'><![CDATA[abc]]></password>", "text/xml"),
            ('<user password="abc"/>', "application/xml"),
            ("password: abc\nuser: ana", "application/yaml"),
            ("PASSWORD=abc", "text/plain"),
            ('const apiKey = "abc";', "text/javascript"),
            ('fetch("/a?x=1&token=abc")', "text/javascript"),
            ('<a href="/a?x=1&amp;token=abc">', "text/html"),
            ("authorization: Bearer abc", "text/plain"),
            (TOKEN.replace("sdWI", "abc"), "text/plain"),
        ],
    )
    def test_one(self, text: str, kind: str) -> None:
        assert "abc" not in redact_text(text, kind)

    def test_the_parts_of_a_form(self) -> None:
        part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
        text = part.format("user", "ana") + part.format("password", "abc\r\ndef") + "--b--\r\n"
        shown = redact_text(text, 'multipart/form-data; boundary="b"')
        assert shown == part.format("user", "ana") + part.format("password", HIDDEN) + "--b--\r\n"

    def test_code_is_not_mistaken_for_values(self) -> None:
        code = "token = next(tokens); key: value"
        assert redact_text(code, "text/javascript") == code


class TestTime:
    @pytest.mark.parametrize(
        "text",
        [
            "a" * 65536, '"' * 65536, '\\"' * 32768, '"' + '\\"' * 32767, "<" * 65536, "<a" * 32768, "eyJ-" * 16384,
            "password:" * 7281, '"password":' * 5957, '{"password":' * 5461, "[" * 65536, " " * 65536, "a=" * 32768,
            "password" + " " * 65000, "eyJaaaaa." * 7281, "am_live_" * 8192, "bearer " * 9362, "=" * 65536, "'" * 65536,
            "&token=" * 9362, "?a" * 32768, "&" + "a" * 65535,
        ],
        ids=lambda text: text[:12],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "kind", [JSON, "text/plain", "application/x-www-form-urlencoded", "multipart/a; boundary=a"]
    )
    def test_the_worst_texts_take_no_longer_than_long(self, text: str, kind: str) -> None:
        began = time.process_time()
        redact_text(text, kind)
        assert time.process_time() - began < 1.0


class TestKeysOfOurs:
    def test_they_are_taken_out_of_bytes(self) -> None:
        assert KEY.encode() not in without_keys(b"a " + KEY.encode() + b" b")

    def test_what_holds_none_is_the_same_object(self) -> None:
        content = b"am_i here"
        assert without_keys(content) is content
