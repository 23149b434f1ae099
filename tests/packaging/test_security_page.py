"""docs/security.md promises proofs: each is a test that exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
PROOFS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.endswith("| proof |")]


@cache
def found_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_"))


@pytest.mark.parametrize(("file", "name"), PROOFS, ids=[f"{Path(file).stem}-{name}" for file, name in PROOFS])
def test_each_proof_is_a_test(file: str, name: str) -> None:
    assert name in found_in(file)


def test_each_row_has_a_threat_a_control_and_a_proof() -> None:
    assert len(ROWS) > 25
    for row in ROWS:
        threat, control, proof = (cell.strip() for cell in row.strip("|").split(" | "))
        assert threat
        assert control
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", proof), row
