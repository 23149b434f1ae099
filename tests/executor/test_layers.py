"""Dependency layers: what is declared, what is installed, and what a failed installation says."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from local_server.domain.executor_errors import DependenciesFailed
from local_server.domain.manifest import Runtime
from local_server.domain.storage_errors import StorageFull
from local_server.executor.engine import Layer, LayerRequest
from local_server.executor.layers.declared import Declared, read_declared
from local_server.executor.layers.flights import Flights
from local_server.executor.layers.index_settings import (
    ca_bundle,
    container_settings,
    npm_settings,
    pip_settings,
    write_settings,
)
from local_server.executor.layers.installer import LineSink, Work
from local_server.executor.layers.steps import is_disk_full, reason, shown_line
from local_server.executor.layers.store import Layers, layer_key, remove_tree

PYTHON, NODE = Runtime.PYTHON, Runtime.NODE


def tree(path: Path, **files: str) -> Path:
    """A directory of files; in their names `__` stands for a dot."""
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def key(source: Path, runtime: Runtime = PYTHON, made_for: str = "image") -> str:
    return layer_key(runtime, read_declared(runtime, source), made_for)


class TestDeclared:
    def test_nothing_declared_is_one_key_for_each_image(self, tmp_path: Path) -> None:
        empty = tree(tmp_path / "a")
        comments = tree(tmp_path / "b", requirements__txt="# nothing yet\n\n")
        assert key(empty) == key(comments)
        assert key(empty) != key(empty, made_for="another")
        assert key(empty) != key(empty, NODE)

    def test_a_lock_comes_before_requirements_and_these_before_the_project(self, tmp_path: Path) -> None:
        source = tree(tmp_path, pyproject__toml='[project]\ndependencies = ["c"]\n')
        for name in ("pyproject.toml", "requirements.txt", "requirements.lock"):
            if name != "pyproject.toml":
                (source / name).write_text("a\n")
            declared = read_declared(PYTHON, source)
            assert declared is not None
            assert declared.source == name

    def test_only_dependencies_of_a_project_count(self, tmp_path: Path) -> None:
        text = '[project]\nname = "x"\nversion = "{}"\ndependencies = ["idna>=3", "h11"]\n'
        one = tree(tmp_path / "a", pyproject__toml=text.format(1))
        two = tree(tmp_path / "b", pyproject__toml=text.format(2))
        assert key(one) == key(two)
        declared = read_declared(PYTHON, one)
        assert declared is not None
        assert declared.files["requirements.txt"] == b"idna>=3\nh11"

    def test_uv_lock_pins_what_the_project_wants(self, tmp_path: Path) -> None:
        lock = """
            version = 1
            [[package]]
            name = "idna"
            version = "3.10"
            source = { registry = "https://example.invalid/simple" }
            [[package]]
            name = "app"
            version = "0.1.0"
            source = { virtual = "." }
            [[package]]
            name = "split"
            version = "1"
            source = { registry = "https://example.invalid/simple" }
            [[package]]
            name = "split"
            version = "2"
            source = { registry = "https://example.invalid/simple" }
        """
        source = tree(tmp_path, pyproject__toml='[project]\ndependencies = ["idna"]\n', uv__lock=lock)
        declared = read_declared(PYTHON, source)
        assert declared is not None
        assert declared.files["constraints.txt"] == b"idna==3.10"
        assert b"-c constraints.txt" in declared.files["requirements.txt"]

    def test_included_files_count_and_others_do_not(self, tmp_path: Path) -> None:
        source = tree(
            tmp_path, requirements__txt="-r base.txt\n-c pins.txt\n", base__txt="idna\n", pins__txt="idna<4\n"
        )
        before = key(source)
        (source / "main.py").write_text("print()")
        assert key(source) == before
        (source / "base.txt").write_text("h11\n")
        assert key(source) != before

    def test_an_include_that_is_missing_or_outside_reads_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(DependenciesFailed, match=r"base\.txt"):
            read_declared(PYTHON, tree(tmp_path / "a", requirements__txt="-r base.txt\n"))
        (tmp_path / "secret.txt").write_text("secret")
        declared = read_declared(PYTHON, tree(tmp_path / "b", requirements__txt="-r ../secret.txt\n"))
        assert declared is not None
        assert set(declared.files) == {"requirements.txt"}

    @pytest.mark.parametrize(
        ("runtime", "name", "text"),
        [(PYTHON, "pyproject.toml", "[project"), (NODE, "package.json", "{"), (NODE, "package.json", "[]")],
    )
    def test_a_broken_file_is_named(self, tmp_path: Path, runtime: Runtime, name: str, text: str) -> None:
        (tmp_path / name).write_text(text)
        with pytest.raises(DependenciesFailed) as failure:
            read_declared(runtime, tmp_path)
        assert failure.value.extra["source"] == name

    def test_scripts_of_a_package_do_not_count(self, tmp_path: Path) -> None:
        one = tree(tmp_path / "a", package__json='{"dependencies": {"x": "1"}, "scripts": {"dev": "a"}}')
        two = tree(tmp_path / "b", package__json='{"dependencies": {"x": "1"}, "scripts": {"dev": "b"}}')
        three = tree(tmp_path / "c", package__json='{"dependencies": {"x": "2"}}')
        assert key(one, NODE) == key(two, NODE) != key(three, NODE)
        assert read_declared(NODE, tree(tmp_path / "d", package__json='{"devDependencies": {"x": "1"}}')) is None

    def test_a_package_lock_counts(self, tmp_path: Path) -> None:
        source = tree(tmp_path, package__json='{"dependencies": {"x": "1"}}')
        before = key(source, NODE)
        (source / "package-lock.json").write_text("{}")
        declared = read_declared(NODE, source)
        assert key(source, NODE) != before
        assert declared is not None
        assert declared.source == "package-lock.json"

    def test_go_has_no_layer(self, tmp_path: Path) -> None:
        assert read_declared(Runtime.GO, tree(tmp_path, go__mod="module x\n")) is None


class TestWords:
    @pytest.mark.parametrize(
        ("log", "wanted"),
        [
            (
                "ERROR: Could not find a version that satisfies the requirement nonesuch==9 (from versions: none)\n"
                "ERROR: No matching distribution found for nonesuch==9",
                "No matching distribution found for nonesuch==9",
            ),
            (
                "npm ERR! code E404\nnpm ERR! 404 Not Found - GET https://r/nonesuch\n"
                "npm ERR! 404  'nonesuch@9' is not in this registry.",
                "'nonesuch@9' is not in this registry",
            ),
            (
                "npm error code ETARGET\nnpm error notarget No matching version found for is-odd@99.\n"
                "npm error A complete log of this run can be found in: x",
                "No matching version found for is-odd@99.",
            ),
            ("Building wheel\n  error: gcc\nERROR: Failed building wheel for lxml\n", "Failed building wheel for lxml"),
            ("something\nlast words\n\n", "last words"),
            ("", "the installer said nothing"),
            ("ERROR: Could not fetch URL https://ada:pw@index/x", "Could not fetch URL https://***@index/x"),
        ],
    )
    def test_the_line_that_matters(self, log: str, wanted: str) -> None:
        assert reason(log.splitlines()) == wanted

    def test_progress_is_short_and_without_passwords(self) -> None:
        assert shown_line("Collecting idna==3.10 (from -r requirements.txt (line 1))") == "Collecting idna==3.10"
        assert shown_line("  Downloading https://u:p@h/a.whl (7 kB)") == "Downloading https://***@h/a.whl (7 kB)"
        assert shown_line("npm http fetch GET 200 https://r/is-odd 31ms (cache miss)") == "fetching is-odd"
        assert shown_line("Looking in indexes: https://x") == ""

    def test_a_full_disk_is_recognised(self) -> None:
        assert is_disk_full(["ERROR: [Errno 28] No space left on device"])
        assert is_disk_full(["npm ERR! nospc ENOSPC: no space left"])
        assert not is_disk_full(["ERROR: no"])


class TestIndexSettings:
    def test_pips_files_and_environment_are_one(self, tmp_path: Path) -> None:
        (tmp_path / "pip.conf").write_text(
            "[global]\nindex-url = https://index/simple\n"
            "extra-index-url =\n  https://more/simple\n  file:///srv/packages\n"
            "find-links = /opt/wheels\nconstraint = /etc/pins.txt\ncert = /etc/ca.pem\n"
            "[install]\ntrusted-host = index\n"
        )
        environment = {
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "PIP_INDEX_URL": "https://mine/simple",
            "HOME": "/x",
        }
        found = pip_settings(environment)
        assert found["index-url"] == "https://mine/simple"
        assert found["extra-index-url"] == "https://more/simple"
        assert found["trusted-host"] == "index"
        assert "find-links" not in found
        assert "constraint" not in found
        assert "cert" not in found

    def test_npms_registries_and_tokens_pass_and_paths_do_not(self, tmp_path: Path) -> None:
        (tmp_path / ".npmrc").write_text(
            "registry=https://r/\n@corp:registry=https://corp/\n//corp/:_authToken=${NPM_TOKEN}\ncafile=/etc/ca.pem\n"
            "prefix=/home/ada\n; comment\n"
        )
        found = npm_settings({"HOME": str(tmp_path), "NPM_TOKEN": "t0ken", "npm_config_https_proxy": "http://proxy"})
        assert found["//corp/:_authToken"] == "t0ken"
        assert found["@corp:registry"] == "https://corp/"
        assert found["https-proxy"] == "http://proxy"
        assert not {"cafile", "prefix"} & set(found)

    def test_certificates_of_a_companys_proxy_join_the_others(self, tmp_path: Path) -> None:
        (tmp_path / "all.pem").write_text("ALL\n")
        (tmp_path / "corp.pem").write_text("CORP\n")
        environment = {"SSL_CERT_FILE": str(tmp_path / "all.pem"), "NODE_EXTRA_CA_CERTS": str(tmp_path / "corp.pem")}
        assert ca_bundle(environment).split() == ["ALL", "CORP"]
        assert ca_bundle({"SSL_CERT_FILE": str(tmp_path / "all.pem")}).split() == ["ALL"]
        assert ca_bundle({"SSL_CERT_FILE": str(tmp_path / "missing.pem")}) == ""

    def test_a_container_gets_files_proxies_and_go_settings_and_nothing_else(self, tmp_path: Path) -> None:
        environment = {
            "HTTPS_PROXY": "http://proxy",
            "no_proxy": "localhost",
            "GOPROXY": "https://go",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "HOME": str(tmp_path),
            "PIP_CONFIG_FILE": os.devnull,
        }
        write_settings(environment, tmp_path / "settings")
        assert {path.name for path in (tmp_path / "settings").iterdir()} == {"pip.conf", "npmrc", "ca.pem"}
        found = container_settings(environment, "/srv/settings", bundle=True)
        assert found["HTTPS_PROXY"] == "http://proxy"
        assert found["no_proxy"] == "localhost"
        assert found["GOPROXY"] == "https://go"
        assert found["PIP_CERT"] == found["NODE_EXTRA_CA_CERTS"] == "/srv/settings/ca.pem"
        assert "secret" not in found.values()
        assert "HOME" not in found


class Installer:
    """Writes one file, says one line, and fails as it is told."""

    def __init__(self) -> None:
        self.installs = 0
        self.fails: OSError | None = None
        self.says: list[str] = ["Collecting idna"]
        self.code = 0
        self.hold: asyncio.Event | None = None

    async def made_for(self, runtime: Runtime, version: str | None, progress: LineSink) -> str:
        return "image"

    async def install(self, work: Work, line: LineSink) -> int:
        self.installs += 1
        (work.layer / "package").write_text((work.source / "requirements.txt").read_text())
        for text in self.says:
            line(text)
        if self.hold is not None:
            await self.hold.wait()
        if self.fails is not None:
            raise self.fails
        return self.code

    async def install_nothing(self, work: Work) -> None:
        (work.layer / "empty").touch()


@pytest.fixture
def installer() -> Installer:
    return Installer()


@pytest.fixture
def layers(tmp_path: Path, installer: Installer) -> Layers:
    return Layers(tmp_path / "home", installer, lambda directory: directory.mkdir(parents=True))


@pytest.fixture
def request_(tmp_path: Path) -> LayerRequest:
    return LayerRequest(PYTHON, None, tree(tmp_path / "tree", requirements__txt="idna\n"))


class TestLayers:
    async def test_a_layer_is_whole_and_keeps_nothing_of_its_making(
        self, layers: Layers, installer: Installer, request_: LayerRequest, tmp_path: Path
    ) -> None:
        layer = await layers.prepare(request_, "image", print)
        assert (layer.path / "package").read_text() == "idna\n"
        assert {path.name for path in layer.path.parent.iterdir()} == {"root", "complete"}
        assert layer == await layers.prepare(request_, "image", print)
        assert installer.installs == 1

    async def test_sources_without_dependencies_share_one(
        self, layers: Layers, installer: Installer, tmp_path: Path
    ) -> None:
        one = await layers.prepare(LayerRequest(PYTHON, None, tree(tmp_path / "a")), "image", print)
        two = await layers.prepare(LayerRequest(PYTHON, None, tree(tmp_path / "b")), "image", print)
        assert one == two
        assert installer.installs == 0

    async def test_what_a_killed_server_left_half_made_is_made_again(
        self, layers: Layers, installer: Installer, request_: LayerRequest, tmp_path: Path
    ) -> None:
        half = tmp_path / "home" / "layers" / key(request_.source) / "root"
        half.mkdir(parents=True)
        (half / "rubbish").touch()
        layer = await layers.prepare(request_, "image", print)
        assert layer.path == half
        assert {path.name for path in layer.path.iterdir()} == {"package"}

    async def test_a_failure_leaves_nothing_and_the_next_try_works(
        self, layers: Layers, installer: Installer, request_: LayerRequest, tmp_path: Path
    ) -> None:
        installer.code, installer.says = 1, ["ERROR: No matching distribution found for idna"]
        with pytest.raises(DependenciesFailed, match="No matching distribution found for idna"):
            await layers.prepare(request_, "image", print)
        assert list((tmp_path / "home" / "layers").iterdir()) == []
        installer.code = 0
        assert (await layers.prepare(request_, "image", print)).path.is_dir()

    @pytest.mark.parametrize("how", ["said", "raised"])
    async def test_a_full_disk_is_told_as_such(
        self, layers: Layers, installer: Installer, request_: LayerRequest, how: str, tmp_path: Path
    ) -> None:
        if how == "said":
            installer.code, installer.says = 1, ["ERROR: [Errno 28] No space left on device"]
        else:
            installer.fails = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(StorageFull):
            await layers.prepare(request_, "image", print)
        assert list((tmp_path / "home" / "layers").iterdir()) == []

    async def test_the_last_to_cancel_ends_the_installation(
        self, layers: Layers, installer: Installer, request_: LayerRequest, tmp_path: Path
    ) -> None:
        installer.hold = asyncio.Event()
        heard: asyncio.Queue[str] = asyncio.Queue()
        calls = [asyncio.create_task(layers.prepare(request_, "image", heard.put_nowait)) for _ in range(2)]
        await heard.get()
        calls[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        assert not calls[1].done()
        assert len(list((tmp_path / "home" / "layers").iterdir())) == 1
        calls[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[1]
        assert list((tmp_path / "home" / "layers").iterdir()) == []
        assert installer.installs == 1

    async def test_a_projects_npmrc_does_not_stay_in_the_layer(self, tmp_path: Path, installer: Installer) -> None:
        async def install(work: Work, line: LineSink) -> int:
            assert (work.layer / ".npmrc").read_text() == "//r/:_authToken=t\n"
            return 0

        installer.install = install  # type: ignore[method-assign]
        layers = Layers(tmp_path / "home", installer, lambda directory: directory.mkdir(parents=True))
        source = tree(tmp_path / "tree", package__json='{"dependencies": {"x": "1"}}')
        (source / ".npmrc").write_text("//r/:_authToken=t\n")
        layer = await layers.prepare(LayerRequest(NODE, None, source), "image", print)
        assert [path.name for path in layer.path.iterdir()] == ["package.json"]


class TestFlights:
    async def test_everybody_gets_the_same_failure(self) -> None:
        flights: Flights[Layer] = Flights()

        async def fail(tell: LineSink) -> Layer:
            await asyncio.sleep(0)
            raise DependenciesFailed("x", "no", "")

        outcomes = await asyncio.gather(*(flights.join("key", fail, print) for _ in range(3)), return_exceptions=True)
        assert len({id(outcome) for outcome in outcomes}) == 1
        assert isinstance(outcomes[0], DependenciesFailed)

    async def test_close_cancels_what_is_under_way(self) -> None:
        flights: Flights[Layer] = Flights()

        async def wait(tell: LineSink) -> Layer:
            await asyncio.Event().wait()
            raise AssertionError("never")

        call = asyncio.create_task(flights.join("key", wait, print))
        await asyncio.sleep(0)
        await flights.close()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_a_read_only_directory_can_be_removed(tmp_path: Path) -> None:
    deep = tmp_path / "mod" / "cache"
    deep.mkdir(parents=True)
    (deep / "x").touch()
    deep.chmod(0o555)
    remove_tree(tmp_path / "mod")
    assert list(tmp_path.iterdir()) == []


def test_a_key_tells_apart_where_one_file_ends() -> None:
    one = Declared("x", {"a": b"1", "b": b"2"}).key(PYTHON, "i")
    two = Declared("x", {"a": b"1b2", "b": b""}).key(PYTHON, "i")
    assert one != two
