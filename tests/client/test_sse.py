import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.client import sse
from local_server.client.sse import Decoder, Received, TooLarge


class TestDecoder:
    def test_an_event_ends_with_an_empty_line(self) -> None:
        assert list(Decoder().feed(b"id: 7\nevent: api\ndata: {}\n\n")) == [Received("api", "{}", "7")]

    def test_data_lines_are_joined(self) -> None:
        assert list(Decoder().feed(b"event: log\ndata: a\ndata: b\n\n")) == [Received("log", "a\nb", "")]

    def test_comments_and_unknown_fields_say_nothing(self) -> None:
        assert list(Decoder().feed(b": ping\n\nretry: 10\n\nfuture: x\n\n")) == []

    def test_crlf_is_lf(self) -> None:
        assert list(Decoder().feed(b"event: api\r\ndata: 1\r\n\r\n")) == [Received("api", "1", "")]

    def test_a_resync_needs_no_data(self) -> None:
        assert list(Decoder("4").feed(b"event: resync\n\n")) == [Received("resync", "", "4")]

    def test_line_separators_inside_json_do_not_cut(self) -> None:
        data = '{"text":"a\u2028b\u0085c"}'

        assert list(Decoder().feed(f"event: log\ndata: {data}\n\n".encode())) == [Received("log", data, "")]

    @given(st.lists(st.integers(1, 30)))
    def test_where_the_chunks_break_does_not_matter(self, sizes: list[int]) -> None:
        stream = "id: 1\nevent: api\ndata: ümlaut\n\n: ping\n\nid: 2\nevent: log\ndata: x\ndata: y\n\n".encode()
        decoder, received, at = Decoder(), [], 0
        for size in [*sizes, len(stream)]:
            received += list(decoder.feed(stream[at : at + size]))
            at += size

        assert received == [Received("api", "ümlaut", "1"), Received("log", "x\ny", "2")]

    @pytest.mark.parametrize("chunk", [b"x" * 100, b"data: x\n" * 20])
    def test_an_endless_event_is_refused(self, chunk: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 64)

        with pytest.raises(TooLarge):
            list(Decoder().feed(chunk))


class TestWaiting:
    def test_it_grows_and_stays_bounded(self) -> None:
        waits = [0.0]
        for _ in range(10):
            waits.append(sse.next_wait_s(waits[-1]))

        assert waits[1] == sse.FIRST_WAIT_S
        assert waits[-1] == sse.LONGEST_WAIT_S
        assert waits == sorted(waits)
