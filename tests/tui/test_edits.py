"""Two sides made one text by hand."""

import pytest

from apimarket_tui.conflict_rows import ConflictRow, rows_of
from apimarket_tui.edits import BASE, BEGIN, BETWEEN, END, NotEditable, next_place, text_of, why_not, with_its_breaks
from local_server.wire.outbox import FieldConflictView, FileConflictView

from .fake_outbox import DRAFT, a_conflict, a_side


def a_row(path: str, draft: str | None, kind: str = "text") -> ConflictRow:
    file = FileConflictView(path=path, kind=kind, mine=a_side(1), theirs=a_side(1), draft=draft)  # type: ignore[arg-type]
    return ConflictRow(path, None, file)


def a_key(mine: object, theirs: object) -> ConflictRow:
    field = FieldConflictView(key="run.memory_mb", mine=mine, theirs=theirs)
    file = FileConflictView(path="apimarket.toml", kind="manifest", fields=[field])
    return ConflictRow("apimarket.toml", field.key, file, field)


class TestBeginning:
    def test_a_text_begins_with_both_sides_and_a_key_with_mine(self) -> None:
        assert text_of(a_row("main.py", DRAFT)) == DRAFT
        assert text_of(a_key(512, 256)) == "512"
        assert text_of(a_key(None, ["a"])) == '[\n  "a"\n]'

    @pytest.mark.parametrize(
        "row",
        [
            a_row("logo.png", None, "binary"),
            a_row("a", "x\x1b[31m"),
            a_row("A", None, "name"),
            rows_of(a_conflict())[-1],
        ],
        ids=["binary", "control characters", "two names", "merges by itself"],
    )
    def test_what_would_not_come_back_as_it_was_is_not_edited(self, row: ConflictRow) -> None:
        with pytest.raises(NotEditable):
            text_of(row)

    def test_the_places_with_two_sides_are_gone_through_and_round(self) -> None:
        twice = DRAFT + DRAFT
        assert next_place(twice, -1) == 1
        assert next_place(twice, 1) == 1 + len(DRAFT.splitlines())
        assert next_place(twice, 99) == 1
        assert next_place("all settled", 0) is None


class TestTaking:
    @pytest.mark.parametrize("mark", [BEGIN, BASE, BETWEEN, END])
    def test_no_mark_may_be_left(self, mark: str) -> None:
        assert why_not(a_row("main.py", DRAFT), f"a\n{mark}\nb\n").startswith("Line 2 still marks two sides")
        assert why_not(a_row("main.py", DRAFT), "a\nb\n") == ""

    def test_a_rule_of_the_file_itself_may_stay(self) -> None:
        row = a_row("README.md", "Weather\n=======\n" + DRAFT)
        assert why_not(row, "Weather\n=======\nGood.\n") == ""
        assert "Line 2" in why_not(row, "Weather\n=======\n=======\n")

    def test_json_and_toml_must_be_readable(self) -> None:
        assert "a.json could not be read" in why_not(a_row("a.json", DRAFT), '{"a": }')
        assert "a.toml could not be read" in why_not(a_row("a.toml", DRAFT), "a = ")
        assert why_not(a_row("a.json", DRAFT), '{"a": 1}') == ""

    def test_lines_end_as_those_of_the_file_do(self) -> None:
        windows = "a\r\n<<<<<<< mine\nb\r\n||||||| base\n=======\nc\r\n>>>>>>> theirs\n"
        assert with_its_breaks(a_row("main.py", windows), "a\nb\n") == "a\r\nb\r\n"
        assert with_its_breaks(a_row("main.py", DRAFT), "a\nb\n") == "a\nb\n"
