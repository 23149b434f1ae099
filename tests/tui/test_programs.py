"""Which file an editor opens where, and how a shell comes into a container."""

from pathlib import Path

import pytest

from apimarket_tui.programs import editor_command, shell_command
from local_server.wire.apis import ApiView, ContainerView, FailureView

from .fake_backend import an_api


@pytest.fixture
def api(tmp_path: Path) -> ApiView:
    (tmp_path / "src").mkdir()
    for name in ("main.py", "src/web.py"):
        (tmp_path / name).write_text("")
    return an_api("weather", directory=str(tmp_path), entry=None)


def failing(api: ApiView, file: str, line: int | None) -> ApiView:
    failure = FailureView(kind="syntax", message="m", headline="h", file=file, line=line)
    return api.model_copy(update={"failure": failure})


class TestEditor:
    def test_it_opens_where_the_newest_save_fails(self, api: ApiView) -> None:
        root = Path(api.directory)
        api = failing(api, "src/web.py", 12)
        assert editor_command("nano", api) == ["nano", "+12", str(root / "src/web.py")]
        assert editor_command("/usr/bin/vim -p", api) == ["/usr/bin/vim", "-p", "+12", str(root / "src/web.py")]
        assert editor_command("code --wait", api) == ["code", "--wait", str(root), str(root / "src/web.py")]
        assert editor_command("ed", api) == ["ed", str(root / "src/web.py")]

    def test_else_where_the_program_starts(self, api: ApiView) -> None:
        root = Path(api.directory)
        assert editor_command("vi", api) == ["vi", str(root / "main.py")]
        named = api.model_copy(update={"entry": "src.web:app"})
        assert editor_command("vi", named) == ["vi", str(root / "src/web.py")]

    def test_else_the_directory(self, api: ApiView, tmp_path: Path) -> None:
        (tmp_path / "main.py").unlink()
        assert editor_command("vi", api) == ["vi", api.directory]

    @pytest.mark.parametrize("file", ["/etc/passwd", "../elsewhere.py", "gone.py"])
    def test_a_file_that_is_not_the_apis_own_is_not_opened(self, api: ApiView, file: str) -> None:
        assert editor_command("vi", failing(api, file, 3))[-1] == str(Path(api.directory) / "main.py")

    def test_what_is_no_command_line_says_so(self, api: ApiView) -> None:
        with pytest.raises(ValueError, match="quotation"):
            editor_command("vi '", api)


def test_a_shell_begins_where_the_files_of_what_serves_lie() -> None:
    container = ContainerView(id="4f9c", trees="/srv/api/trees")
    command = shell_command(an_api("weather", container=container, serving=14))
    assert command is not None
    assert command[:5] == ["docker", "exec", "-it", "4f9c", "sh"]
    assert "/srv/api/trees/14-*" in command[-1]
    assert shell_command(an_api("weather")) is None
