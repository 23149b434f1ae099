"""An API that runs several times, on real engines: nobody who reads from it notices when one of them ends."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.project import Project
from tests.e2e.traffic import Traffic, ask

WHO = """
import os, uuid

WHO = uuid.uuid4().hex

def handler(request):
    return {"who": WHO, "pid": os.getpid(), "says": "first"}
"""


def settings(replicas: int) -> str:
    return f"[run]\nreplicas = {replicas}\nmemory_mb = 128\n"


@pytest.fixture(scope="module")
def project(server: RunningServer) -> Project:
    project = Project.write(server, "several", {"main.py": WHO}, settings(3)).add()
    until_serving(project, 3)
    return project


def until_serving(project: Project, wanted: int) -> None:
    wait_for(
        lambda: project.row["replicas"] == {"serving": wanted, "wanted": wanted},
        lambda: f"{wanted} replicas to serve; {project.row['replicas']} do: {project.row}\n{project.log}",
    )


def answering(project: Project) -> dict[str, int]:
    """Whoever answers, in as many calls as are enough, and its process."""
    said = [json.loads(ask(project.url).body) for _ in range(12)]
    return {answer["who"]: answer["pid"] for answer in said}


def until_answering(project: Project, wanted: int) -> None:
    """With others calling, one of them may be passed over twelve times."""
    wait_for(lambda: len(answering(project)) == wanted, f"{wanted} of them to answer")


def containers(project: Project) -> list[Any]:
    """That hold the API, by replica."""
    import docker

    client = docker.from_env()
    try:
        label = f"dev.apimarket.api={project.row['id']}"
        found = list(client.containers.list(filters={"label": label}))
        return sorted(found, key=lambda container: container.labels["dev.apimarket.replica"])
    finally:
        client.close()


def kill_one(project: Project) -> None:
    """kill -9 of one program, in the middle of whatever it does; under Docker of its whole container."""
    if project.server.engine == "process":
        os.kill(next(iter(answering(project).values())), signal.SIGKILL)
    else:
        containers(project)[1].kill()


@contextlib.contextmanager
def calls(project: Project) -> Iterator[list[Traffic]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Traffic(project.url)) for _ in range(4)]


def failures(traffic: list[Traffic]) -> list[str]:
    return [failure for one in traffic for failure in one.failures]


def test_each_call_goes_to_the_next_of_them(project: Project) -> None:
    assert len(answering(project)) == 3
    assert "3 of 3 serve" in project.server.run("status", project.name).stdout
    assert "running 3/3" in project.server.run("ls").stdout
    metrics = ask(f"{project.server.url}/metrics", headers=token(project.server)).body
    assert 'apimarket_replicas_serving{api="' in metrics
    assert f'{project.name}"}} 3' in metrics


def token(server: RunningServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {(server.home / 'token').read_text().strip()}"}


def test_one_is_killed_under_load_and_no_read_fails(project: Project) -> None:
    until_serving(project, 3)
    serving, before = project.row["serving"], set(answering(project))
    with calls(project) as traffic:
        kill_one(project)
        wait_for(lambda: "2 of 3 serve" in project.log, lambda: f"two to serve; {project.row}\n{project.log}")
        until_serving(project, 3)
        wait_for(lambda: len(set(answering(project)) - before) == 1, "another one to answer")
    assert not failures(traffic)
    assert min(len(one.answers) for one in traffic) > 10
    assert project.row["serving"] == serving
    lines = [line for line in project.server.client.logs(project.name, limit=1000) if "2 of 3 serve" in line["text"]]
    assert all(line["replica"] for line in lines)


def test_saves_and_other_numbers_drop_nothing(project: Project) -> None:
    until_serving(project, 3)
    with calls(project) as traffic:
        project.save("main.py", WHO.replace("first", "second"))
        project.until_says("second")
        until_answering(project, 3)
        for number in (1, 2):
            project.manifest(settings(number))
            until_serving(project, number)
            until_answering(project, number)
        project.save("main.py", WHO)
        project.manifest(settings(3))
        project.until_says("first")
        until_serving(project, 3)
    assert not failures(traffic)


def test_the_next_server_has_all_of_them_and_removing_leaves_none(project: Project) -> None:
    server = project.server
    until_serving(project, 3)
    before = answering(project)
    server.stop()
    server.start()
    until_serving(project, 3)
    after = answering(project)
    assert len(after) == 3
    if server.engine == "docker":
        assert after == before
        assert [container.labels["dev.apimarket.replica"] for container in containers(project)] == ["1", "2", "3"]
    kept, home = containers(project) if server.engine == "docker" else [], Path(server.home)
    project.remove()
    if server.engine == "docker":
        import docker

        with contextlib.closing(docker.from_env()) as client:
            there = {container.id for container in client.containers.list(all=True)}
        assert there.isdisjoint(container.id for container in kept)
    else:
        wait_for(lambda: not any(str(home) in line for line in command_lines(after.values())), "their end")


def command_lines(pids: Any) -> list[str]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(" ".join(psutil.Process(pid).environ().values()))
    return found
