"""What the body of an upload holds: the files of a form, or of one .zip or .tar.gz, read member by member. Blocking.

Nothing that a header says of a size is believed: `Staging` counts what comes out.
"""

import gzip
import stat
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from local_server.domain.registry_errors import UploadRefused, UploadTooLarge
from local_server.registry.staging import Staging
from local_server.registry.tar_members import tar_members

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

CHUNK_BYTES: Final = 64 * 1024
MAX_INDEX_BYTES: Final = 8 * 1024 * 1024
"""Of a zip file's central directory, which is read whole."""

ARCHIVE_SUFFIXES = (".zip", ".tar.gz", ".tgz")
# Fields whose name says nothing: the file's own name is its path. Any other field is named by the path.
_PLAIN_FIELDS = frozenset({"", "file", "files", "file[]", "files[]", "upload", "archive", "code"})
_END = b"PK\x05\x06"
_END_BYTES = 22
_MAX_COMMENT_BYTES = 65535
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP_AGAIN = "Make it again: zip -r code.zip FILES"


def read_body(body: IO[bytes], content_type: str, staging: Staging) -> None:
    """Stage every file in `body`. Raises UploadRefused, UploadTooLarge, OSError."""
    if parse_options_header(content_type)[0] == b"multipart/form-data":
        _read_form(body, content_type, staging)
    else:
        _read_archive(body, staging)


def _read_archive(body: IO[bytes], staging: Staging) -> None:
    """What it is, its first bytes tell: clients give archives all kinds of types."""
    size_bytes = body.seek(0, 2)
    body.seek(0)
    beginning = body.read(4)
    body.seek(0)
    staging.unpacking(size_bytes)
    if beginning[:2] == b"PK":
        _read_zip(body, size_bytes, staging)
    elif beginning[:2] == b"\x1f\x8b":
        _read_tar_gz(body, staging)
    else:
        raise UploadRefused(
            "The upload is neither a form with files nor a .zip or .tar.gz",
            "Send files with: curl -F main.py=@main.py …, or an archive with: curl --data-binary @code.tar.gz …",
        )


# -- Form --------------------------------------------------------------------------------------------------------------


def _read_form(body: IO[bytes], content_type: str, staging: Staging) -> None:
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise UploadRefused("The form's Content-Type names no boundary", "Send it with: curl -F main.py=@main.py …")
    form = _Form(staging)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        while chunk := body.read(CHUNK_BYTES):
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise UploadRefused(f"The form cannot be read: {error}", "Send it with: curl -F main.py=@main.py …") from None
    if not form.ended:
        raise UploadRefused("The form is cut off", "Send it again, whole.")
    if form.archive and len(staging.files) == 1:
        with staging.discard(form.archive).open("rb") as archive:
            _read_archive(archive, staging)


class _Form:
    """Hears from the parser what comes, and stages it."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self.archive = ""
        """The path of a file that may be an archive to unpack, if it comes alone."""
        self.ended = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_file,
            "on_part_data": lambda data, start, end: self._staging.write(data[start:end]),
            "on_part_end": self._staging.end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = b""

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        name.clear()
        value.clear()

    def _begin_file(self) -> None:
        # Browsers and curl send names in UTF-8; the parser takes what it is given for Latin-1.
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "surrogateescape")
        name = options.get(b"filename", b"").decode("utf-8", "surrogateescape")
        if field in _PLAIN_FIELDS:
            if not name:
                raise UploadRefused(f"The form's field {field!r} is no file", "Send files: curl -F main.py=@main.py …")
            if name.lower().endswith(ARCHIVE_SUFFIXES):
                self.archive = name
        self._staging.begin(name if field in _PLAIN_FIELDS else field)

    def _end(self) -> None:
        self.ended = True


# -- Zip ---------------------------------------------------------------------------------------------------------------


def _read_zip(body: IO[bytes], size_bytes: int, staging: Staging) -> None:
    _check_index(body, size_bytes)
    try:
        with zipfile.ZipFile(body) as archive:
            for member in archive.infolist():
                _read_zip_member(archive, member, staging)
    # What a damaged archive makes the standard library raise is not only what it documents.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error) as error:
        raise UploadRefused(f"The archive is damaged or cut off: {error}", _ZIP_AGAIN) from None


def _read_zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, staging: Staging) -> None:
    # `filename` is what is left after the standard library cut it at a NUL; the name as it stands is judged.
    path = member.orig_filename.removeprefix("./")
    mode = member.external_attr >> 16
    if path.endswith("/"):
        staging.note_directory(path.removesuffix("/"))
        return
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "a device or a pipe"
        raise UploadRefused(f"is {kind}", "Upload plain files only.", path)
    if member.flag_bits & 0x1:
        raise UploadRefused("is encrypted", "Make the archive without a password.", path)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Others may ask for gigabytes of memory before their first byte.
        raise UploadRefused("is compressed in an unusual way", "Make the archive with: zip -r code.zip FILES", path)
    staging.begin(path, bool(mode & 0o100) if mode else None)
    written = 0
    with archive.open(member) as file:
        while chunk := file.read(CHUNK_BYTES):
            staging.write(chunk)
            written += len(chunk)
    if written != member.file_size:
        raise UploadRefused(f"has {written:,} bytes, but says it has {member.file_size:,}", _ZIP_AGAIN, path)
    staging.end()


def _check_index(body: IO[bytes], size_bytes: int) -> None:
    """Refuse an index so long that reading it would fill the memory, before the standard library reads it."""
    body.seek(max(0, size_bytes - _END_BYTES - _MAX_COMMENT_BYTES - _END_BYTES))
    tail = body.read()
    body.seek(0)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise UploadRefused("The archive is damaged or cut off: its end is missing", _ZIP_AGAIN)
    if _ZIP64_LOCATOR in tail[max(0, at - _END_BYTES) : at]:
        raise UploadRefused("The archive is a zip64, made for more than is allowed here", _ZIP_AGAIN)
    (index_bytes,) = struct.unpack_from("<L", tail, at + 12)
    if index_bytes > MAX_INDEX_BYTES:
        raise UploadTooLarge(f"The archive's index has {index_bytes:,} bytes", "Leave out what is not code.")


# -- Tar ---------------------------------------------------------------------------------------------------------------


def _read_tar_gz(body: IO[bytes], staging: Staging) -> None:
    try:
        with gzip.GzipFile(fileobj=body, mode="rb") as unzipped:
            for member, content in tar_members(unzipped.read):
                path = member.path.removeprefix("./")
                if member.is_dir:
                    staging.note_directory(path.removesuffix("/"))
                    continue
                staging.begin(path, member.executable)
                for chunk in content:
                    staging.write(chunk)
                staging.end()
            _read_rest(unzipped)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UploadRefused(
            f"The archive is damaged or cut off: {error}", "Make it again: tar -czf code.tar.gz FILES"
        ) from None


def _read_rest(unzipped: gzip.GzipFile) -> None:
    """To the end, where the checksum stands; what follows an archive is padding, and not endless."""
    rest = 0
    while chunk := unzipped.read(CHUNK_BYTES):
        rest += len(chunk)
        if rest > 1024 * 1024:
            raise UploadTooLarge("The archive goes on after its end", "Make it again: tar -czf code.tar.gz FILES")
