"""What the doctor makes of this machine."""

from pathlib import Path

from local_server.doctor import examine
from local_server.executor.engine import EngineHealth
from local_server.wire.server import Check

HEALTH = EngineHealth(True, "1", "")


def memory(home: Path, memory_mb: dict[str, int]) -> Check:
    (found,) = (check for check in examine(home, "docker", HEALTH, memory_mb) if check.name == "memory")
    return found


class TestMemory:
    def test_what_the_apis_may_use_in_all_is_told(self, tmp_path: Path) -> None:
        check = memory(tmp_path, {"weather": 3 * 32, "billing": 32})
        assert check.status == "ok"
        assert "may use 0.1 GiB in all" in check.detail

    def test_more_than_there_is_is_warned_of_with_the_largest(self, tmp_path: Path) -> None:
        check = memory(tmp_path, {"weather": 8 * 65536 * 1024, "billing": 512})
        assert check.status == "warning"
        assert "replicas in the apimarket.toml of weather" in check.fix
