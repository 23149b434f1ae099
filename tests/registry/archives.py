"""Archives and forms as friends and enemies make them."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Mapping

Files = Mapping[str, bytes]


def zip_of(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    return zip_with(*(zip_member(path, content, compression=compression) for path, content in files.items()))


def zip_member(
    path: str, content: bytes, *, mode: int = stat.S_IFREG | 0o644, compression: int = zipfile.ZIP_DEFLATED
) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo()
    info.filename = info.orig_filename = path  # the constructor would cut at a NUL
    info.external_attr = mode << 16
    info.compress_type = compression
    return info, content


def zip_with(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for info, content in members:
            archive.writestr(info, content)
    return made.getvalue()


def tar_member(path: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644):
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = kind, target, mode
    info.size = len(content)
    return info, content


def tar_gz(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    return gzip.compress(tar(*members, format=format), 6)


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def tar_of(files: Files, format: int = tarfile.PAX_FORMAT) -> bytes:
    return tar_gz(*(tar_member(path, content) for path, content in files.items()), format=format)


BOUNDARY = "aPaRt"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form_of(files: Files) -> bytes:
    """Each file in a field that its path names."""
    return form(*((f'name="{path}"; filename="{path.rsplit("/", 1)[-1]}"', content) for path, content in files.items()))


def form(*parts: tuple[str, bytes]) -> bytes:
    """(what follows `form-data;`, content)"""
    made = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode("utf-8", "surrogateescape")
        + content
        + b"\r\n"
        for about, content in parts
    )
    return made + f"--{BOUNDARY}--\r\n".encode()
