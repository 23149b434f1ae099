"""Where in the manifest an editor opens for a plan, a variable or a secret."""

from pathlib import Path

import pytest

from apimarket_tui.manifest_lines import plan_line, variable_line
from local_server.wire.apis import ApiView

from .fake_backend import an_api

MANIFEST = """\
[api]
name = "weather"

[run]
env = { UNITS = "metric" }  # not API_TOKEN
secrets = ["API_TOKEN"]

[[plan]]
price = "0 EUR/month"
code = "free"

[[plan]]
code = "pro"
"""


class TestLine:
    @pytest.fixture
    def api(self, tmp_path: Path) -> ApiView:
        (tmp_path / "apimarket.toml").write_text(MANIFEST)
        return an_api("weather", directory=str(tmp_path))

    @pytest.mark.parametrize(("code", "line"), [("free", 8), ("pro", 12), ("gold", 8), ("", 8)])
    def test_of_a_plan(self, api: ApiView, code: str, line: int) -> None:
        assert plan_line(api, code) == line

    @pytest.mark.parametrize(("name", "line"), [("UNITS", 5), ("API_TOKEN", 6), ("OTHER", 4), ("", 4)])
    def test_of_a_variable_or_a_secret(self, api: ApiView, name: str, line: int) -> None:
        assert variable_line(api, name) == line

    def test_of_no_manifest_is_none(self, api: ApiView, tmp_path: Path) -> None:
        (tmp_path / "apimarket.toml").unlink()
        assert (plan_line(api, "pro"), variable_line(api, "UNITS")) == (None, None)
