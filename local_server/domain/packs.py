"""A pack: one JSON head and the contents of some blobs, in one body (docs/sync.md).

    pack  = "AMP1" size:u32be head frame*
    head  = zlib stream of a JSON object, against DICTIONARY; `blobs` in it says which frames follow, in their order
    frame = raw deflate stream of a blob, or of the part of it that its base has not

A blob that changed little is sent as what lies between the beginning and the end it has in common with its base (the
file at `base_path` in the base tree), compressed against the base around that place. Nothing here trusts what it
reads: sizes are bounded before memory is spent, and a blob that is not what its hash says is refused.
"""

import hashlib
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from local_server.domain.pack_dictionary import DICTIONARY
from local_server.domain.sync_errors import PackDamaged, PackTooLarge

MAGIC: Final = b"AMP1"
MEDIA_TYPE: Final = "application/vnd.apimarket.pack"
MAX_HEAD_BYTES = 16 * 1024 * 1024
"""Of a head, unpacked: a tree of 20,000 files with long paths has less."""
MAX_PACKED_HEAD_BYTES = 6 * 1024 * 1024
MAX_FRAMES_BYTES = 8 * 1024 * 1024
"""Of all frames of one pack together, as they are sent."""
MAX_BLOB_BYTES = 8 * 1024 * 1024
"""Of one blob in a pack, and of its base. Larger ones are sent alone."""
MAX_CONTENT_BYTES = 64 * 1024 * 1024
"""Of all blobs of one pack, unpacked."""
MAX_BLOBS = 20_000
_PREFIX_BYTES = len(MAGIC) + 4
_RAW_DEFLATE = -15
# Together a little under the 32 KiB that deflate looks back.
_AROUND_BYTES = 15 * 1024


@dataclass(frozen=True, slots=True)
class PackedBlob:
    """What the head says of one frame."""

    sha256: str
    size_bytes: int
    packed_bytes: int
    base_path: str | None = None
    """Where in the base tree the file is whose beginning and end this blob has."""
    prefix_bytes: int = 0
    suffix_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    blob: PackedBlob
    data: bytes


def make_frame(content: bytes, base_path: str | None = None, base: bytes | None = None) -> Frame:
    """Pack one blob; against `base`, the file at `base_path`, where that makes it smaller."""
    whole = _frame(content, None, b"", 0, 0)
    if base is None or base_path is None or len(base) > MAX_BLOB_BYTES:
        return whole
    prefix = _common_prefix(content, base)
    suffix = _common_prefix(content[prefix:][::-1], base[prefix:][::-1])
    delta = _frame(content, base_path, base, prefix, suffix)
    return delta if len(delta.data) < len(whole.data) else whole


def read_frame(frame: Frame, base: bytes | None = None) -> bytes:
    """The blob, checked against its hash. `base` is the content of its base, for one that has one. Raises PackDamaged
    without having unpacked more than the head announced."""
    blob = frame.blob
    known = base if blob.base_path is not None and base is not None else b""
    middle_bytes = blob.size_bytes - blob.prefix_bytes - blob.suffix_bytes
    if middle_bytes < 0 or blob.prefix_bytes + blob.suffix_bytes > len(known):
        raise PackDamaged(f"the blob {blob.sha256} takes more from its base than there is")
    unpacker = zlib.decompressobj(_RAW_DEFLATE, zdict=_around(known, blob.prefix_bytes))
    middle = _unpack(unpacker, frame.data, middle_bytes, f"the blob {blob.sha256}")
    content = known[: blob.prefix_bytes] + middle + known[len(known) - blob.suffix_bytes :]
    if hashlib.sha256(content).hexdigest() != blob.sha256:
        raise PackDamaged(f"the blob {blob.sha256} is not what its hash says")
    return content


def write_pack(head: bytes, frames: Iterable[Frame] = ()) -> bytes:
    """`head` is the JSON object; its `blobs` must be those of `frames`, in their order."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zdict=DICTIONARY)
    packed = packer.compress(head) + packer.flush()
    return b"".join((MAGIC, len(packed).to_bytes(4, "big"), packed, *(frame.data for frame in frames)))


class PackReader:
    """Takes a pack piece by piece, as it arrives, and gives out what is whole. Holds no more than one head or the
    frames that were not yet taken.

    Call `feed` until `head` is there, `expect` with what the head says, and `frames` after each further `feed`; at the
    end `finish`. Raises PackDamaged, PackTooLarge.
    """

    def __init__(self) -> None:
        self.head: bytes | None = None
        self._buffer = bytearray()
        self._expected: deque[PackedBlob] | None = None
        self._rest_bytes = MAX_FRAMES_BYTES

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if self.head is None:
            self._read_head()
        if self.head is not None and len(self._buffer) > self._rest_bytes:
            raise PackTooLarge("frames", self._rest_bytes)

    def expect(self, blobs: Sequence[PackedBlob]) -> None:
        """The frames that follow."""
        _check_sizes(blobs)
        self._expected = deque(blobs)
        self._rest_bytes = sum(blob.packed_bytes for blob in blobs)
        if len(self._buffer) > self._rest_bytes:
            raise PackDamaged("there is something behind its last frame")

    def frames(self) -> Iterator[Frame]:
        """Those that are whole by now, each once."""
        assert self._expected is not None
        while self._expected and len(self._buffer) >= self._expected[0].packed_bytes:
            blob = self._expected.popleft()
            data = bytes(self._buffer[: blob.packed_bytes])
            del self._buffer[: blob.packed_bytes]
            self._rest_bytes -= blob.packed_bytes
            yield Frame(blob, data)

    def finish(self) -> None:
        """Raises PackDamaged when something is missing still."""
        if self.head is None or self._expected:
            raise PackDamaged("it ends too early")

    def _read_head(self) -> None:
        if len(self._buffer) < _PREFIX_BYTES:
            return
        if self._buffer[: len(MAGIC)] != MAGIC:
            raise PackDamaged(f"it does not begin with {MAGIC.decode()}")
        size_bytes = int.from_bytes(self._buffer[len(MAGIC) : _PREFIX_BYTES], "big")
        if size_bytes > MAX_PACKED_HEAD_BYTES:
            raise PackTooLarge("head", MAX_PACKED_HEAD_BYTES)
        end = _PREFIX_BYTES + size_bytes
        if len(self._buffer) >= end:
            packed = bytes(self._buffer[_PREFIX_BYTES:end])
            del self._buffer[:end]
            self.head = _unpack_head(packed)


def _unpack_head(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS, zdict=DICTIONARY)
    try:
        head = unpacker.decompress(packed, MAX_HEAD_BYTES)
    except zlib.error as error:
        raise PackDamaged(f"its head cannot be unpacked ({error})") from None
    if unpacker.unconsumed_tail:
        raise PackTooLarge("head", MAX_HEAD_BYTES)
    if not unpacker.eof or unpacker.unused_data:
        raise PackDamaged("its head is cut off, or has something behind it")
    return head


def _unpack(unpacker: "zlib._Decompress", data: bytes, size_bytes: int, what: str) -> bytes:
    try:
        # One byte more than is right, so that too long a stream is noticed, and 0 does not mean without bounds.
        content = unpacker.decompress(data, size_bytes + 1)
    except zlib.error as error:
        raise PackDamaged(f"{what} cannot be unpacked ({error})") from None
    if len(content) != size_bytes or not unpacker.eof or unpacker.unused_data:
        raise PackDamaged(f"{what} does not have the {size_bytes:,} bytes that its head says")
    return content


def _check_sizes(blobs: Sequence[PackedBlob]) -> None:
    if len(blobs) > MAX_BLOBS:
        raise PackTooLarge("number of blobs", MAX_BLOBS)
    for blob in blobs:
        if min(blob.size_bytes, blob.packed_bytes, blob.prefix_bytes, blob.suffix_bytes) < 0:
            raise PackDamaged(f"the blob {blob.sha256} has a size below nothing")
        if blob.size_bytes > MAX_BLOB_BYTES:
            raise PackTooLarge(f"blob {blob.sha256}", MAX_BLOB_BYTES)
    if sum(blob.packed_bytes for blob in blobs) > MAX_FRAMES_BYTES:
        raise PackTooLarge("frames", MAX_FRAMES_BYTES)
    if sum(blob.size_bytes for blob in blobs) > MAX_CONTENT_BYTES:
        raise PackTooLarge("content", MAX_CONTENT_BYTES)


def _frame(content: bytes, base_path: str | None, base: bytes, prefix: int, suffix: int) -> Frame:
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, 9, zdict=_around(base, prefix))
    middle = content[prefix : len(content) - suffix]
    data = packer.compress(middle) + packer.flush()
    sha256 = hashlib.sha256(content).hexdigest()
    return Frame(PackedBlob(sha256, len(content), len(data), base_path, prefix, suffix), data)


def _around(base: bytes, at: int) -> bytes:
    """What of the base a changed middle is compressed against."""
    return base[max(0, at - _AROUND_BYTES) : at + _AROUND_BYTES]


def _common_prefix(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
