"""The pack format: what goes in comes out, little for a little change, and nothing damaged or bloated gets through."""

import hashlib
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.domain import packs
from local_server.domain.packs import Frame, PackedBlob, PackReader, make_frame, read_frame, write_pack
from local_server.domain.sync_errors import PackDamaged, PackTooLarge

contents = st.binary(max_size=2000)


def noise(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


def read_all(pack: bytes, step: int = 1 << 20) -> tuple[bytes, list[Frame]]:
    """A pack that arrives `step` bytes at a time; the head is a JSON list of `PackedBlob`s' values."""
    reader, frames, expected = PackReader(), [], False
    for at in range(0, len(pack), step):
        reader.feed(pack[at : at + step])
        if reader.head is not None and not expected:
            reader.expect([PackedBlob(*values) for values in json.loads(reader.head)])
            expected = True
        if expected:
            frames += reader.frames()
    reader.finish()
    assert reader.head is not None
    return reader.head, frames


def head_of(*frames: Frame) -> bytes:
    blobs = [frame.blob for frame in frames]
    values = [[b.sha256, b.size_bytes, b.packed_bytes, b.base_path, b.prefix_bytes, b.suffix_bytes] for b in blobs]
    return json.dumps(values).encode()


class TestFrame:
    @given(content=contents, base=contents)
    def test_gives_back_what_went_in_with_or_without_a_base(self, content: bytes, base: bytes) -> None:
        assert read_frame(make_frame(content)) == content
        assert read_frame(make_frame(content, "main.py", base), base) == content

    @given(base=st.binary(min_size=1, max_size=2000), at=st.integers(0, 1999), inserted=st.binary(max_size=50))
    def test_of_an_edit_gives_back_the_edited(self, base: bytes, at: int, inserted: bytes) -> None:
        at %= len(base)
        content = base[:at] + inserted + base[at + 3 :]
        assert read_frame(make_frame(content, "main.py", base), base) == content

    @pytest.mark.parametrize("at", [0, 40_000, 1_000_000, 1_999_990])
    def test_of_one_changed_line_in_a_large_file_is_small_wherever_it_is(self, at: int) -> None:
        base = noise(2_000_000)
        content = base[:at] + b"one new line\n" + base[at + 10 :]
        frame = make_frame(content, "data.bin", base)
        assert len(frame.data) < 40
        assert read_frame(frame, base) == content

    def test_takes_no_base_that_does_not_help(self) -> None:
        assert make_frame(noise(500, 1), "main.py", noise(500, 2)).blob.base_path is None

    @given(st.data())
    def test_with_a_flipped_bit_is_refused(self, data: st.DataObject) -> None:
        base = noise(3000)
        content = base[:1000] + b"changed" + base[1010:]
        frame = make_frame(content, "main.py", base)
        place = data.draw(st.integers(0, len(frame.data) * 8 - 1))
        flipped = bytearray(frame.data)
        flipped[place // 8] ^= 1 << place % 8
        # The last bits of a deflate stream may be padding, which says nothing.
        try:
            assert read_frame(Frame(frame.blob, bytes(flipped)), base) == content
        except PackDamaged:
            return

    def test_on_another_base_is_refused(self) -> None:
        base = noise(3000)
        frame = make_frame(base[:1000] + b"changed" + base[1010:], "main.py", base)
        with pytest.raises(PackDamaged, match=r"is not what its hash says|cannot be unpacked"):
            read_frame(frame, noise(3000, 2))

    def test_that_unpacks_to_more_than_announced_stops_there(self) -> None:
        bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = bomb.compress(bytes(50_000_000)) + bomb.flush()
        blob = PackedBlob(hashlib.sha256(b"x").hexdigest(), 1, len(data))
        with pytest.raises(PackDamaged, match="does not have the 1 bytes"):
            read_frame(Frame(blob, data))

    @pytest.mark.parametrize(("prefix", "suffix"), [(11, 0), (0, 11), (6, 6), (5, 5)])
    def test_that_takes_more_than_its_base_has_or_the_blob_holds_is_refused(self, prefix: int, suffix: int) -> None:
        blob = PackedBlob("0" * 64, 9, 2, "main.py", prefix, suffix)
        with pytest.raises(PackDamaged, match="more from its base"):
            read_frame(Frame(blob, b"\x03\x00"), bytes(10) if prefix + suffix > 10 else bytes(9))


class TestPack:
    @pytest.mark.parametrize("step", [1, 7, 1 << 20])
    def test_arrives_in_any_pieces(self, step: int) -> None:
        frames = [make_frame(noise(100, seed)) for seed in range(5)] + [make_frame(b"")]
        head, found = read_all(write_pack(head_of(*frames), frames), step)
        assert head == head_of(*frames)
        assert found == frames

    @given(st.data())
    def test_of_which_one_bit_of_the_head_is_flipped_is_refused(self, data: st.DataObject) -> None:
        frames = [make_frame(b"hello")]
        pack = bytearray(write_pack(head_of(*frames), frames))
        place = data.draw(st.integers(0, (len(pack) - len(frames[0].data)) * 8 - 1))
        pack[place // 8] ^= 1 << place % 8
        with pytest.raises((PackDamaged, PackTooLarge)):
            read_all(bytes(pack))

    @pytest.mark.parametrize("cut", [1, 5, 20, -1])
    def test_that_ends_too_early_is_refused(self, cut: int) -> None:
        frames = [make_frame(noise(100))]
        with pytest.raises(PackDamaged, match="ends too early"):
            read_all(write_pack(head_of(*frames), frames)[:cut])

    def test_with_something_behind_it_is_refused(self) -> None:
        frames = [make_frame(b"hello")]
        with pytest.raises(PackDamaged, match="behind its last frame"):
            read_all(write_pack(head_of(*frames), frames) + b"!")

    def test_whose_head_is_a_bomb_stops_at_the_limit(self) -> None:
        bomb = write_pack(b" " * (packs.MAX_HEAD_BYTES + 1))
        assert len(bomb) < 100_000
        with pytest.raises(PackTooLarge, match="head"):
            PackReader().feed(bomb)

    def test_that_announces_a_huge_head_is_refused_before_it_arrives(self) -> None:
        with pytest.raises(PackTooLarge, match="head"):
            PackReader().feed(b"AMP1\xff\xff\xff\xff")

    @pytest.mark.parametrize(
        ("blobs", "what"),
        [
            ([PackedBlob("0" * 64, packs.MAX_BLOB_BYTES + 1, 1)], "blob"),
            ([PackedBlob("0" * 64, 1, packs.MAX_FRAMES_BYTES), PackedBlob("1" * 64, 1, 1)], "frames"),
            ([PackedBlob("0" * 64, packs.MAX_BLOB_BYTES, 1)] * 9, "content"),
            ([PackedBlob("0" * 64, 0, 0)] * (packs.MAX_BLOBS + 1), "number of blobs"),
        ],
    )
    def test_that_announces_too_much_is_refused_before_it_arrives(self, blobs: list[PackedBlob], what: str) -> None:
        reader = PackReader()
        reader.feed(write_pack(b"{}"))
        with pytest.raises(PackTooLarge, match=what):
            reader.expect(blobs)
