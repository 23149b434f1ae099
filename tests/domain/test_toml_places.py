import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_server.domain.toml_places import KeyPath, Places

TEXT = '''\
top = 1
dotted.a . "b c" = { x = 1, 'y' = [ 1, # ]
  2, "}" ] }

[table]  # [not.this]
long = """
[fake]
key = "value"
\\"""" # still
literal = \'\'\'
'fake' = 1\'\'\'
when = 1979-05-27 07:32:00  # a date
[[list]]
n = 1
[list.sub]
n = 2
[[list]]
n = 3
[list.sub]
n = 4
'''


class TestLines:
    @pytest.mark.parametrize(
        ("path", "line"),
        [
            (("top",), 1),
            (("dotted",), 2),
            (("dotted", "a", "b c", "x"), 2),
            (("dotted", "a", "b c", "y", 0), 2),
            (("dotted", "a", "b c", "y", 1), 3),
            (("table",), 5),
            (("table", "long"), 6),
            (("table", "literal"), 10),
            (("table", "when"), 12),
            (("list", 0), 13),
            (("list", 0, "n"), 14),
            (("list", 0, "sub", "n"), 16),
            (("list", 1, "n"), 18),
            (("list", 1, "sub", "n"), 20),
            (("table", "missing"), 5),
            (("missing",), 1),
        ],
    )
    def test_of_every_kind_of_key(self, path: KeyPath, line: int):
        tomllib.loads(TEXT)
        assert Places(TEXT).line(path) == line


def leaves(value: object, path: KeyPath = ()) -> list[KeyPath]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))] or [path]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))] or [path]
    return [path]


_KEYS = st.sampled_from(["a", "b-1", '"c d"', "'e.f'", '"\\u0041"'])
_VALUES = st.recursive(
    st.sampled_from(
        ["1", '"]"', "'#'", '"""\n"x"\n"""', "'''\n''' ", "nan", "07:32:00", '"\\""', "1979-05-27 07:32:00Z"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ # ]\n" + ",\n".join(items) + "]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"k{n} = {v}" for n, v in enumerate(items)) + "}"
        ),
    ),
    max_leaves=6,
)
_LINES = st.one_of(
    st.tuples(st.lists(_KEYS, min_size=1, max_size=3).map(".".join), _VALUES).map(
        lambda pair: f"{pair[0]} = {pair[1]}"
    ),
    st.lists(_KEYS, min_size=1, max_size=3).map(lambda keys: f"[{'.'.join(keys)}]"),
    st.lists(_KEYS, min_size=1, max_size=2).map(lambda keys: f"[[ {' . '.join(keys)} ]]"),
    st.sampled_from(["", '# [x]\t"', "\t"]),
)


class TestAgainstTheParser:
    @settings(max_examples=400, deadline=None)
    @given(st.lists(_LINES, max_size=8).map("\n".join))
    def test_every_value_is_where_it_is_said_to_be(self, text: str):
        try:
            document = tomllib.loads(text)
        except ValueError:
            return
        places = Places(text).places
        for path in leaves(document):
            assert not path or path in places, (path, text)
            value = document
            for part in path:
                value = value[part]  # type: ignore[assignment]
            place = places[path] if path else None
            if place and place.value_end > place.value_start:
                written = text[place.value_start : place.value_end]
                assert repr(tomllib.loads(f"x = {written}")["x"]) == repr(value)

    @settings(max_examples=300, deadline=None)
    @given(st.text())
    def test_text_that_is_not_toml_ends_too(self, text: str):
        assert Places(text).line(("a", 0)) <= text.count("\n") + 1
