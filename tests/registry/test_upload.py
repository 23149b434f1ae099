import errno
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_server.domain.errors import ApimarketError
from local_server.domain.registry import Api
from local_server.domain.registry_errors import InvalidManifest, UnusableDirectory, UploadRefused, UploadTooLarge
from local_server.domain.storage_errors import StorageFull
from local_server.domain.trees import path_problem
from local_server.registry import staging, upload, upload_body
from local_server.registry.swap import Swap
from local_server.registry.tar_members import tar_members
from local_server.registry.upload import Uploaded, Uploads, take_upload
from local_server.registry.upload_routes import add_upload_route
from local_server.wire.apis import ApiView
from tests.registry import archives
from tests.registry.archives import FORM, form, form_of, tar_gz, tar_member, tar_of, zip_member, zip_of, zip_with
from tests.registry.conftest import House

MAIN = b"def handler(request): return {'by': 'upload'}\n"
MAKERS = {
    "form": (form_of, FORM),
    "zip": (zip_of, "application/zip"),
    "tar": (tar_of, "application/gzip"),
}
EACH_WAY = pytest.mark.parametrize(("make", "kind"), MAKERS.values(), ids=MAKERS)


@pytest.fixture
async def api(house: House) -> Api:
    directory = house.project("weather", main="def handler(request): return {}\n", old="OLD = 1\n")
    (directory / ".env").write_text("SECRET=1")
    return await house.registry.register(directory)


def root_of(api: Api) -> Path:
    return Path(api.directory)


def contents(api: Api) -> dict[str, bytes]:
    """Everything in the directory but its manifest, whatever it is called."""
    root = root_of(api)
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found.pop("apimarket.toml", None)
    return found


def send(api: Api, body: bytes, kind: str = "application/octet-stream", *, replace: bool = False) -> Uploaded:
    return take_upload(api, io.BytesIO(body), kind, replace=replace)


def refused(api: Api, body: bytes, kind: str = "application/octet-stream", *, replace: bool = False) -> ApimarketError:
    """The error; everything else is as it was before."""
    before = contents(api)
    with pytest.raises(ApimarketError) as error:
        send(api, body, kind, replace=replace)
    assert contents(api) == before
    assert sorted(path.name for path in root_of(api).iterdir() if path.name.startswith(".apimarket")) == []
    assert error.value.hint
    return error.value


class TestEachWayToSend:
    @EACH_WAY
    def test_files_are_written_and_the_others_stay(self, api: Api, make: Callable[..., bytes], kind: str):
        uploaded = send(api, make({"main.py": MAIN, "lib/deep/it.py": b"X = 1\n", "grüße.txt": b""}), kind)
        assert uploaded.written == ("grüße.txt", "lib/deep/it.py", "main.py")
        assert uploaded.size_bytes == len(MAIN) + 6
        assert uploaded.removed == ()
        new = {"main.py": MAIN, "lib/deep/it.py": b"X = 1\n", "grüße.txt": b""}
        assert contents(api) == new | {"old.py": b"OLD = 1\n", ".env": b"SECRET=1"}

    @EACH_WAY
    def test_replacing_removes_what_is_not_sent(self, api: Api, make: Callable[..., bytes], kind: str):
        (root_of(api) / "gone").mkdir()
        (root_of(api) / "gone" / "with.py").write_text("")
        uploaded = send(api, make({"main.py": MAIN}), kind, replace=True)
        assert uploaded.removed == ("gone/with.py", "old.py")
        assert contents(api) == {"main.py": MAIN, ".env": b"SECRET=1"}
        assert not (root_of(api) / "gone").exists()
        assert (root_of(api) / "apimarket.toml").exists()

    @EACH_WAY
    def test_a_large_file_passes_whole(self, api: Api, make: Callable[..., bytes], kind: str):
        large = os.urandom(3_000_000)
        send(api, make({"data.bin": large}), kind)
        assert contents(api)["data.bin"] == large

    @EACH_WAY
    def test_nothing_is_refused(self, api: Api, make: Callable[..., bytes], kind: str):
        assert isinstance(refused(api, make({}), kind), UploadRefused)

    @EACH_WAY
    def test_cut_off_anywhere_it_is_refused(self, api: Api, make: Callable[..., bytes], kind: str):
        body = make({"main.py": MAIN, "b.py": os.urandom(2000)})
        end = len(body) - (2 if kind == FORM else 0)  # a form's last line break says nothing
        for length in {0, 1, 3, 40, len(body) // 3, len(body) // 2, end - 30, end - 9, end - 1}:
            refused(api, body[:length], kind)


class TestForm:
    def test_fields_called_file_are_named_by_their_files(self, api: Api):
        body = form(('name="file"; filename="a.py"', b"1"), ('name="files"; filename="lib/b.py"', b"2"))
        assert send(api, body, FORM).written == ("a.py", "lib/b.py")

    def test_a_field_without_a_file_is_text(self, api: Api):
        assert send(api, form(('name="note.txt"', b"hello")), FORM).written == ("note.txt",)
        assert contents(api)["note.txt"] == b"hello"

    def test_one_archive_alone_is_unpacked(self, api: Api):
        body = form(('name="file"; filename="code.zip"', zip_of({"lib/it.py": b"1"})))
        assert send(api, body, FORM).written == ("lib/it.py",)

    def test_an_archive_among_files_is_a_file(self, api: Api):
        body = form(('name="file"; filename="a.zip"', b"PK"), ('name="file"; filename="b.py"', b""))
        assert send(api, body, FORM).written == ("a.zip", "b.py")

    def test_an_executable_stays_one(self, api: Api):
        (root_of(api) / "old.py").chmod(0o755)
        send(api, form_of({"old.py": b"#!", "new.py": b""}), FORM)
        assert (root_of(api) / "old.py").stat().st_mode & 0o111 == 0o111
        assert (root_of(api) / "new.py").stat().st_mode & 0o111 == 0

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"junk", FORM),
            (b"", FORM),
            (form_of({"a.py": b""}), "multipart/form-data"),
            (form_of({"a.py": b""}), "multipart/form-data; boundary=" + "x" * 300),
            (form(('name="file"', b"no file name")), FORM),
            (form(("nothing=1", b"")), FORM),
            (f"--{archives.BOUNDARY}\r\n\r\nno headers\r\n--{archives.BOUNDARY}--\r\n".encode(), FORM),
            (f"--{archives.BOUNDARY}\r\nA: {'x' * 100_000}\r\n\r\n".encode(), FORM),
            (b"print('hello')\n", "text/x-python"),
            (b"{}", "application/json"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, api: Api, body: bytes, kind: str):
        assert refused(api, body, kind).code == "upload_refused"


HOSTILE_PATHS = [
    "../escape.py",
    "lib/../../escape.py",
    "/etc/cron.d/x",
    "//server/share",
    "..",
    ".",
    "a//b.py",
    "a/./b.py",
    "a\\..\\b.py",
    "C:evil.py",
    "a\0.py",
    "a\nb.py",
    "a\x7f.py",
    "a\x1b[31m.py",
    "cafe\u0301.py",
    ".env",
    ".env.production",
    "conf/.env",
    ".git/hooks/post-checkout",
    ".GIT/hooks/post-checkout",
    ".g\u200cit/hooks/post-checkout",
    ".git./config",
    ".git /config",
    ".git::$INDEX_ALLOCATION/config",
    "GIT~1/config",
    ".ENV",
    "node_modules/x/index.js",
    "__pycache__/main.cpython-311.pyc",
    ".venv/bin/python",
    "a.tmp",
    ".apimarket-upload-0123456789abcdef/0.py",
    "x" * 256,
    "d/" * 600 + "x",
]


class TestHostilePaths:
    @pytest.mark.parametrize("path", HOSTILE_PATHS, ids=ascii)
    def test_zip(self, api: Api, path: str):
        # Written by hand, since the standard library would not write them all.
        assert isinstance(refused(api, zip_of({"main.py": MAIN, path: b"evil"})), UploadRefused)

    @pytest.mark.parametrize("path", [path for path in HOSTILE_PATHS if "\0" not in path], ids=ascii)
    @pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    def test_tar(self, api: Api, path: str, format: int):
        assert isinstance(refused(api, tar_of({"main.py": MAIN, path: b"evil"}, format)), ApimarketError)

    @pytest.mark.parametrize("path", [path for path in HOSTILE_PATHS if not {*path} & {*"\0\n"}], ids=ascii)
    def test_form(self, api: Api, path: str):
        assert isinstance(refused(api, form((f'name="{path}"', b"evil"), ('name="a.py"', b"")), FORM), UploadRefused)
        assert isinstance(refused(api, form((f'name="file"; filename="{path}"', b"evil")), FORM), UploadRefused)

    @pytest.mark.parametrize("path", ["../", "/etc/", "a/../../b/"])
    def test_directories_are_judged_too(self, api: Api, path: str):
        assert isinstance(refused(api, zip_of({"main.py": MAIN, path: b""})), UploadRefused)
        bad = tar_member(path, kind=tarfile.DIRTYPE)
        assert isinstance(refused(api, tar_gz(tar_member("main.py"), bad)), UploadRefused)

    def test_names_that_are_not_utf_8(self, api: Api):
        name = os.fsdecode(b"bad-\xff.py")
        assert refused(api, form((f'name="{name}"', b"")), FORM).extra["path"]
        assert refused(api, tar_of({name: b""}, tarfile.GNU_FORMAT)).extra["path"]

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        path=st.one_of(
            st.text(min_size=1, max_size=40),
            st.lists(st.sampled_from(["..", ".", "", "a", "b.py", ".git", ".env", "x\\y", "é", "e\u0301"]), min_size=1)
            .map("/".join)
            .filter(bool),
        )
    )
    @pytest.mark.parametrize("make", [zip_of, tar_of])
    def test_any_path_lands_inside_or_nowhere(self, tmp_path: Path, api: Api, make: Callable[..., bytes], path: str):
        try:
            body = make({path: b"x"})
        except (UnicodeEncodeError, ValueError):
            return
        around = {p for p in tmp_path.rglob("*") if not p.is_relative_to(root_of(api))}
        before = contents(api)
        try:
            uploaded = send(api, body)
        except ApimarketError:
            assert contents(api) == before
        else:
            (written,) = uploaded.written
            assert path_problem(written) is None
            assert contents(api) == before | {written: b"x"}
            (root_of(api) / written).unlink()
            for parent in (root_of(api) / written).parents:
                if parent == root_of(api):
                    break
                parent.rmdir()
        assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(root_of(api))} == around


class TestCollisions:
    @EACH_WAY
    @pytest.mark.parametrize(
        "paths", [("a.py", "A.py"), ("lib", "lib/a.py"), ("lib/a.py", "LIB"), ("Old.py", "x"), ("old.py/x", "y")]
    )
    def test_two_names_for_one_file(self, api: Api, make: Callable[..., bytes], kind: str, paths: tuple[str, ...]):
        assert isinstance(refused(api, make(dict.fromkeys(paths, b""))), UploadRefused) or kind == FORM
        assert isinstance(refused(api, make(dict.fromkeys(paths, b"")), kind), UploadRefused)

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_one_name_twice(self, api: Api):
        twice = [zip_member("a.py", b"1"), zip_member("a.py", b"2")]
        assert "twice" in refused(api, zip_with(*twice)).detail
        assert "twice" in refused(api, tar_gz(tar_member("a.py", b"1"), tar_member("./a.py", b"2"))).detail
        assert "twice" in refused(api, form(('name="a.py"', b"1"), ('name="a.py"', b"2")), FORM).detail

    def test_replacing_may_turn_a_file_into_a_directory_and_back(self, api: Api):
        send(api, zip_of({"main.py": MAIN, "old.py/inner.py": b"1"}), replace=True)
        assert contents(api) == {"main.py": MAIN, "old.py/inner.py": b"1", ".env": b"SECRET=1"}
        send(api, zip_of({"main.py": MAIN, "old.py": b"2"}), replace=True)
        assert contents(api) == {"main.py": MAIN, "old.py": b"2", ".env": b"SECRET=1"}

    def test_a_directory_that_keeps_ignored_files_is_not_replaced(self, api: Api):
        (root_of(api) / "lib").mkdir()
        (root_of(api) / "lib" / ".env").write_text("mine")
        assert "is a directory" in refused(api, zip_of({"main.py": MAIN, "lib": b""}), replace=True).detail


class TestKinds:
    @pytest.mark.parametrize(
        "kind",
        [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S", b"V", b"M", b"Z"],
    )
    def test_tar_links_and_devices(self, api: Api, kind: bytes):
        bad = tar_member("innocent.py", kind=kind, target="/etc/passwd")
        assert refused(api, tar_gz(tar_member("main.py", MAIN), bad)).extra["path"] == "innocent.py"

    def test_tar_link_then_a_file_through_it(self, api: Api, tmp_path: Path):
        link = tar_member("out", kind=tarfile.SYMTYPE, target=str(tmp_path))
        refused(api, tar_gz(link, tar_member("out/evil.py", b"")))
        assert not (tmp_path / "evil.py").exists()

    @pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
    def test_zip_links_and_devices(self, api: Api, kind: int):
        bad = zip_member("innocent.py", b"/etc/passwd", mode=kind | 0o777)
        assert refused(api, zip_with(bad)).extra["path"] == "innocent.py"

    @pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_unusual_compression(self, api: Api, compression: int):
        assert "unusual" in refused(api, zip_of({"a.py": b"x" * 100}, compression)).detail

    def test_encrypted(self, api: Api):
        body = bytearray(zip_of({"a.py": MAIN}))
        for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            body[body.index(signature) + flags] |= 1
        assert "encrypted" in refused(api, bytes(body)).detail

    def test_modes_come_along(self, api: Api):
        send(api, tar_gz(tar_member("run.sh", b"", mode=0o4755), tar_member("b.py", b"", mode=0o666)))
        assert (root_of(api) / "run.sh").stat().st_mode & 0o7777 & ~0o022 == 0o755
        assert (root_of(api) / "b.py").stat().st_mode & 0o111 == 0
        send(api, zip_with(zip_member("run.sh", b"", mode=stat.S_IFREG | 0o644)))
        assert (root_of(api) / "run.sh").stat().st_mode & 0o111 == 0


class TestLinksInTheDirectory:
    def test_one_that_leads_out_is_never_followed(self, api: Api, tmp_path: Path):
        outside = tmp_path / "outside"
        outside.mkdir()
        (root_of(api) / "out").symlink_to(outside)
        (root_of(api) / ".gitignore").write_text("/out\n")
        refused(api, zip_of({"out/evil.py": b""}))
        refused(api, zip_of({".gitignore": b"", "out/evil.py": b""}))
        assert list(outside.iterdir()) == []

    def test_swap_itself_refuses_to_pass_through_one(self, tmp_path: Path):
        root, outside = tmp_path / "root", tmp_path / "outside"
        root.mkdir()
        outside.mkdir()
        (root / "out").symlink_to(outside)
        with staging.Staging(root) as stage:
            stage.begin("out/evil.py")
            stage.end()
            with pytest.raises(UploadRefused, match="through a link"), Swap(root, stage) as swap:
                swap.put("out/evil.py", stage.files["out/evil.py"])
        assert list(outside.iterdir()) == []

    def test_a_linked_file_is_replaced_and_what_it_led_to_stays(self, api: Api):
        (root_of(api) / "alias.py").symlink_to("old.py")
        send(api, zip_of({"alias.py": b"NEW"}))
        assert not (root_of(api) / "alias.py").is_symlink()
        assert contents(api)["old.py"] == b"OLD = 1\n"


def zeros(size: int) -> Iterable[bytes]:
    for _ in range(size // 65536):
        yield bytes(65536)


def bomb_zip(size: int, said: int | None = None) -> bytes:
    """One member of `size` zeros, which says that it has `said`."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    crc, packed = 0, bytearray()
    for chunk in zeros(size):
        crc = zlib.crc32(chunk, crc)
        packed += packer.compress(chunk)
    packed += packer.flush()
    said = size if said is None else said
    fields = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0x21, crc, len(packed), said, 5, 0)
    local = b"PK\x03\x04" + fields + b"a.bin" + packed
    index = b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + b"a.bin"
    return local + index + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(index), len(local), 0)


def bomb_tar_gz(size: int) -> bytes:
    header = tarfile.TarInfo("a.bin")
    header.size = size
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bytearray(packer.compress(header.tobuf(tarfile.GNU_FORMAT)))
    for chunk in zeros(size):
        packed += packer.compress(chunk)
    return bytes(packed + packer.flush())


class TestBombs:
    @pytest.mark.parametrize("bomb", [bomb_zip, bomb_tar_gz])
    def test_are_cut_off_by_what_comes_out(self, api: Api, bomb: Callable[[int], bytes], monkeypatch: Any):
        written = 0
        write = staging.Staging.write

        def counted(self: staging.Staging, data: bytes) -> None:
            nonlocal written
            written += len(data)
            write(self, data)

        monkeypatch.setattr(staging.Staging, "write", counted)
        body = bomb(96 * 1024 * 1024)
        assert len(body) < 200_000
        assert isinstance(refused(api, body), UploadTooLarge)
        assert written < staging.RATIO_FREE_BYTES + staging.RATIO * len(body) + 2 * 65536

    def test_a_header_that_says_less_changes_nothing(self, api: Api):
        assert isinstance(refused(api, bomb_zip(1024 * 1024, said=100)), UploadRefused)

    @pytest.mark.parametrize("said", [2 * 1024**3 - 1, 1024 * 1024 + 1])
    def test_a_header_that_says_more_changes_nothing(self, api: Api, said: int):
        assert isinstance(refused(api, bomb_zip(1024 * 1024, said=said)), UploadRefused)

    def test_a_tar_header_of_2_gb_over_nothing(self, api: Api):
        header = tarfile.TarInfo("a.bin")
        header.size = 2 * 1024**3
        body = archives.gzip.compress(header.tobuf(tarfile.GNU_FORMAT))
        assert "cut off" in refused(api, body).detail

    def test_members_that_share_their_bytes_are_counted_each(self, api: Api, monkeypatch: Any):
        monkeypatch.setattr(staging, "RATIO_FREE_BYTES", 1000)
        body = zip_of({f"f{number}.bin": b"x" * 2_000 for number in range(3)}, zipfile.ZIP_STORED)
        send(api, body)  # honest: nothing is packed
        one = zip_of({"f.bin": bytes(200_000)})
        assert isinstance(refused(api, one), UploadTooLarge)

    def test_an_index_without_end(self, api: Api, monkeypatch: Any):
        monkeypatch.setattr(upload_body, "MAX_INDEX_BYTES", 4000)
        body = zip_of({f"f{number}.py": b"" for number in range(100)})
        assert isinstance(refused(api, body), UploadTooLarge)

    def test_a_zip64_is_refused(self, api: Api):
        body = zip_of({"a.py": b""})
        at = body.rindex(b"PK\x05\x06")
        locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 1)
        assert "zip64" in refused(api, body[:at] + locator + body[at:]).detail

    def test_a_long_header_is_not_read(self, api: Api):
        header = tarfile.TarInfo("././@LongLink")
        header.type, header.size = b"L", 1024**3
        body = archives.gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        assert "header of 1,073,741,824 bytes" in refused(api, body).detail

    def test_padding_without_end(self, api: Api):
        body = archives.gzip.compress(archives.tar(tar_member("a.py")) + bytes(4 * 1024 * 1024))
        assert "goes on" in refused(api, body).detail

    @pytest.mark.parametrize("make", [zip_of, tar_of, form_of])
    def test_too_many_files(self, api: Api, make: Callable[..., bytes], monkeypatch: Any):
        monkeypatch.setattr(staging, "MAX_FILES", 20)
        body = make({f"f{number}": b"" for number in range(21)})
        assert isinstance(refused(api, body, FORM if make is form_of else ""), UploadTooLarge)

    def test_too_many_directories(self, api: Api, monkeypatch: Any):
        monkeypatch.setattr(staging, "MAX_FILES", 20)
        assert isinstance(refused(api, zip_of({f"d{number}/": b"" for number in range(41)})), UploadTooLarge)

    @EACH_WAY
    def test_too_large_a_file(self, api: Api, make: Callable[..., bytes], kind: str, monkeypatch: Any):
        monkeypatch.setattr(staging, "MAX_FILE_BYTES", 1000)
        assert "a.bin" in refused(api, make({"a.bin": os.urandom(1001)}), kind).detail

    @EACH_WAY
    def test_too_much_in_all(self, api: Api, make: Callable[..., bytes], kind: str, monkeypatch: Any):
        monkeypatch.setattr(staging, "MAX_TREE_BYTES", 1500)
        body = make({"a.bin": os.urandom(1000), "b.bin": os.urandom(1000)})
        assert isinstance(refused(api, body, kind), UploadTooLarge)

    def test_with_what_is_there_it_must_not_be_too_much(self, api: Api, monkeypatch: Any):
        monkeypatch.setattr(upload, "MAX_FILES", 3)
        assert isinstance(refused(api, zip_of({"a.py": b"", "b.py": b""})), UploadTooLarge)
        send(api, zip_of({"a.py": b"", "b.py": b""}), replace=True)


class TestDamaged:
    @pytest.mark.parametrize("make", [zip_of, tar_of])
    def test_any_flipped_byte_is_refused_or_harmless(self, api: Api, make: Callable[..., bytes]):
        body = make({"main.py": MAIN, "b.py": b"B = 2\n"})
        before = contents(api)
        for at in range(len(body)):
            damaged = bytearray(body)
            damaged[at] ^= 0xFF
            try:
                uploaded = send(api, bytes(damaged))
            except ApimarketError:
                assert contents(api) == before
            else:
                assert {path_problem(path) for path in uploaded.written} == {None}
                assert {contents(api)[path] for path in uploaded.written} <= {MAIN, b"B = 2\n"}
                for path in uploaded.written:
                    (root_of(api) / path).unlink()
                (root_of(api) / "main.py").write_bytes(before["main.py"])

    @given(body=st.binary(max_size=2000))
    @settings(max_examples=200, deadline=None)
    def test_any_bytes_are_members_or_refused(self, body: bytes):
        stream = io.BytesIO(body)
        with suppress(UploadRefused):
            for _, content in tar_members(stream.read):
                assert sum(map(len, content)) <= len(body)

    @given(
        records=st.binary(max_size=600)
        | st.lists(st.tuples(st.sampled_from([b"path", b"size", b"GNU.sparse.map", b"x"]), st.binary(max_size=20))).map(
            lambda pairs: b"".join(b"%d %b=%b\n" % (len(k) + len(v) + 5, k, v) for k, v in pairs)
        )
    )
    @settings(max_examples=200, deadline=None)
    def test_any_extended_header_ends(self, records: bytes):
        header = tarfile.TarInfo("pax")
        header.type, header.size = b"x", len(records)
        padding = bytes(-len(records) % 512)
        plain = tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT)
        stream = io.BytesIO(header.tobuf(tarfile.GNU_FORMAT) + records + padding + plain)
        with suppress(UploadRefused):
            assert len(list(tar_members(stream.read))) == 1


class TestWrittenByOthers:
    def test_tar_of_dot_and_git_archive_comments_are_read(self, api: Api):
        members = [tar_member("./", kind=tarfile.DIRTYPE), tar_member("./lib", kind=tarfile.DIRTYPE)]
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz", pax_headers={"comment": "a" * 40}) as archive:
            for info, content in [*members, tar_member("./lib/a.py", b"1")]:
                archive.addfile(info, io.BytesIO(content))
        assert send(api, made.getvalue()).written == ("lib/a.py",)

    @pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_long_paths(self, api: Api, format: int):
        path = "/".join(["a-long-name-of-a-directory"] * 6) + "/it.py"
        assert send(api, tar_of({path: b"1"}, format)).written == (path,)

    def test_zip_directories_are_passed_over(self, api: Api):
        assert send(api, zip_of({"lib/": b"", "lib/a.py": b"1"})).written == ("lib/a.py",)


class TestIgnoreRules:
    def test_what_the_directory_leaves_out_is_refused(self, api: Api):
        (root_of(api) / ".gitignore").write_text("dist/\n")
        assert ".gitignore" in refused(api, zip_of({"dist/app.js": b""})).detail

    def test_the_rules_that_come_along_count(self, api: Api):
        (root_of(api) / ".gitignore").write_text("dist/\n")
        assert send(api, zip_of({".gitignore": b"", "dist/app.js": b""})).written == (".gitignore", "dist/app.js")
        assert isinstance(refused(api, zip_of({".gitignore": b"*.log\n", "a.log": b""})), UploadRefused)

    def test_replacing_keeps_the_rules_and_what_they_hide(self, api: Api):
        (root_of(api) / ".gitignore").write_text("secret.json\n")
        (root_of(api) / "secret.json").write_text("{}")
        uploaded = send(api, zip_of({"main.py": MAIN}), replace=True)
        assert uploaded.removed == ("old.py",)
        assert {"secret.json", ".gitignore", ".env"} <= contents(api).keys()

    def test_replacing_keeps_what_new_rules_hide(self, api: Api):
        (root_of(api) / "data.db").write_text("rows")
        send(api, zip_of({"main.py": MAIN, ".gitignore": b"*.db\n"}), replace=True)
        assert "data.db" in contents(api)


class TestAllOrNothing:
    @pytest.mark.parametrize("replace", [False, True])
    def test_a_step_that_fails_undoes_the_steps_before(self, api: Api, monkeypatch: Any, replace: bool):
        before = contents(api) | {"sub/x.py": b"X"}
        (root_of(api) / "sub").mkdir()
        (root_of(api) / "sub" / "x.py").write_bytes(b"X")
        body = zip_of({"a/new.py": b"1", "main.py": MAIN, "z/y/new.py": b"2"})
        steps = 0
        rename = os.replace

        def failing_at(last: int) -> Callable[[Any, Any], None]:
            def step(source: Any, target: Any) -> None:
                nonlocal steps
                steps += 1
                if steps == last:
                    raise OSError(errno.ENOSPC, "No space left on device")
                rename(source, target)

            return step

        for last in range(1, 4 + 2 * replace):
            steps = 0
            monkeypatch.setattr(os, "replace", failing_at(last))
            assert isinstance(refused(api, body, replace=replace), StorageFull)
            assert contents(api) == before
            assert not (root_of(api) / "a").exists()
            assert not (root_of(api) / "z").exists()

    def test_what_cannot_be_put_back_is_kept_and_named(self, api: Api, monkeypatch: Any):
        rename, steps = os.replace, 0

        def step(source: Any, target: Any) -> None:
            nonlocal steps
            steps += 1
            if steps > 1:
                raise OSError(errno.EIO, "Input/output error")
            rename(source, target)

        monkeypatch.setattr(os, "replace", step)
        with pytest.raises(UploadRefused) as error:
            send(api, zip_of({"main.py": MAIN, "old.py": b""}))
        kept = Path(error.value.hint.rsplit(" ", 1)[-1])
        assert next(path.read_bytes() for path in kept.glob("*.old.tmp")) == b"def handler(request): return {}\n"
        monkeypatch.undo()
        send(api, zip_of({"main.py": MAIN}))
        assert kept.exists()

    def test_leftovers_of_a_killed_server_are_cleaned_up(self, api: Api):
        left = root_of(api) / ".apimarket-upload-0123456789abcdef"
        left.mkdir()
        (left / "0-aa.tmp").write_text("half")
        send(api, zip_of({"main.py": MAIN}))
        assert not left.exists()

    def test_a_directory_that_is_gone(self, api: Api):
        for path in root_of(api).iterdir():
            path.unlink()
        send(api, zip_of({"main.py": MAIN}))  # empty is well
        (root_of(api) / "main.py").unlink()
        root_of(api).rmdir()
        with pytest.raises(UnusableDirectory, match="does not exist any more"):
            send(api, zip_of({"main.py": MAIN}))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: run the tests as another user")
    def test_a_directory_that_may_not_be_written(self, api: Api):
        root_of(api).chmod(0o500)
        assert isinstance(refused(api, zip_of({"main.py": MAIN})), UnusableDirectory)
        root_of(api).chmod(0o700)


class TestManifest:
    def test_is_checked_before_anything_is_written(self, api: Api):
        bad = b'[api]\nname = "weather"\nruntime = "cobol"\n'
        assert isinstance(refused(api, zip_of({"main.py": MAIN, "apimarket.toml": bad})), InvalidManifest)
        other = b'[api]\nname = "dice"\nruntime = "python"\n'
        assert "registered as 'weather'" in refused(api, zip_of({"apimarket.toml": other})).detail
        assert isinstance(refused(api, zip_of({"apimarket.toml": b"\xff"})), UploadRefused)

    async def test_is_taken_over_at_once(self, api: Api, house: House):
        text = b'[api]\nname = "weather"\nruntime = "python"\nsummary = "Rain"\n'

        async def chunks() -> AsyncIterator[bytes]:
            body = zip_of({"apimarket.toml": text})
            for at in range(0, len(body), 7):
                yield body[at : at + 7]

        changed, _ = await Uploads().take(house.registry, api, "application/zip", chunks())
        assert changed.manifest.summary == "Rain"
        assert (await house.registry.resolve("weather")).manifest.summary == "Rain"


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async def view(request: Request, api: Api) -> ApiView:
        return ApiView(
            id=api.id, name=api.slug, owner=api.owner, runtime="python", state="stopped", engine="fake", isolated=True,
            url="", host_url="", version="1.0.0", directory=api.directory, revision=1,
            created_at=api.created_at, updated_at=api.updated_at,
        )  # fmt: skip

    async def answer(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApimarketError)
        return JSONResponse({"code": error.code}, error.status)

    app, router = FastAPI(), APIRouter(prefix="/api/v1")
    add_upload_route(router, lambda _: house.registry, view)
    app.add_exception_handler(ApimarketError, answer)
    app.include_router(router)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        yield client


class TestOverHttp:
    async def test_a_form(self, api: Api, http: httpx2.AsyncClient):
        files = {"main.py": ("x", MAIN), "lib/a.py": ("y", b"1")}
        answer = await http.post("/apis/weather/upload?replace=true", files=files)
        assert answer.status_code == 200
        body = answer.json()
        assert (body["written"], body["removed"]) == (["lib/a.py", "main.py"], ["old.py"])
        assert (body["bytes"], body["api"]["name"]) == (len(MAIN) + 1, "weather")

    async def test_by_owner_and_name(self, api: Api, http: httpx2.AsyncClient):
        answer = await http.post("/apis/ada/weather/upload", content=tar_of({"a.py": b""}))
        assert answer.json()["written"] == ["a.py"]

    async def test_refusals(self, api: Api, http: httpx2.AsyncClient, monkeypatch: Any):
        assert (await http.post("/apis/nobody/upload", content=b"")).json()["code"] == "api_not_found"
        assert (await http.post("/apis/weather/upload", content=b"?")).json()["code"] == "upload_refused"
        monkeypatch.setattr(upload, "MAX_BODY_BYTES", 100)

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 64

        for content in (b"x" * 101, endless()):
            answer = await http.post("/apis/weather/upload", content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
