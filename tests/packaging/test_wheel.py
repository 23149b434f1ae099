"""What is handed out works without a checkout: the wheel, and the one that is built from the source archive."""

import json
import os
import site
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_server import __version__
from tests.e2e.conftest import wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOT_SOURCE = {"__pycache__", "node_modules", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = target.iterdir()
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def sources(package: str) -> dict[str, bytes]:
    paths = [path for path in (ROOT / package).rglob("*") if path.is_file() and not NOT_SOURCE & set(path.parts)]
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}


class TestContents:
    def test_every_file_of_the_packages_and_templates_is_inside_and_nothing_else(self, wheel: Path) -> None:
        templates = {f"local_server/_{name}": content for name, content in sources("templates").items()}
        expected = sources("local_server") | sources("apimarket_tui") | templates
        assert {"local_server/executor/agents/go/go.mod", "local_server/executor/agents/node/agent.mjs"} <= set(
            expected
        )
        assert contents(wheel) == expected

    def test_from_the_source_archive_the_same_is_built(self, wheel: Path, tmp_path: Path) -> None:
        archive = build("sdist", ROOT, tmp_path / "archive")
        with tarfile.open(archive) as opened:
            # Python before 3.11.4 knows no filters, and 3.12 wants one.
            opened.extractall(tmp_path / "source", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        (source,) = (tmp_path / "source").iterdir()
        assert contents(build("wheel", source, tmp_path / "wheel")) == contents(wheel)


class Installed:
    """The wheel in an environment of its own. The packages it depends on are those of the tests: nothing is fetched."""

    def __init__(self, wheel: Path, place: Path) -> None:
        self.place = place
        environment = place / "environment"
        _run([sys.executable, "-m", "venv", "--without-pip", str(environment)])
        self.python = environment / "bin" / "python"
        own = Path(_run([str(self.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
        install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
        _run([sys.executable, "-m", "pip", "--python", str(self.python), *install])
        # Named in a file of the environment, they come after its own, and no checkout is on the path by theirs.
        (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        (place / "work").mkdir()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("APIMARKET_", "PYTHON"))}
        self.env = inherited | {
            "APIMARKET_HOME": str(place / "home"),
            "APIMARKET_PORT": str(port),
            "APIMARKET_ENGINE": "process",
            "NO_COLOR": "1",
        }

    def apimarket(self, *arguments: str) -> str:
        program = self.python.with_name("apimarket")
        return _run([str(program), *arguments], cwd=self.place / "work", env=self.env)


def _run(command: list[str], **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = Installed(wheel, tmp_path_factory.mktemp("installed"))
    yield made
    made.apimarket("stop", "--all")


class TestInstalled:
    def test_it_is_not_the_checkout(self, installed: Installed) -> None:
        program = "import local_server; print(local_server.__file__)"
        place = Path(_run([str(installed.python), "-c", program], cwd=installed.place).strip())
        assert place.is_relative_to(installed.place)
        assert __version__ in installed.apimarket("--version")

    def test_every_template_is_there(self, installed: Installed) -> None:
        rows = json.loads(installed.apimarket("new", "--template", "list", "--json"))
        assert {row["name"] for row in rows} == {path.parent.name for path in ROOT.glob("templates/*/apimarket.toml")}

    def test_a_new_api_answers_and_a_save_reloads_it(self, installed: Installed) -> None:
        installed.apimarket("new", "hello", "--template", "python-function")
        assert "Hello, Ana!" in installed.apimarket("call", "hello/greet?name=Ana")
        main = installed.place / "work" / "hello" / "main.py"
        main.write_text(main.read_text().replace("Hello, ", "Hej, "))
        wait_for(
            lambda: "Hej, Ana!" in installed.apimarket("call", "hello/greet?name=Ana"), "the save to be served", 20
        )
        row = json.loads(installed.apimarket("status", "hello", "--json"))
        assert row["engine"] == "process"
        assert Path(row["directory"]) == main.parent
