"""Secrets with each engine: changed under load without a dropped request, and found nowhere."""

import json
import os

import pytest

from local_server.executor.engines.docker.hardening import LABEL
from tests.e2e.conftest import RunningServer, wait_for
from tests.e2e.project import Project
from tests.e2e.traffic import Traffic, ask

pytestmark = pytest.mark.slow

# Reads it while it is imported, as programs do.
APP = """
import os

TOKEN = os.environ["API_TOKEN"]
print("the token is", TOKEN, flush=True)


def handler(request):
    return {"says": TOKEN}
"""
SETTINGS = '[run]\nsecrets = ["API_TOKEN"]\n[gateway]\nauth = "none"\n'
VALUES = [f"planted-{number}-" + "x" * number for number in range(1, 5)]


def put(project: Project, value: str) -> str:
    return project.server.run("secrets", "set", project.name, "API_TOKEN", input=value + "\n").stdout


def test_a_secret_is_its_programs_alone(server: RunningServer) -> None:
    project = Project.write(server, "secretive", {"main.py": APP}, SETTINGS).add("failed")
    failure = project.until_error("API_TOKEN")
    assert failure["hint"] == f"Give it one: apimarket secrets set {project.row['owner']}/secretive API_TOKEN"
    put(project, VALUES[0])
    project.until_says(VALUES[0])

    with Traffic(project.url) as traffic:
        for value in VALUES[1:]:
            assert "starts afresh" in put(project, value)
            project.until_says(value)
    assert traffic.failures == []

    wait_for(lambda: "the token is [redacted]" in project.log, "the log to tell what was printed")
    shown = [
        project.log,
        json.dumps(server.client.exchanges(project.name)),
        json.dumps([server.client.exchange(project.name, one["id"]) for one in server.client.exchanges(project.name)]),
        json.dumps(server.client.generations(project.name)),
        server.run("secrets", "list", project.name).stdout,
        server.words(),
        _of_the_engine(server),
        *(path.read_bytes().decode("latin-1") for path in server.home.rglob("*") if path.is_file()),
    ]
    assert [value for value in VALUES for text in shown if value in text] == []

    server.run("secrets", "rm", project.name, "API_TOKEN")
    project.until_error("API_TOKEN")
    assert ask(project.url).status == 200  # what serves has it until it ends


def _of_the_engine(server: RunningServer) -> str:
    """What Docker tells of its containers, their environment among it."""
    if server.engine != "docker":
        return ""
    import docker

    client = docker.from_env(environment=dict(os.environ))
    try:
        found = client.containers.list(filters={"label": f"{LABEL}role=sandbox"}, ignore_removed=True)
        told = json.dumps([container.attrs for container in found])
        assert "/secretive" in told
        return told
    finally:
        client.close()
