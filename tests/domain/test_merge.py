"""Three-way merge of trees: what holds for all of them, and every kind of conflict with every answer to it."""

import hashlib
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.manifest_toml import parse
from local_server.domain.merge import Choices, TreeMerge, merge_trees
from local_server.domain.merge_choices import Edited, Side
from local_server.domain.trees import Tree, TreeEntry, name_collisions

CONTENTS = [b"one\n", b"two\n", b"\x00\xff", b"one\nmore\n", b""]
FILES = st.dictionaries(
    st.sampled_from(["a", "b", "c/d", "c/e"]), st.tuples(st.sampled_from(CONTENTS), st.sampled_from([0o644, 0o755]))
)
KNOWN = {hashlib.sha256(content).hexdigest(): content for content in CONTENTS}


def tree_of(files: Mapping[str, tuple[bytes, int]]) -> Tree:
    return Tree({path: TreeEntry.of(content, mode) for path, (content, mode) in files.items()})  # type: ignore[arg-type]


class Files:
    """Trees written down as path=text, and what became of a merge."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def tree(self, files: Mapping[str, bytes | str]) -> Tree:
        contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self._known |= {hashlib.sha256(content).hexdigest(): content for content in contents.values()}
        return Tree({path: TreeEntry.of(content) for path, content in contents.items()})

    def merge(
        self,
        base: Mapping[str, bytes | str],
        mine: Mapping[str, bytes | str],
        theirs: Mapping[str, bytes | str],
        choices: Choices | None = None,
    ) -> TreeMerge:
        return merge_trees(self.tree(base), self.tree(mine), self.tree(theirs), self._known.__getitem__, choices)

    def read(self, merged: TreeMerge) -> dict[str, str]:
        known = self._known | dict(merged.made)
        return {path: known[entry.sha256].decode() for path, entry in merged.entries.items()}


@pytest.fixture
def files() -> Files:
    return Files()


class TestMergeTrees:
    @given(FILES, FILES)
    def test_a_change_of_one_side_alone_is_that_side(
        self, base: dict[str, tuple[bytes, int]], changed: dict[str, tuple[bytes, int]]
    ) -> None:
        old, new = tree_of(base), tree_of(changed)
        assert merge_trees(old, old, new, KNOWN.__getitem__).tree == new
        assert merge_trees(old, new, old, KNOWN.__getitem__).tree == new

    @given(FILES, FILES, FILES)
    def test_it_does_not_matter_which_side_one_is_on(
        self,
        base: dict[str, tuple[bytes, int]],
        mine: dict[str, tuple[bytes, int]],
        theirs: dict[str, tuple[bytes, int]],
    ) -> None:
        here = merge_trees(tree_of(base), tree_of(mine), tree_of(theirs), KNOWN.__getitem__)
        there = merge_trees(tree_of(base), tree_of(theirs), tree_of(mine), KNOWN.__getitem__)
        assert here.entries == there.entries
        assert [(found.path, found.mine, found.theirs) for found in here.conflicts] == [
            (found.path, found.theirs, found.mine) for found in there.conflicts
        ]

    @given(FILES, FILES, FILES)
    def test_without_a_conflict_every_change_of_both_sides_is_there(
        self,
        base: dict[str, tuple[bytes, int]],
        mine: dict[str, tuple[bytes, int]],
        theirs: dict[str, tuple[bytes, int]],
    ) -> None:
        old, sides = tree_of(base), [tree_of(mine), tree_of(theirs)]
        merged = merge_trees(old, *sides, KNOWN.__getitem__)
        unsettled = {found.path for found in merged.conflicts}
        for side, other in (sides, sides[::-1]):
            for path in {*old.entries, *side.entries} - unsettled:
                was, now, there = old.entries.get(path), side.entries.get(path), other.entries.get(path)
                if now != was and there == was:
                    assert merged.entries.get(path) == now

    def test_an_edit_beats_a_delete(self, files: Files) -> None:
        assert files.read(files.merge({"a": "1"}, {}, {"a": "2"})) == {"a": "2"}
        assert files.read(files.merge({"a": "1"}, {"a": "2"}, {})) == {"a": "2"}

    def test_what_both_deleted_is_gone(self, files: Files) -> None:
        assert files.read(files.merge({"a": "1", "b": "1"}, {"b": "1"}, {"b": "1"})) == {"b": "1"}

    def test_a_text_is_merged_by_lines(self, files: Files) -> None:
        merged = files.merge({"a": "1\n2\n3\n"}, {"a": "1!\n2\n3\n"}, {"a": "1\n2\n3!\n"})
        assert files.read(merged) == {"a": "1!\n2\n3!\n"}
        assert list(merged.made.values()) == [b"1!\n2\n3!\n"]

    def test_content_of_one_and_mode_of_the_other_go_together(self) -> None:
        old, content, mode = (
            tree_of({"a": value}) for value in ((b"one\n", 0o644), (b"two\n", 0o644), (b"one\n", 0o755))
        )
        for mine, theirs in ((content, mode), (mode, content)):
            assert merge_trees(old, mine, theirs, KNOWN.__getitem__).tree == tree_of({"a": (b"two\n", 0o755)})


ANSWERS: list[tuple[Side | Edited, str | None]] = [
    (Side.MINE, "mine\n"),
    (Side.THEIRS, "theirs\n"),
    (Side.BASE, "base\n"),
    (Edited(b"something else\n"), "something else\n"),
]


class TestConflicts:
    @pytest.mark.parametrize(("answer", "expected"), ANSWERS)
    def test_a_text_takes_every_answer(self, files: Files, answer: Side | Edited, expected: str) -> None:
        sides: list[Mapping[str, str]] = [{"a": "base\n"}, {"a": "mine\n"}, {"a": "theirs\n"}]
        conflict = files.merge(*sides).conflicts[0]
        assert (conflict.path, conflict.kind) == ("a", "text")
        assert conflict.draft is not None
        assert "<<<<<<< mine\nmine\n" in conflict.draft

        assert files.read(files.merge(*sides, Choices({"a": answer}))) == {"a": expected}

    def test_what_is_no_text_is_left_to_a_person(self, files: Files) -> None:
        sides: list[Mapping[str, bytes]] = [{"a": b"\0"}, {"a": b"\0mine"}, {"a": b"\0theirs"}]
        merged = files.merge(*sides)
        assert [(found.path, found.kind, found.draft) for found in merged.conflicts] == [("a", "binary", None)]
        assert files.read(files.merge(*sides, Choices({"a": Side.THEIRS}))) == {"a": "\0theirs"}

    def test_a_file_that_both_added_differently_is_one(self, files: Files) -> None:
        assert files.merge({}, {"a": "1\n"}, {"a": "2\n"}).conflicts[0].base is None

    @pytest.mark.parametrize(("mine", "theirs"), [("README", "readme"), ("a", "a/b"), ("a/b/c", "a"), ("A", "a/b")])
    def test_names_that_exclude_each_other_are_one(self, files: Files, mine: str, theirs: str) -> None:
        merged = files.merge({}, {mine: "1"}, {theirs: "2"})
        assert [(found.path, found.kind, found.other) for found in merged.conflicts] == [(mine, "name", theirs)]
        assert files.read(files.merge({}, {mine: "1"}, {theirs: "2"}, Choices({mine: Side.MINE}))) == {mine: "1"}
        assert files.read(files.merge({}, {mine: "1"}, {theirs: "2"}, Choices({mine: Side.THEIRS}))) == {theirs: "2"}

    def test_a_merge_with_one_left_is_no_tree(self, files: Files) -> None:
        with pytest.raises(ValueError, match="conflicts"):
            files.merge({}, {"a": "1\n"}, {"a": "2\n"}).tree  # noqa: B018

    def test_settled_names_leave_no_collision(self, files: Files) -> None:
        merged = files.merge({}, {"a": "1"}, {"a/b": "2", "A/c": "3"}, Choices({"a": Side.MINE}))
        assert not merged.conflicts
        assert not name_collisions(merged.entries)


MANIFEST = """\
# Weather of the world
[api]
name = "weather"
runtime = "python"
version = "1.0.0"
summary = "Weather"
tags = ["geo"]

[run]
env = { UNITS = "metric", LANG = "en" }

[[plan]]
code = "free"
price = "0 EUR/month"
"""


def changed(**changes: str) -> str:
    """MANIFEST with some of its lines exchanged."""
    text = MANIFEST
    for old, new in zip(changes["old"].split("|"), changes["new"].split("|"), strict=True):
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def merge(files: Files) -> Callable[..., tuple[TreeMerge, str]]:
    def merged(mine: str, theirs: str, choices: Choices | None = None) -> tuple[TreeMerge, str]:
        name = "apimarket.toml"
        found = files.merge({name: MANIFEST}, {name: mine}, {name: theirs}, choices)
        return found, files.read(found).get(name, "")

    return merged


class TestManifest:
    def test_neighbouring_keys_of_both_sides_go_together(self, merge: Callable[..., tuple[TreeMerge, str]]) -> None:
        mine = changed(old='version = "1.0.0"', new='version = "1.1.0"')
        theirs = changed(old='summary = "Weather"', new='summary = "Rain"')
        found, text = merge(mine, theirs)
        assert not found.conflicts
        manifest = parse(text)
        assert (manifest.version, manifest.summary) == ("1.1.0", "Rain")

    def test_comments_stay_where_the_lines_can_be_merged(self, merge: Callable[..., tuple[TreeMerge, str]]) -> None:
        mine = changed(old="# Weather of the world", new="# Weather of all worlds")
        theirs = changed(old='price = "0 EUR/month"', new='price = "2 EUR/month"')
        _, text = merge(mine, theirs)
        assert "# Weather of all worlds" in text
        assert parse(text).plans[0].price_minor == 200

    def test_variables_of_the_environment_are_keys_of_their_own(
        self, merge: Callable[..., tuple[TreeMerge, str]]
    ) -> None:
        mine = changed(old='UNITS = "metric"', new='UNITS = "imperial"')
        theirs = changed(old='LANG = "en"', new='LANG = "de"')
        found, text = merge(mine, theirs)
        assert not found.conflicts
        assert dict(parse(text).run.env) == {"UNITS": "imperial", "LANG": "de"}

    def test_plans_added_on_both_sides_are_both_there(self, merge: Callable[..., tuple[TreeMerge, str]]) -> None:
        plan = '\n[[plan]]\ncode = "{}"\nprice = "{} EUR/month"\n'
        found, text = merge(MANIFEST + plan.format("pro", 5), MANIFEST + plan.format("max", 9))
        assert not found.conflicts
        assert {found.code for found in parse(text).plans} == {"free", "pro", "max"}

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [(Side.MINE, "Sun"), (Side.THEIRS, "Rain"), (Side.BASE, "Weather"), (Edited("Sun and rain"), "Sun and rain")],
    )
    def test_a_key_that_both_changed_takes_every_answer(
        self, merge: Callable[..., tuple[TreeMerge, str]], answer: Side | Edited, expected: str
    ) -> None:
        mine = changed(old='summary = "Weather"', new='summary = "Sun"')
        theirs = changed(old='summary = "Weather"', new='summary = "Rain"')
        found, _ = merge(mine, theirs)
        conflict = found.conflicts[0]
        assert conflict.kind == "manifest"
        assert [(one.key, one.base, one.mine, one.theirs) for one in conflict.fields] == [
            ("api.summary", "Weather", "Sun", "Rain")
        ]
        _, text = merge(mine, theirs, Choices(fields={"api.summary": answer}))
        assert parse(text).summary == expected
        assert parse(text).tags == ("geo",)

    def test_what_is_no_manifest_is_merged_as_text(self, merge: Callable[..., tuple[TreeMerge, str]]) -> None:
        found, _ = merge("[api\n", "[api]]\n")
        assert found.conflicts[0].kind == "text"
