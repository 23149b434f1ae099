"""How secrets are sealed, and how they are found where they may not be shown."""

import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.api_secrets import (
    MAX_VALUE_BYTES,
    SHORTEST_HIDDEN,
    SealedSecret,
    SecretBox,
    check_name,
    check_value,
    conceal,
    concealing,
)
from local_server.domain.ids import ApiId
from local_server.domain.redaction import HIDDEN
from local_server.domain.secret_errors import SecretNameRefused, SecretValueRefused

AT = datetime(2026, 3, 14, tzinfo=UTC)
BOX = SecretBox(b"k" * 32)
values = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=50)


def sealed(value: str, api_id: str = "a", name: str = "TOKEN") -> SealedSecret:
    return SealedSecret(ApiId(api_id), name, BOX.seal(ApiId(api_id), name, value), AT)


class TestSealing:
    @given(values)
    def test_what_is_sealed_can_be_opened_and_not_read(self, value: str) -> None:
        secret = sealed(value)
        assert BOX.open(secret) == value
        assert len(value) < 4 or value.encode() not in secret.sealed

    def test_the_same_value_is_never_sealed_twice_alike(self) -> None:
        assert sealed("hunter2").sealed != sealed("hunter2").sealed

    def test_it_opens_for_its_own_api_name_and_key_alone(self) -> None:
        secret = sealed("hunter2")
        assert BOX.open(SealedSecret(ApiId("b"), "TOKEN", secret.sealed, AT)) is None
        assert BOX.open(SealedSecret(ApiId("a"), "OTHER", secret.sealed, AT)) is None
        assert SecretBox(b"o" * 32).open(secret) is None

    @given(st.integers(min_value=0), st.integers(1, 255))
    def test_a_changed_byte_opens_nothing(self, place: int, change: int) -> None:
        content = bytearray(sealed("hunter2").sealed)
        content[place % len(content)] ^= change
        assert BOX.open(SealedSecret(ApiId("a"), "TOKEN", bytes(content), AT)) is None
        assert BOX.open(SealedSecret(ApiId("a"), "TOKEN", bytes(content[: place % len(content)]), AT)) is None


class TestRules:
    @pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "PORT", "é", "A" * 129])
    def test_a_name_is_that_of_a_variable(self, name: str) -> None:
        with pytest.raises(SecretNameRefused):
            check_name(name)

    @pytest.mark.parametrize("value", ["", "a\0b", "\udcff", "x" * (MAX_VALUE_BYTES + 1)])
    def test_a_refusal_never_says_the_value(self, value: str) -> None:
        with pytest.raises(SecretValueRefused) as refused:
            check_value("TOKEN", value)
        assert not value or value not in refused.value.detail


class TestConcealing:
    @given(st.lists(values, max_size=5), values, values)
    def test_no_value_is_left(self, secrets: list[str], before: str, after: str) -> None:
        for value in secrets:
            shown = conceal(f"{before}{value}{after}", concealing(secrets))
            assert len(value) < SHORTEST_HIDDEN or value in HIDDEN or value not in shown

    @pytest.mark.parametrize("written", [str, lambda value: json.dumps(value), lambda value: quote(value, safe="")])
    def test_it_is_found_as_json_and_urls_write_it(self, written: object) -> None:
        value = 'pa"ss word/ü'
        assert conceal(written(value), concealing([value])).strip('"') == HIDDEN  # type: ignore[operator]

    def test_each_line_of_one_that_has_several(self) -> None:
        key = "-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----\n"
        assert conceal("read abcdefgh", concealing([key])) == f"read {HIDDEN}"

    def test_the_longer_of_two_goes_first(self) -> None:
        assert conceal("secret-longer", concealing(["secret", "secret-longer"])) == HIDDEN

    def test_what_stands_everywhere_is_left(self) -> None:
        assert conceal("a 1 b", concealing(["1"])) == "a 1 b"
