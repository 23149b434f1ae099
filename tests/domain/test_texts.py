"""What can be read of a body as it passed."""

import gzip
import zlib

import pytest

from local_server.domain.exchanges import Body
from local_server.domain.texts import MOST_UNPACKED_BYTES, text_of, unpacked


def whole(content: bytes) -> Body:
    return Body(content, len(content))


class TestText:
    @pytest.mark.parametrize(
        ("content", "kind", "text"),
        [
            (b"", "", ""),
            ("é".encode(), "text/plain", "é"),
            (b"\xe9", "text/plain; charset=ISO-8859-1", "é"),
            (b"\xe9", "text/plain; charset=nonsense", None),
            ("é".encode("utf-16"), 'text/plain; charset="utf-16"', "é"),
            (b"<svg/>", "image/svg+xml", "<svg/>"),
            (b"GIF89a", "image/gif", None),
            (b"a\0b", "text/plain", None),
            (b"\x01\x02\x03\x04", "application/octet-stream", None),
            (b"\x1b[31mred", "text/plain", "\x1b[31mred"),
        ],
    )
    def test_one(self, content: bytes, kind: str, text: str | None) -> None:
        assert text_of(whole(content), (("content-type", kind),)) == text

    def test_a_character_that_was_cut_is_left_out(self) -> None:
        assert text_of(Body("aé".encode()[:2], 3), ()) == "a"


class TestUnpacking:
    @pytest.mark.parametrize(
        ("coding", "content"),
        [
            ("gzip", gzip.compress(b"ham", mtime=0)),
            ("deflate", zlib.compress(b"ham")),
            ("deflate", zlib.compress(b"ham")[2:-4]),
            ("identity", b"ham"),
        ],
    )
    def test_it_is_undone(self, coding: str, content: bytes) -> None:
        assert unpacked(whole(content), (("content-encoding", coding),)) == b"ham"

    def test_of_what_was_cut_the_beginning_is_read(self) -> None:
        packed = gzip.compress(b"ham " * 10_000)
        found = unpacked(Body(packed[:-20], len(packed)), (("content-encoding", "gzip"),))
        assert found is not None
        assert found.startswith(b"ham ham")

    def test_a_bomb_does_not_go_off(self) -> None:
        bomb = gzip.compress(bytes(50_000_000))
        found = unpacked(whole(bomb), (("content-encoding", "gzip"),))
        assert found is not None
        assert len(found) == MOST_UNPACKED_BYTES

    @pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br"])
    def test_what_cannot_be_is_not_guessed_at(self, coding: str) -> None:
        assert unpacked(whole(b"ham"), (("content-encoding", coding),)) is None

    def test_what_only_says_so_is_not_either(self) -> None:
        assert unpacked(whole(b"ham"), (("content-encoding", "gzip"),)) is None
