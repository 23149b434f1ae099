import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.cli import text


class TestClean:
    @pytest.mark.parametrize(
        ("dirty", "clean"),
        [
            ("plain\ttab\nline", "plain\ttab\nline"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b[2J\x1b[Hwiped", "wiped"),
            ("\x9b31mred", "red"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b]52;c;ZXZpbA==\x07", ""),
            ("\x1bP1$r\x1b\\after", "after"),
            ("\x1bcreset", "reset"),
            ("a\rb\x08\x07\x00\x7f\x85c", "abc"),
            ("windows\r\n", "windows\n"),
            ("\u202edesrever\u2066", "desrever"),
            ("\x1b", ""),
            ("ümlaut ✓ 漢", "ümlaut ✓ 漢"),
        ],
    )
    def test_nothing_steers_the_terminal(self, dirty: str, clean: str) -> None:
        assert text.clean(dirty) == clean

    @given(st.text())
    def test_no_control_survives_whatever_comes(self, dirty: str) -> None:
        assert not any((ord(c) < 32 and c not in "\t\n") or 0x7F <= ord(c) <= 0x9F for c in text.clean(dirty))

    @given(st.text(alphabet=st.characters(exclude_categories=["C"])))
    def test_text_without_controls_stays(self, harmless: str) -> None:
        assert text.clean(harmless) == harmless

    def test_a_line_is_one_line(self) -> None:
        assert text.line_of(" a\n\n  b\x1b[1mc ") == "a bc"


class TestTable:
    def test_columns_line_up(self) -> None:
        assert text.table(["A", "B"], [["wide one", "x"], ["y", "z"]]) == "A         B\nwide one  x\ny         z"

    def test_wide_characters_count_twice(self) -> None:
        assert text.table(["A", "B"], [["漢字", "x"]]) == "A     B\n漢字  x"


class TestFigures:
    @pytest.mark.parametrize(
        ("value", "written"), [(None, "–"), (0.42, "0.4 ms"), (68.4, "68 ms"), (999.0, "999 ms"), (1234.0, "1.2 s")]
    )
    def test_milliseconds(self, value: float | None, written: str) -> None:
        assert text.milliseconds(value) == written

    @pytest.mark.parametrize(
        ("count", "written"), [(812, "812 B"), (3482, "3.4 KiB"), (100 << 20, "100 MiB"), (3 << 30, "3.0 GiB")]
    )
    def test_sizes(self, count: int, written: str) -> None:
        assert text.binary_size(count) == written

    def test_an_unreadable_time_is_shown_cleaned(self) -> None:
        assert text.clock("\x1b[31msoon") == "soon"
