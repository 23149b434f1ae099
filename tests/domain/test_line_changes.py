"""Hunks say all that lies between two texts, and say it as `diff -u` does."""

import difflib
import re

from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.line_changes import MOST_LINES, NO_NEWLINE, line_changes

TEXTS = st.lists(st.sampled_from(["a", "b", "{", "}", "", "x y", "\r", "-", "+", "@@"]), max_size=30).flatmap(
    lambda lines: st.sampled_from(["\n".join(lines), "\n".join(lines) + "\n"])
)
_HEAD = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def applied(before: str, hunks: tuple[str, ...]) -> str:
    """What `patch` would make of `before`; fails where the hunks do not fit it."""
    old = before.split("\n")
    rest = [f"{line}\n" for line in old[:-1]] + ([old[-1]] if old[-1] else [])
    made: list[str] = []
    taken, signed = 0, ""
    for line in hunks:
        if head := _HEAD.fullmatch(line):
            start, length = int(head[1]), int(head[2] or "1")
            until = start - 1 if length else start
            made += rest[taken:until]
            taken = until
        elif line == NO_NEWLINE:
            if signed in " +":
                made[-1] = made[-1].removesuffix("\n")
        else:
            signed, text = line[0], line[1:]
            if signed in " -":
                assert rest[taken].removesuffix("\n") == text
                taken += 1
            if signed in " +":
                made.append(f"{text}\n")
    return "".join([*made, *rest[taken:]])


@given(TEXTS, TEXTS)
def test_one_text_and_the_hunks_are_the_other(before: str, after: str) -> None:
    found = line_changes(before, after, 1_000)
    assert found is not None
    assert applied(before, found.hunks) == after
    assert (found.hunks == ()) == (before == after)


@given(TEXTS)
def test_the_same_differs_in_nothing(text: str) -> None:
    found = line_changes(text, text, 10)
    assert found is not None
    assert (found.hunks, found.added, found.removed, found.whole) == ((), 0, 0, True)


def test_they_read_as_those_of_diff() -> None:
    before = [f"line {n}" for n in range(40)]
    after = [*before[:10], "new", *before[10:30], *before[32:]]
    expected = list(difflib.unified_diff(before, after, lineterm=""))[2:]
    found = line_changes("\n".join(before) + "\n", "\n".join(after) + "\n", 1_000)
    assert found is not None
    assert list(found.hunks) == expected
    assert (found.added, found.removed) == (1, 2)


def test_a_last_line_without_its_end_is_told() -> None:
    found = line_changes("one\ntwo", "one\ntwo\n", 1_000)
    assert found is not None
    assert found.hunks == ("@@ -1,2 +1,2 @@", " one", "-two", NO_NEWLINE, "+two")


def test_what_there_is_no_room_for_is_counted() -> None:
    found = line_changes("", "x\n" * 500, 100)
    assert found is not None
    assert (len(found.hunks), found.added, found.whole) == (100, 500, False)
    assert line_changes("x\n" * (MOST_LINES + 1), "", 100) is None
