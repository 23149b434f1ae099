"""`deploy --version` against a real server."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from local_server.cli.program import program
from tests.control.conftest import serving, wait_for


def test_a_save_that_does_not_serve_is_not_in_a_version_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "hello"
    project.mkdir()
    (project / "main.py").write_text("def handler(request):\n    return {}\n")
    (project / "answer.txt").write_text("hello")
    monkeypatch.setenv("APIMARKET_HOME", str(tmp_path / "home"))
    with serving(tmp_path / "home") as running:
        run = CliRunner().invoke
        assert running.ask("POST", "/api/v1/apis", {"directory": str(project)}).status == 201
        wait_for(lambda: running.ask("GET", "/api/v1/apis/hello").json["serving"] == 1)
        made = run(program, ["deploy", "hello", "--version", "1.0.0"])
        assert (made.exit_code, made.stderr) == (0, "")

        (project / "apimarket.toml").write_text('[api]\nname = "hello"\nruntime = "python"\ncolor = "red"\n')
        wait_for(lambda: running.ask("GET", "/api/v1/apis/hello").json["error"])
        again = run(program, ["deploy", "hello", "--version", "1.0.1"])
        assert again.exit_code == 0, again.stderr
        assert "made of g1, which serves" in again.stderr
        assert "api.color: is not a key" in again.stderr
