"""The image and the compose file, as far as they can be read."""

import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


class TestImage:
    def test_installs_what_is_locked_and_nothing_else(self) -> None:
        assert re.findall(r"pip install .*", DOCKERFILE) == [
            "pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock"
        ]

    def test_does_not_run_as_root(self) -> None:
        user = re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
        assert user is not None
        assert int(user[1]) > 0
        assert DOCKERFILE.index("USER ") < DOCKERFILE.index("ENTRYPOINT")

    def test_takes_only_what_it_copies_from_here(self) -> None:
        wanted = set(re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE))
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        assert wanted == allowed
        assert all((ROOT / name).exists() for name in wanted)


class TestCompose:
    def test_no_secret_stands_in_it(self, compose: Any) -> None:
        for service in compose["services"].values():
            for name, value in service["environment"].items():
                if "PASSWORD" in name or "://" in value:
                    assert "${POSTGRES_PASSWORD" in value

    def test_the_server_waits_for_a_healthy_database(self, compose: Any) -> None:
        services = compose["services"]
        assert services["server"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert "pg_isready" in services["postgres"]["healthcheck"]["test"][1]
        assert "HEALTHCHECK" in DOCKERFILE

    def test_what_is_kept_is_in_volumes(self, compose: Any) -> None:
        volumes = [volume for one in compose["services"].values() for volume in one["volumes"]]
        mounted = [volume.partition(":")[0] for volume in volumes if isinstance(volume, str)]
        assert set(compose["volumes"]) <= set(mounted)

    def test_docker_finds_what_it_mounts_into_the_containers_of_apis(self, compose: Any) -> None:
        """It looks for the server's paths on the host."""
        server = compose["services"]["server"]
        (home,) = [volume for volume in server["volumes"] if not isinstance(volume, str)]
        assert home["type"] == "bind"
        assert home["source"] == home["target"] == server["environment"]["APIMARKET_HOME"]

    def test_it_is_reached_from_this_machine_alone_until_somebody_decides_otherwise(self, compose: Any) -> None:
        services = compose["services"]
        assert not [one for one in services.values() if "ports" in one]
        assert services["postgres"]["network_mode"] == "none"
        assert services["server"]["network_mode"] == "host"
        assert services["server"]["environment"]["APIMARKET_HOST"] == "127.0.0.1"

    def test_the_server_has_no_more_rights_than_it_needs(self, compose: Any) -> None:
        server = compose["services"]["server"]
        assert server["cap_drop"] == ["ALL"]
        assert server["security_opt"] == ["no-new-privileges:true"]
