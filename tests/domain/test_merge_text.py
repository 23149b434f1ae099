"""Three-way merge of text: what holds for every text, and the cases people know from git."""

import re

from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.merge_text import MAX_LINES, MergedText, merge_text

# Few different lines, so that they repeat; and texts with and without a last line feed.
LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "  }\n"]), max_size=12)
TEXTS = st.builds(lambda lines, tail: "".join(lines) + tail, LINES, st.sampled_from(["", "end", "a"]))


def merged(base: str, mine: str, theirs: str) -> MergedText:
    found = merge_text(base, mine, theirs)
    assert found is not None
    return found


class TestMergeText:
    @given(TEXTS, TEXTS)
    def test_a_change_of_one_side_alone_is_that_side(self, base: str, changed: str) -> None:
        assert merged(base, base, changed) == merged(base, changed, base)
        assert merged(base, base, changed).text == changed
        assert not merged(base, base, changed).clashes

    @given(TEXTS, TEXTS)
    def test_the_same_change_on_both_sides_is_made_once(self, base: str, changed: str) -> None:
        found = merged(base, changed, changed)
        assert (found.text, found.clashes) == (changed, ())

    @given(TEXTS, TEXTS, TEXTS)
    def test_it_does_not_matter_which_side_one_is_on(self, base: str, mine: str, theirs: str) -> None:
        here, there = merged(base, mine, theirs), merged(base, theirs, mine)
        assert [part for part in here.parts if isinstance(part, str)] == [
            part for part in there.parts if isinstance(part, str)
        ]
        assert [(clash.mine, clash.theirs) for clash in here.clashes] == [
            (clash.theirs, clash.mine) for clash in there.clashes
        ]

    @given(TEXTS, TEXTS, TEXTS)
    def test_either_side_can_be_had_back_from_the_clashes(self, base: str, mine: str, theirs: str) -> None:
        found = merged(base, mine, theirs)
        for clash in found.clashes:
            assert "".join(clash.mine) in mine
            assert "".join(clash.theirs) in theirs
            assert "".join(clash.base) in base

    @given(st.lists(st.integers(0, 2), min_size=3, max_size=30))
    def test_changes_of_different_places_are_both_there(self, owners: list[int]) -> None:
        """Every other line is nobody's; of the rest each belongs to mine, to theirs, or to nobody."""
        base, mine, theirs = [], [], []
        for number, owner in enumerate(owners):
            base += [f"line {number}\n", f"between {number}\n"]
            mine += [f"mine {number}\n" if owner == 1 else f"line {number}\n", f"between {number}\n"]
            theirs += [f"theirs {number}\n" if owner == 2 else f"line {number}\n", f"between {number}\n"]
        found = merged("".join(base), "".join(mine), "".join(theirs))

        assert not found.clashes
        assert len(re.findall("^mine", found.text, re.MULTILINE)) == owners.count(1)
        assert len(re.findall("^theirs", found.text, re.MULTILINE)) == owners.count(2)
        assert len(re.findall("^line", found.text, re.MULTILINE)) == owners.count(0)

    def test_neighbouring_changes_clash(self) -> None:
        found = merged("a\nb\nc\n", "A\nb\nc\n", "a\nB\nc\n")
        assert len(found.clashes) == 1

    def test_a_clash_stands_between_markers_with_what_was_there_before(self) -> None:
        found = merged("head\nx = 1\ntail\n", "head\nx = 2\ntail\n", "head\nx = 3\ntail\n")
        assert found.text == ("head\n<<<<<<< mine\nx = 2\n||||||| base\nx = 1\n=======\nx = 3\n>>>>>>> theirs\ntail\n")

    def test_carriage_returns_stay(self) -> None:
        found = merged("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n")
        assert found.text == "A\r\nb\r\nC\r\n"

    def test_a_text_too_long_to_compare_is_not_merged(self) -> None:
        assert merge_text("\n" * (MAX_LINES + 1), "a", "b") is None
