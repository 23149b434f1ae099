"""The README's tour, as a user would type it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import free_port, wait_for

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- tour: tests/e2e/test_readme.py runs this block -->\n```sh\n(.*?)```", re.DOTALL)
ALIAS = 'apimarket() { "$ROOT/scripts/run" "$@"; }\n'

pytestmark = pytest.mark.slow


class Visitor:
    """Somebody who has only the checkout, and types into a shell in a directory of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("APIMARKET_")}
        self.env = inherited | {
            "ROOT": str(ROOT),
            "APIMARKET_HOME": str(place / "home"),
            "APIMARKET_PORT": str(free_port()),
            "NO_COLOR": "1",
        }

    def type(self, line: str) -> str:
        command = ["bash", "-euc", ALIAS + line]
        done = subprocess.run(
            command, cwd=self.place, env=self.env, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def row(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.type(f"apimarket status {name} --json")))


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Visitor]:
    if not (ROOT / ".venv" / ".apimarket-run").exists():
        pytest.skip("needs a .venv that scripts/run would not have to make: run this with scripts/test")
    made = Visitor(tmp_path)
    yield made
    made.type("apimarket stop --all")


def test_the_tour(visitor: Visitor) -> None:
    (block,) = BLOCK.findall((ROOT / "README.md").read_text())
    said: list[tuple[str, str]] = []
    for line in block.strip().splitlines():
        said.append((line, visitor.type(line)))
        if line.startswith("sed "):
            # Nobody types the next line faster than a save is served; a program does.
            wait_for(lambda: visitor.row("hello")["serving"] == 2, "the save to be served")
    calls = [output for line, output in said if line.startswith("apimarket call")]
    assert [re.findall("Hello, Ana!|Hej, Ana!", output) for output in calls] == [
        ["Hello, Ana!"], ["Hej, Ana!"], ["Hello, Ana!"]
    ]  # fmt: skip
    listed = next(output for line, output in said if line == "apimarket ls")
    assert "hello" in listed
    assert json.loads(visitor.type("apimarket ls --json")) == []
    assert (visitor.place / "hello" / "main.py").exists()
