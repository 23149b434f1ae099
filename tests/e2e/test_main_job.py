"""The main job, on every engine and with every template: write, run, save, call."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.traffic import Traffic, ask

TEMPLATES = ["python", "python-function", "node", "node-express", "go"]
INVITED = re.compile(r"Change this line")


def scaffold(server: RunningServer, template: str, name: str | None = None) -> tuple[str, Path]:
    name = name or f"t-{template}"
    directory = server.home.parent / "projects" / name
    server.run("new", name, "--template", template, "--dir", str(directory))
    server.until(name, "running")
    return name, directory


def invited_file(directory: Path) -> Path:
    """The file whose line the template invites to change."""
    for path in sorted(directory.rglob("*")):
        if (
            path.suffix in (".py", ".mjs", ".js", ".go")
            and "test" not in path.name
            and INVITED.search(path.read_text())
        ):
            return path
    raise AssertionError(f"nothing to change in {directory}")


@pytest.mark.parametrize("template", TEMPLATES)
class TestEachTemplate:
    def test_a_save_answers_with_the_new_code_and_no_request_fails(self, server: RunningServer, template: str) -> None:
        name, directory = scaffold(server, template)
        row = server.client.api(name)
        assert "Change this line" in ask(row["url"]).body
        path = invited_file(directory)
        source = path.read_text()
        with Traffic(row["url"]) as traffic:
            for number in range(3):
                mark = f"save-{number}"
                path.write_text(INVITED.sub(mark, source, count=1))
                wait_for(lambda mark=mark: mark in traffic.answers[-1].body if traffic.answers else False, mark)
        assert not traffic.failures
        assert len({answer.generation for answer in traffic.answers}) >= 4

    def test_by_host_and_by_command_line_it_answers_the_same(self, server: RunningServer, template: str) -> None:
        name = f"t-{template}"
        row = server.client.api(name)
        by_path = json.loads(ask(row["url"]).body) if template != "go" else ask(row["url"]).body
        said = server.run("call", name).stdout
        assert (json.loads(said) if template != "go" else said.strip()) == (
            by_path if template != "go" else str(by_path).strip()
        )
        assert f"//{name}.localhost:" in row["host_url"]

    def test_broken_code_leaves_the_old_generation_serving(self, server: RunningServer, template: str) -> None:
        name, directory = f"t-{template}", server.home.parent / "projects" / f"t-{template}"
        path = invited_file(directory)
        source = path.read_text()
        url = server.client.api(name)["url"]
        before = ask(url)
        with Traffic(url) as traffic:
            path.write_text(source + "\n)(broken\n")
            wait_for(lambda: server.client.api(name)["error"], "the error to be told")
            broken = server.client.api(name)
            time.sleep(0.2)
            path.write_text(source)
            wait_for(lambda: not server.client.api(name)["error"], "the error to be gone")
        assert broken["state"] == "running"
        assert broken["failure"] is not None
        assert broken["failure"]["file"] == path.relative_to(directory).as_posix()
        assert broken["failure"]["line"]
        assert not traffic.failures
        assert {answer.generation for answer in traffic.answers} == {before.generation}

    def test_it_restarts_without_dropping_a_request_and_is_removed(self, server: RunningServer, template: str) -> None:
        name = f"t-{template}"
        row = server.client.api(name)
        assert row["generation"]
        with Traffic(row["url"]) as traffic:
            server.run("restart", name)
            wait_for(lambda: server.client.api(name)["serving"] != row["serving"], "another generation")
        assert not traffic.failures
        server.run("rm", name, "--yes")
        assert ask(row["url"]).status == 404


class TestDependencies:
    def test_code_serves_on_while_a_new_dependency_is_installed(self, server: RunningServer) -> None:
        name, directory = scaffold(server, "python-function", "t-depends")
        url = server.client.api(name)["url"]
        (directory / "requirements.txt").write_text("six==1.17.0\n")
        main = invited_file(directory)
        with Traffic(url) as traffic:
            main.write_text("import six\n\ndef handler(request):\n    return {'six': six.__version__}\n")
            wait_for(lambda: "1.17.0" in ask(url).body, "the dependency")
        assert not traffic.failures

    def test_a_dependency_that_does_not_exist_is_named_and_the_old_code_serves(self, server: RunningServer) -> None:
        name, directory = "t-depends", server.home.parent / "projects" / "t-depends"
        (directory / "requirements.txt").write_text("six==1.17.0\nno-such-package-of-anyone==9.9\n")
        row = wait_for(lambda: (row := server.client.api(name))["error"] and row, "the error to be told")
        assert "no-such-package-of-anyone" in row["error"]
        assert row["state"] == "running"
        assert "1.17.0" in ask(row["url"]).body
        server.run("rm", name, "--yes")
