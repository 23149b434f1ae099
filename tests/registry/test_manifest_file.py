import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_server.domain.registry_errors import InvalidManifest, UnusableDirectory
from local_server.registry.manifest_file import create, edit, read, replace

TEXT = """\
# My API

[api]
name = "weather"   # the URL
runtime = "python"
tags = [  # where it is found
  "geo",
]

[run]
memory_mb = 512    # enough

[run.env]
A = "1"
"""


_TEXTS = st.text(st.characters(codec="utf-8"))


class TestEdit:
    def test_changes_a_value_and_nothing_else(self):
        assert edit(TEXT, {"api.tags": ["a", "b"]}) == TEXT.replace('[  # where it is found\n  "geo",\n]', '["a", "b"]')

    def test_adds_a_key_after_the_last_of_its_table(self):
        edited = edit(TEXT, {"api.summary": 'Says "hi"', "run.cpus": 2.0})
        assert edited == TEXT.replace("]\n\n[run]", ']\nsummary = "Says \\"hi\\""\n\n[run]').replace(
            "# enough\n", "# enough\ncpus = 2.0\n"
        )

    def test_takes_a_key_out_with_its_line(self):
        assert edit(TEXT, {"run.memory_mb": None}) == TEXT.replace("memory_mb = 512    # enough\n", "")

    def test_what_is_not_there_need_not_be_taken_out(self):
        assert edit(TEXT, {"run.cpus": None, "gateway.auth": None}) == TEXT

    def test_adds_a_table(self):
        assert edit(TEXT, {"gateway.auth": "none"}) == TEXT + '\n[gateway]\nauth = "none"\n'

    def test_windows_newlines_stay(self):
        edited = edit(TEXT.replace("\n", "\r\n"), {"api.summary": "x", "gateway.auth": "none"})
        assert edited.count("\n") == edited.count("\r\n") == TEXT.count("\n") + 4

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('[api]\nname = "x"', '[api]\nname = "x"\nsummary = "s"\n'),
            ("[api]", '[api]\nsummary = "s"\n'),
            ("[api]  # c\n[run]\n", '[api]  # c\nsummary = "s"\n[run]\n'),
            ('api = { name = "x" }\n', 'api = { name = "x", summary = "s" }\n'),
            ("api = {}\n", 'api = { summary = "s" }\n'),
            ('api.name = "x"\n[run]\n', 'api.name = "x"\napi.summary = "s"\n[run]\n'),
            ("", '[api]\nsummary = "s"\n'),
        ],
    )
    def test_any_layout(self, text: str, expected: str):
        assert edit(text, {"api.summary": "s"}) == expected

    def test_what_cannot_be_done_safely_is_refused_with_its_line(self):
        with pytest.raises(InvalidManifest) as refused:
            edit('# x\napi = { a = 1, summary = "x" }\n', {"api.summary": None})
        assert refused.value.problems[0].line == 2

    def test_broken_toml_is_refused(self):
        with pytest.raises(InvalidManifest):
            edit("[api\n", {"api.summary": "x"})

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                ["[api]", "[run]", "[run.env]", "[[plan]]", "[plan.x]", 'summary = "old"  # c', "tags = [ # c\n 1,\n ]",
                 "", "# c", "a.b = 1", 'x = """\n[api]\n"""', "api.c = 2", "summary.d = 1"]
            ),
            max_size=7,
        ).map("\n".join),
        st.one_of(st.none(), _TEXTS, st.lists(_TEXTS, max_size=2)),
    )  # fmt: skip
    def test_a_change_is_exactly_what_was_asked_or_refused(self, text: str, value: str | list[str] | None):
        try:
            before = tomllib.loads(text)
            edited = edit(text, {"api.summary": value})
        except (tomllib.TOMLDecodeError, InvalidManifest):
            return
        after = tomllib.loads(edited)
        assert after.get("api", {}).get("summary") == value
        for document in (before, after):
            document.get("api", {}).pop("summary", None)
        assert {**after, "api": after.get("api", {})} == {**before, "api": before.get("api", {})}


class TestFile:
    def test_comes_back_as_written(self, tmp_path: Path):
        create(tmp_path, "a = 1\r\n# é\n")
        assert read(tmp_path) == "a = 1\r\n# é\n"

    def test_none_when_there_is_none(self, tmp_path: Path):
        assert read(tmp_path) is None

    def test_create_never_overwrites(self, tmp_path: Path):
        create(tmp_path, "a = 1\n")
        with pytest.raises(FileExistsError):
            create(tmp_path, "b = 1\n")

    def test_replace_keeps_the_mode_and_leaves_nothing_behind(self, tmp_path: Path):
        create(tmp_path, "a = 1\n")
        (tmp_path / "apimarket.toml").chmod(0o600)
        replace(tmp_path, "b = 1\n")
        assert read(tmp_path) == "b = 1\n"
        assert os.stat(tmp_path / "apimarket.toml").st_mode & 0o777 == 0o600
        assert os.listdir(tmp_path) == ["apimarket.toml"]

    def test_a_link_out_is_neither_read_nor_written(self, tmp_path: Path):
        root = tmp_path / "api"
        root.mkdir()
        (tmp_path / "outside.toml").write_text("secret = 1\n")
        (root / "apimarket.toml").symlink_to("../outside.toml")
        with pytest.raises(UnusableDirectory, match="leads out of it"):
            read(root)
        with pytest.raises(UnusableDirectory, match="leads out of it"):
            replace(root, "x = 1\n")
        assert (tmp_path / "outside.toml").read_text() == "secret = 1\n"

    def test_what_is_not_utf8_is_told_with_its_line(self, tmp_path: Path):
        (tmp_path / "apimarket.toml").write_bytes(b"a = 1\nb = '\xe9'\n")
        with pytest.raises(InvalidManifest) as refused:
            read(tmp_path)
        assert refused.value.problems[0].line == 2
