import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.names import RESERVED_OWNERS, RESERVED_SLUGS, SLUG, check_owner, check_slug, slugify
from local_server.domain.registry_errors import InvalidName


class TestCheckSlug:
    @pytest.mark.parametrize("name", ["weather", "a1", "x-y-z", "a" * 63])
    def test_a_good_name_is_returned(self, name: str):
        assert check_slug(name) == name

    @pytest.mark.parametrize(
        ("name", "suggestion"),
        [
            ("Wetter für Köln", "wetter-fur-koln"),
            ("Straße", "strasse"),
            ("Łódź", "lodz"),
            ("weather_api", "weather-api"),
            ("2fast", "fast"),
            ("天気", "my-api"),
            ("a", "my-api"),
            ("", "my-api"),
            ("weather\n", "weather"),
            ("ｗｅａｔｈｅｒ", "weather"),  # full width: looks alike, is another name
        ],
    )
    def test_another_is_refused_with_one_that_would_do(self, name: str, suggestion: str):
        with pytest.raises(InvalidName) as refused:
            check_slug(name)
        assert refused.value.hint == f"Try: {suggestion}"
        assert repr(name) in refused.value.detail

    @pytest.mark.parametrize("name", sorted(RESERVED_SLUGS - {"openapi.json"}))
    def test_reserved_names_are_refused(self, name: str):
        with pytest.raises(InvalidName, match="is reserved") as refused:
            check_slug(name)
        assert refused.value.hint == f"Try: {name}-api"

    @given(st.text())
    def test_what_slugify_makes_is_always_valid(self, text: str):
        assert check_slug(slugify(text))

    @given(st.from_regex(SLUG, fullmatch=True))
    def test_slugify_leaves_a_valid_name_nearly_alone(self, name: str):
        assert slugify(name) in (name.rstrip("-"), f"{name}-api") or "--" in name or name.endswith("-")


class TestCheckOwner:
    @pytest.mark.parametrize("handle", sorted(RESERVED_OWNERS))
    def test_reserved_handles_are_refused(self, handle: str):
        with pytest.raises(InvalidName):
            check_owner(handle)

    def test_a_good_handle_is_returned(self):
        assert check_owner("ada") == "ada"
