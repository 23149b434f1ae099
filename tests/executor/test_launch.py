"""What a manifest asks for and cannot get is said, never left out in silence."""

from local_server.domain.manifest import Manifest, RunSpec, Runtime
from local_server.executor.launch import unmet


def manifest(**run: object) -> Manifest:
    return Manifest("weather", Runtime.PYTHON, run=RunSpec(**run))  # type: ignore[arg-type]


class TestUnmet:
    def test_an_ordinary_manifest_gets_what_it_asks_for(self) -> None:
        assert unmet(manifest(), isolated=False) == []

    def test_a_closed_network_needs_docker(self) -> None:
        assert unmet(manifest(egress=False), isolated=True) == []
        assert "Docker only" in unmet(manifest(egress=False), isolated=False)[0]
