"""The main job, on every engine and with every template: write, run, save, call."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.traffic import Traffic, ask

TEMPLATES = ["python", "python-function", "node", "node-express", "go"]
INVITED = re.compile(r"Change this line")


@dataclass
class Project:
    """An API from a template, running."""

    server: RunningServer
    name: str
    directory: Path
    file: Path
    """Where the line stands that the template invites to change."""
    source: str

    @property
    def row(self) -> dict[str, Any]:
        return dict(self.server.client.api(self.name))

    @property
    def url(self) -> str:
        return str(self.row["url"])

    def save(self, text: str) -> None:
        self.file.write_text(text)


def scaffold(server: RunningServer, template: str, name: str) -> Project:
    directory = server.home.parent / "projects" / name
    server.run("new", name, "--template", template, "--dir", str(directory))
    server.until(name, "running")
    for path in sorted(directory.rglob("*")):
        code = path.suffix in (".py", ".mjs", ".js", ".go") and "test" not in path.name
        if code and INVITED.search(text := path.read_text()):
            return Project(server, name, directory, path, text)
    raise AssertionError(f"nothing to change in {directory}")


@pytest.fixture(scope="module", params=TEMPLATES)
def shared(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Project]:
    project = scaffold(server, request.param, f"t-{request.param}")
    yield project
    server.run("rm", project.name, "--yes")


@pytest.fixture
def project(shared: Project) -> Iterator[Project]:
    """One project of each template on each engine, as it was scaffolded."""
    yield shared
    if shared.file.read_text() != shared.source:
        shared.save(shared.source)
        wait_for(lambda: INVITED.search(ask(shared.url).body), "the project to be as it was")


class TestEachTemplate:
    def test_a_save_answers_with_the_new_code_and_no_request_fails(self, project: Project) -> None:
        assert "Change this line" in ask(project.url).body
        with Traffic(project.url) as traffic:
            for number in range(3):
                mark = f"save-{number}"
                project.save(INVITED.sub(mark, project.source, count=1))
                wait_for(lambda mark=mark: traffic.answers and mark in traffic.answers[-1].body, mark)
        assert not traffic.failures
        assert len({answer.generation for answer in traffic.answers}) == 4

    def test_by_host_and_by_command_line_it_answers_the_same(self, project: Project) -> None:
        port = project.server.port
        by_path = ask(project.url)
        by_host = ask(f"http://127.0.0.1:{port}/", headers={"Host": f"{project.name}.localhost:{port}"})
        by_command = project.server.run("call", project.name).stdout
        assert by_path.status == 200
        assert json.loads(by_path.body) == json.loads(by_host.body) == json.loads(by_command)

    def test_a_save_without_a_change_is_no_reload(self, project: Project) -> None:
        before = project.row["generation"]["number"]
        project.save(project.source)
        time.sleep(0.5)
        assert project.row["generation"]["number"] == before

    def test_broken_code_leaves_the_old_generation_serving(self, project: Project) -> None:
        before = ask(project.url)
        with Traffic(project.url) as traffic:
            project.save(project.source + "\n)(broken\n")
            broken = wait_for(lambda: (row := project.row)["error"] and row, "the error to be told")
            time.sleep(0.2)
            project.save(project.source)
            wait_for(lambda: not project.row["error"], "the error to be gone")
        assert broken["state"] == "running"
        assert broken["failure"]["file"] == project.file.relative_to(project.directory).as_posix()
        assert broken["failure"]["line"]
        assert not traffic.failures
        assert {answer.generation for answer in traffic.answers} == {before.generation}

    def test_it_restarts_without_dropping_a_request(self, project: Project) -> None:
        before = project.row["serving"]
        with Traffic(project.url) as traffic:
            project.server.run("restart", project.name)
            wait_for(lambda: project.row["serving"] not in (before, None), "another generation")
        assert not traffic.failures

    def test_undo_brings_the_code_before_back_until_the_next_save(self, project: Project) -> None:
        for mark in ("first", "second"):
            project.save(INVITED.sub(mark, project.source, count=1))
            wait_for(lambda mark=mark: mark in ask(project.url).body, mark)
        with Traffic(project.url) as traffic:
            project.server.run("undo", project.name)
            wait_for(lambda: "first" in ask(project.url).body, "the code before")
            time.sleep(0.3)
            project.save(INVITED.sub("third", project.source, count=1))
            wait_for(lambda: "third" in ask(project.url).body, "the next save")
        assert not traffic.failures

    def test_stopped_it_says_so_and_started_it_answers_again(self, project: Project) -> None:
        project.server.run("stop", project.name)
        stopped = ask(project.url)
        assert stopped.status == 503
        assert "stopped" in json.loads(stopped.body)["detail"]
        project.server.run("deploy", project.name)
        project.server.until(project.name, "running")
        assert ask(project.url).status == 200


class TestRemove:
    def test_its_urls_are_gone_and_its_directory_stays(self, server: RunningServer) -> None:
        project = scaffold(server, "python-function", "t-removed")
        url = project.url
        server.run("rm", project.name, "--yes")
        assert ask(url).status == 404
        assert project.file.read_text() == project.source


class TestDependencies:
    @pytest.fixture
    def project(self, server: RunningServer) -> Iterator[Project]:
        project = scaffold(server, "python-function", "t-depends")
        yield project
        server.run("rm", project.name, "--yes")

    def test_code_serves_on_while_they_are_installed_and_when_one_does_not_exist(self, project: Project) -> None:
        requirements = project.directory / "requirements.txt"
        with Traffic(project.url) as traffic:
            requirements.write_text("six==1.17.0\n")
            project.save("import six\n\ndef handler(request):\n    return {'six': six.__version__}\n")
            wait_for(lambda: "1.17.0" in ask(project.url).body, "the dependency")
            requirements.write_text("six==1.17.0\nno-such-package-of-anyone==9.9\n")
            row = wait_for(lambda: (row := project.row)["error"] and row, "the error to be told")
        assert "no-such-package-of-anyone" in row["error"]
        assert row["state"] == "running"
        assert not traffic.failures
        assert "1.17.0" in ask(project.url).body
