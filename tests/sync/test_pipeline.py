"""Publishing from a pipeline: the commands of the workflow in docs/ci, run as they stand there."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.sync.conftest import MANIFEST
from tests.sync.fake_marketplace import FakeMarketplace
from tests.sync.real_marketplace import RealMarketplace

ROOT = Path(__file__).parents[2]
COMMANDS = [
    line for line in re.findall(r"^ *- run: (.*)$", (ROOT / "docs/ci/publish.yml").read_text(), re.MULTILINE)
    if line.startswith("apimarket")
]  # fmt: skip


def run(
    command: str, directory: Path, market: FakeMarketplace | RealMarketplace, tag: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "APIMARKET_URL": market.url,
        "APIMARKET_PUBLISH_TOKEN": "ana-token",
        "APIMARKET_HOME": str(directory.parent / "home"),
        "GITHUB_REF_NAME": tag,
        **more,
    }
    return subprocess.run(
        ["bash", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "one"
    directory.mkdir()
    (directory / "apimarket.toml").write_text(MANIFEST)
    (directory / "main.py").write_text("print(1)\n")
    return directory


class TestWorkflow:
    def test_its_commands_publish_what_is_there(self, project: Path, market: FakeMarketplace) -> None:
        dry, publish = COMMANDS
        looked = run(dry, project, market, "v1.0.0")
        assert looked.returncode == 0, looked.stderr
        assert "ana/one" in looked.stdout
        assert not market.market.versions

        done = run(publish, project, market, "v1.0.0")
        assert done.returncode == 0, done.stderr
        (project / "main.py").write_text("print(2)\n")
        done = run(publish, project, market, "v1.1.0")
        assert done.returncode == 0, done.stderr
        versions = market.market.versions["ana/one"]
        assert [one["semver"] for one in versions] == ["1.0.0", "1.1.0"]
        assert versions[1]["parents"] == [versions[0]["id"]]

    def test_it_needs_no_server_and_leaves_nothing(self, project: Path, market: FakeMarketplace) -> None:
        assert run(COMMANDS[1], project, market, "v1.0.0").returncode == 0
        assert not (project.parent / "home").exists()
        assert sorted(path.name for path in project.iterdir()) == ["apimarket.toml", "main.py"]

    def test_a_refusal_fails_the_job(self, project: Path, market: FakeMarketplace) -> None:
        assert run(COMMANDS[1], project, market, "v1.0.0").returncode == 0
        again = run(COMMANDS[1], project, market, "v1.0.1")
        assert again.returncode == 1
        assert "very same files" in again.stderr
        nameless = run(COMMANDS[1], project, market, "vnext")
        assert nameless.returncode == 1

    def test_run_again_for_the_same_version_it_is_done_already(self, project: Path, market: FakeMarketplace) -> None:
        assert run(COMMANDS[1], project, market, "v1.0.0").returncode == 0
        for command in COMMANDS:
            again = run(command, project, market, "v1.0.0")
            assert (again.returncode, again.stderr) == (0, "")
            assert f"ana/one 1.0.0  already published  {market.url}/ana/one@1.0.0/" in again.stdout
        answered = json.loads(run(f"{COMMANDS[1]} --json", project, market, "v1.0.0").stdout)
        assert answered["already"]["version"] == "1.0.0"
        assert len(market.market.versions["ana/one"]) == 1

    def test_so_it_is_when_a_newer_one_came_after_it(self, project: Path, market: FakeMarketplace) -> None:
        for tag in ("v1.0.0", "v1.1.0"):
            (project / "main.py").write_text(f"print({tag!r})\n")
            assert run(COMMANDS[1], project, market, tag).returncode == 0
        (project / "main.py").write_text("print('v1.0.0')\n")
        again = run(COMMANDS[1], project, market, "v1.0.0")
        assert (again.returncode, again.stderr) == (0, "")
        assert "already published" in again.stdout
        assert [one["semver"] for one in market.market.versions["ana/one"]] == ["1.0.0", "1.1.0"]

    def test_other_files_under_a_number_that_is_taken_are_refused(self, project: Path, market: FakeMarketplace) -> None:
        assert run(COMMANDS[1], project, market, "v1.0.0").returncode == 0
        (project / "main.py").write_text("print(2)\n")
        assert run(COMMANDS[1], project, market, "v1.1.0").returncode == 0
        for number, tag in ((3, "v1.0.0"), (4, "v1.1.0")):
            (project / "main.py").write_text(f"print({number})\n")
            refused = run(COMMANDS[1], project, market, tag)
            assert refused.returncode == 1
            assert f"has a version {tag[1:]} already, and versions never change" in refused.stderr

    def test_without_a_token_it_says_what_is_missing(self, project: Path, market: FakeMarketplace) -> None:
        done = run(COMMANDS[1], project, market, "v1.0.0", APIMARKET_PUBLISH_TOKEN="")
        assert done.returncode == 2
        assert "--token" in done.stderr


@pytest.mark.parametrize("market", ["real"], indirect=True)
class TestAccessToken:
    """The marketplace itself, with a token that was made for this one API."""

    @pytest.fixture
    def token(self, market: RealMarketplace) -> dict[str, Any]:
        """The answer that holds it."""
        ends = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        body = {"scope": "publish:ana/one", "name": "ci", "expires_at": ends}
        answer = market.market.post("/api/v1/tokens", body)
        assert answer.status == 201, answer.json
        made: dict[str, Any] = answer.json
        return made

    def test_publishes_its_api_and_no_other(
        self, project: Path, market: RealMarketplace, token: dict[str, Any]
    ) -> None:
        secret = token["token"]
        for tag in ("v1.0.0", "v1.1.0"):
            (project / "main.py").write_text(f"print({tag!r})\n")
            done = run(COMMANDS[1], project, market, tag, APIMARKET_PUBLISH_TOKEN=secret)
            assert done.returncode == 0, done.stderr
            assert secret not in done.stdout + done.stderr
        assert [one["semver"] for one in market.market.versions["ana/one"]] == ["1.0.0", "1.1.0"]

        (project / "apimarket.toml").write_text(MANIFEST.replace('"one"', '"two"'))
        other = run(COMMANDS[1], project, market, "v1.0.0", APIMARKET_PUBLISH_TOKEN=secret)
        assert other.returncode == 1
        assert "publish:ana/one" in other.stderr
        assert "ana/two" not in market.market.versions

    def test_what_it_signs_ends_with_it(self, project: Path, market: RealMarketplace, token: dict[str, Any]) -> None:
        assert run(COMMANDS[1], project, market, "v1.0.0", APIMARKET_PUBLISH_TOKEN=token["token"]).returncode == 0
        assert market.market.post(f"/api/v1/tokens/{token['info']['id']}", None, "DELETE").status == 204
        (project / "main.py").write_text("print(2)\n")
        done = run(COMMANDS[1], project, market, "v1.1.0", APIMARKET_PUBLISH_TOKEN=token["token"])
        assert done.returncode == 1
        assert "apimarket tokens create" in done.stderr
        assert [one["semver"] for one in market.market.versions["ana/one"]] == ["1.0.0"]
