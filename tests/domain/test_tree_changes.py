from typing import Literal

from local_server.domain.tree_changes import tree_changes
from local_server.domain.trees import Tree, TreeEntry


def a_tree(**files: str) -> Tree:
    return Tree({path.replace("_", "/"): TreeEntry.of(text.encode()) for path, text in files.items()})


def words(first: Tree, second: Tree) -> list[tuple[str, str | None, str]]:
    return [(change.path, change.path_before, change.word) for change in tree_changes(first, second)]


def test_each_file_says_what_became_of_it() -> None:
    first = a_tree(main="one", gone="g", same="s", lib_old="moved")
    second = a_tree(main="two", new="n", same="s", lib_new="moved")
    assert words(first, second) == [
        ("gone", None, "removed"),
        ("lib/new", "lib/old", "renamed"),
        ("main", None, "changed"),
        ("new", None, "added"),
    ]
    assert words(first, first) == []


def test_one_place_gives_way_to_one_only() -> None:
    first, second = a_tree(a="same", b="same"), a_tree(c="same", d="same", e="same")
    assert words(first, second) == [("c", "a", "renamed"), ("d", "b", "renamed"), ("e", None, "added")]


def test_empty_files_are_no_trace_of_each_other() -> None:
    assert words(a_tree(a=""), a_tree(b="")) == [("a", None, "removed"), ("b", None, "added")]


def test_whether_it_can_be_executed_is_a_change_too() -> None:
    def run(mode: Literal[0o644, 0o755]) -> Tree:
        return Tree({"run.sh": TreeEntry.of(b"exit 0", mode)})

    assert words(run(0o644), run(0o755)) == [("run.sh", None, "mode")]
