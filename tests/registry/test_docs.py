"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from local_server.domain import manifest_toml
from local_server.domain.manifest import GatewaySpec, Manifest, RunSpec, Runtime
from local_server.domain.manifest_toml import KEYS, parse
from local_server.registry.detect import detect

DOCS = Path(__file__).parents[2] / "docs"
MANIFEST = (DOCS / "manifest.md").read_text(encoding="utf-8")
FUNCTIONS = (DOCS / "functions.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(section: str) -> dict[str, str]:
    """Key -> default, of one section's table."""
    heading = "[[plan]]" if section == "plan" else f"[{section}]"
    _, _, after = MANIFEST.partition(f"\n## {heading}")
    table = after.split("\n## ", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE))


class TestManifest:
    @pytest.mark.parametrize("section", KEYS)
    def test_every_key_is_explained_and_no_other(self, section: str):
        assert set(rows(section)) == set(KEYS[section])

    @pytest.mark.parametrize("section", ["api", "run", "gateway"])
    def test_the_defaults_are_the_codes(self, section: str):
        fresh = {"api": Manifest("x1", Runtime.GO), "run": RunSpec(), "gateway": GatewaySpec()}[section]
        for key, default in rows(section).items():
            value = getattr(fresh, key)
            if default.startswith("`"):
                said = parse_value(default.strip("`"))
                assert (list(value) if isinstance(value, tuple) else value) == said, key
            else:
                assert value is None or default == "needed", key

    def test_every_example_is_valid(self):
        examples = blocks(MANIFEST, "toml")
        assert len(examples) == 2
        for example in examples:
            parse(example)

    def test_the_full_example_names_every_key(self):
        full = blocks(MANIFEST, "toml")[1]
        for section, keys in KEYS.items():
            for key in keys:
                assert re.search(rf"^{key} = ", full, re.MULTILINE) or (section, key) == ("run", "command")

    @pytest.mark.parametrize("said", ["32 to 65536", "0.1 to 64", "1 to 3600", "1 to 8", "0 to 86400"])
    def test_the_limits_are_the_parsers(self, said: str):
        (key,) = re.findall(rf"^\| `(\w+)` .*{re.escape(said)}", MANIFEST, re.MULTILINE)
        low, high = said.split(" to ")
        section = "gateway" if key in KEYS["gateway"] else "run"
        for value in (low, high):
            parse(f'[api]\nname = "x1"\nruntime = "go"\n[{section}]\n{key} = {value}\n')
        for value in (f"-{low}" if low != "0" else "-1", f"{high}1"):
            with pytest.raises(manifest_toml.InvalidManifest):
                parse(f'[api]\nname = "x1"\nruntime = "go"\n[{section}]\n{key} = {value}\n')


def parse_value(text: str) -> object:
    import tomllib

    return tomllib.loads(f"x = {text}")["x"]


class TestFunctions:
    @pytest.mark.parametrize(
        ("language", "file", "runtime"),
        [("python", "main.py", Runtime.PYTHON), ("js", "index.js", Runtime.NODE), ("go", "main.go", Runtime.GO)],
    )
    def test_every_program_is_recognised(self, tmp_path: Path, language: str, file: str, runtime: Runtime):
        programs = blocks(FUNCTIONS, language)
        assert programs
        for program in programs:
            (tmp_path / file).write_text(program)
            assert detect(tmp_path).runtime is runtime
