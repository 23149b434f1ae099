"""`diff` as a terminal and as `patch` take it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_server.cli.program import program
from tests.control.conftest import serving, wait_for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a server with `hello`, and a version that its directory has left behind since."""
    root = tmp_path_factory.mktemp("diff")
    project = root / "hello"
    project.mkdir()
    (project / "main.py").write_text("def handler(request):\n    return {}\n")
    (project / "answer.txt").write_text("hello")
    with serving(root / "home") as running:
        assert running.ask("POST", "/api/v1/apis", {"directory": str(project)}).status == 201
        wait_for(lambda: running.ask("GET", "/api/v1/apis/hello").json["serving"] == 1)
        assert running.ask("POST", "/api/v1/apis/hello/deploy", {"version": "1.0.0"}).status == 202
        (project / "main.py").write_text("def handler(request):\n    # \x1b[31mnow in red\n    return {}")
        (project / "answer.txt").rename(project / "reply.txt")
        (project / "logo.png").write_bytes(b"\x89PNG\0")
        (project / "new.txt").write_text("one\n")
        yield root / "home"


@pytest.fixture
def diff(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("APIMARKET_HOME", str(home))
    return lambda *args: CliRunner().invoke(program, ["diff", *args])


def test_it_reads_as_a_patch_and_steers_no_terminal(diff: Callable[..., Result]) -> None:
    found = diff("hello")
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.splitlines() == [
        "/dev/null and b/logo.png differ (not text: nothing → 5 B)",
        "--- a/main.py",
        "+++ b/main.py",
        "@@ -1,2 +1,3 @@",
        " def handler(request):",
        "-    return {}",
        "+    # now in red",
        "+    return {}",
        "\\ No newline at end of file",
        "--- /dev/null",
        "+++ b/new.txt",
        "@@ -0,0 +1 @@",
        "+one",
        "answer.txt is now reply.txt",
    ]


def test_a_word_for_each_file(diff: Callable[..., Result]) -> None:
    lines = diff("hello", "1.0.0", "dev", "--stat").stdout.splitlines()
    assert lines[0] == "1.0.0 → dev"
    assert [line.split() for line in lines[2:]] == [
        ["+", "logo.png", "not", "text,", "nothing", "→", "5", "B"],
        ["~", "main.py", "+2", "-1"],
        ["+", "new.txt", "+1", "-0"],
        ["→", "answer.txt", "→", "reply.txt", "+0", "-0"],
        ["4", "files", "+3", "-1"],
    ]


def test_the_same_and_the_unknown_are_told(diff: Callable[..., Result]) -> None:
    assert diff("hello", "1.0.0", "g1").stdout == "Their files are the same in 1.0.0 and g1.\n"
    assert diff("hello", "--path", "other.py").stdout == "other.py is the same in 1.0.0 and dev.\n"
    unknown = diff("hello", "2.0.0")
    assert (unknown.exit_code, "has no version '2.0.0'; there are 1.0.0" in unknown.stderr) == (1, True)
