"""Reads the files out of a tar stream (POSIX.1-1988 ustar, POSIX.1-2001 pax, and GNU's long names), and nothing else.

The standard library's reader takes extended headers of any length into memory, and on Pythons that are still in use can
be kept busy for ever by a crafted one (CVE-2024-6232, CVE-2025-8194). What is needed here is small enough to be strict.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from local_server.domain.registry_errors import UploadRefused

BLOCK: Final = 512
CHUNK_BYTES: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 64 * 1024
"""Of an extended header, which holds a path and some times."""

Read = Callable[[int], bytes]
"""Up to that many bytes; fewer only at the end."""

_FILES = (b"0", b"\0", b"7")
_DIRECTORY = b"5"
_REFUSED = {
    b"1": "is a hard link",
    b"2": "is a symbolic link",
    b"3": "is a device",
    b"4": "is a device",
    b"6": "is a pipe",
    b"S": "is a sparse file",
}
_AGAIN = "Make it again: tar -czf code.tar.gz FILES"


@dataclass(frozen=True, slots=True)
class TarMember:
    path: str
    is_dir: bool
    executable: bool
    size_bytes: int


def tar_members(read: Read) -> Iterator[tuple[TarMember, Iterator[bytes]]]:
    """Each file and directory with its bytes, which must be taken before the next member is asked for.

    Raises UploadRefused for links, devices, and whatever is not clear.
    """
    named = ""
    sized: int | None = None
    while block := _next_header(read):
        kind, size = block[156:157], _number(block[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            extended = _extended(read, size)
            if kind == b"x":
                said = _pax(extended)
                named, sized = said.get("path", named), int(said["size"]) if "size" in said else sized
            elif kind == b"L":
                named = _text(extended.rstrip(b"\0"))
            elif kind == b"g" and _pax(extended).keys() & {"path", "size"}:
                raise UploadRefused("The archive gives all its members one path or size", _AGAIN)
            continue
        member = _member(block, kind, named, size if sized is None else sized)
        named, sized = "", None
        yield member, _content(read, member)


def _member(block: bytes, kind: bytes, named: str, size: int) -> TarMember:
    path = named or _own_name(block)
    if kind in _REFUSED:
        raise UploadRefused(_REFUSED[kind], "Upload plain files only.", path)
    if kind not in (*_FILES, _DIRECTORY):
        raise UploadRefused(f"is of an unknown kind ({kind!r})", "Upload plain files only.", path)
    # Before ustar a directory was a file whose name ends in a slash.
    is_dir = kind == _DIRECTORY or path.endswith("/")
    return TarMember(path, is_dir, bool(_number(block[100:108]) & 0o100), 0 if is_dir else size)


def _next_header(read: Read) -> bytes:
    """The next header block; empty at the end of the archive."""
    block = read(BLOCK)
    if not block or block == bytes(BLOCK):
        return b""
    if len(block) < BLOCK:
        raise _cut_off()
    summed = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    if summed != _number(block[148:156]):
        raise UploadRefused("The archive is damaged, or is no tar archive: a header's checksum is wrong", _AGAIN)
    return block


def _own_name(block: bytes) -> str:
    name = _text(block[:100].partition(b"\0")[0])
    prefix = _text(block[345:500].partition(b"\0")[0]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form for what they cannot hold."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ")
    if not all(digit in b"01234567" for digit in digits):
        raise UploadRefused("The archive is damaged: a header holds no number where one belongs", _AGAIN)
    return int(digits or b"0", 8)


def _extended(read: Read, size: int) -> bytes:
    if size > MAX_HEADER_BYTES:
        raise UploadRefused(f"The archive has a header of {size:,} bytes; {MAX_HEADER_BYTES:,} are allowed", _AGAIN)
    padded = read(_padded(size))
    if len(padded) < size:
        raise _cut_off()
    return padded[:size]


def _pax(records: bytes) -> dict[str, str]:
    """`LENGTH key=value\\n` again and again, LENGTH counting all of it."""
    found: dict[str, str] = {}
    while records:
        length, _, _ = records[:8].partition(b" ")
        end = int(length) if length.isdigit() else 0
        key, equals, value = records[len(length) + 1 : end - 1].partition(b"=")
        if end > len(records) or not equals or records[end - 1 : end] != b"\n":
            raise UploadRefused("The archive is damaged: an extended header cannot be read", _AGAIN)
        name = _text(key)
        if name.startswith("GNU.sparse") or (name == "size" and not (value.isdigit() and len(value) < 20)):
            raise UploadRefused(f"The archive has a header that is not taken: {name[:60]}", _AGAIN)
        found[name] = _text(value)
        records = records[end:]
    return found


def _content(read: Read, member: TarMember) -> Iterator[bytes]:
    left = member.size_bytes
    while left:
        chunk = read(min(CHUNK_BYTES, left))
        if not chunk:
            raise _cut_off()
        left -= len(chunk)
        yield chunk
    padding = _padded(member.size_bytes) - member.size_bytes
    if len(read(padding)) < padding:
        raise _cut_off()


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _cut_off() -> UploadRefused:
    return UploadRefused("The archive is cut off", "Send it again, whole.")
