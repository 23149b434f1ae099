"""What a publish may hold."""

from typing import Any

import pytest

from local_server.domain.errors import ApimarketError
from local_server.domain.ids import Digest
from local_server.domain.publishing import Limits, TreeDelta, request_hash
from local_server.domain.refs import START, ChangeKind, Cursor, Refs, chained, refs_document, refs_from
from local_server.domain.sync_errors import PublishRefused, TreeMismatch, TreeTooLarge
from local_server.domain.trees import Tree, TreeEntry

LIMITS = Limits(files=5, file_bytes=1000, tree_bytes=3000)


def entry(content: str = "a", **more: Any) -> TreeEntry:
    return TreeEntry(**{"sha256": f"{ord(content[0]):064x}", "size_bytes": len(content), "mode": 0o644, **more})


def apply(put: dict[str, TreeEntry], delete: set[str] = frozenset(), base: Tree | None = None) -> Tree:  # type: ignore[assignment]
    delta = TreeDelta(base.digest if base else None, put, frozenset(delete))
    expected = {path: kept for path, kept in (base.entries if base else {}).items() if path not in delete} | put
    delta.check(LIMITS)
    return delta.applied(base, Tree(expected).digest, LIMITS)


class TestDelta:
    def test_makes_the_tree_of_base_put_and_delete(self) -> None:
        base = Tree({"a": entry("a"), "b": entry("b")})
        assert apply({"c": entry("c"), "a": entry("x")}, {"b"}, base).entries == {"c": entry("c"), "a": entry("x")}

    def test_without_a_base_is_all_that_is_put(self) -> None:
        assert apply({"a": entry()}).entries == {"a": entry()}

    def test_that_makes_another_tree_than_said_is_refused(self) -> None:
        with pytest.raises(TreeMismatch):
            TreeDelta(None, {"a": entry()}, frozenset()).applied(None, Digest("0" * 64), LIMITS)

    @pytest.mark.parametrize(
        "path",
        ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a", "a\\b", "a\0b", "a\nb", "e\u0301", "\ud800", "x" * 1025],
    )
    def test_with_a_hostile_path_is_refused(self, path: str) -> None:
        with pytest.raises(PublishRefused, match="path"):
            TreeDelta(None, {path: entry()}, frozenset()).check(LIMITS)

    @pytest.mark.parametrize(
        ("paths", "why"),
        [
            (["Readme", "README"], "both"),
            (["a", "a/b"], "both"),
            (["A", "a/b"], "both"),
            (["straße", "STRASSE"], "both"),
        ],
    )
    def test_with_colliding_paths_is_refused(self, paths: list[str], why: str) -> None:
        with pytest.raises(PublishRefused, match=why):
            apply(dict.fromkeys(paths, entry()))

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            ({"mode": 0o777}, "mode"),
            ({"mode": 0o4755}, "mode"),
            ({"size_bytes": -1}, "bytes"),
            ({"sha256": "A" * 64}, "no SHA-256"),
            ({"sha256": "a" * 63}, "no SHA-256"),
        ],
    )
    def test_with_an_impossible_entry_is_refused(self, wrong: dict[str, Any], why: str) -> None:
        with pytest.raises(PublishRefused, match=why):
            TreeDelta(None, {"a": entry(**wrong)}, frozenset()).check(LIMITS)

    def test_over_a_limit_is_refused_in_words(self) -> None:
        with pytest.raises(TreeTooLarge, match="6 files; 5 are allowed"):
            TreeDelta(None, {f"{n}": entry() for n in range(6)}, frozenset()).check(LIMITS)
        with pytest.raises(TreeTooLarge, match="1,001 bytes"):
            TreeDelta(None, {"a": entry(size_bytes=1001)}, frozenset()).check(LIMITS)
        with pytest.raises(TreeTooLarge, match="4,000 bytes"):
            apply({name: entry(name, size_bytes=1000) for name in "abcd"})

    def test_that_grows_a_base_over_a_limit_is_refused(self) -> None:
        base = Tree({f"{n}": entry() for n in range(5)})
        with pytest.raises(TreeTooLarge, match="6 files"):
            apply({"new": entry()}, set(), base)

    @pytest.mark.parametrize("base", [None, Tree({"a": entry()})])
    def test_that_deletes_what_is_not_there_is_refused(self, base: Tree | None) -> None:
        with pytest.raises(PublishRefused, match="delete"):
            apply({"c": entry()}, {"b"}, base)

    def test_that_puts_and_deletes_one_path_is_refused(self) -> None:
        with pytest.raises(PublishRefused, match="is put as well"):
            TreeDelta(Digest("0" * 64), {"a": entry()}, frozenset({"a"})).check(LIMITS)

    def test_that_gives_one_blob_two_sizes_is_refused(self) -> None:
        with pytest.raises(PublishRefused, match="two sizes"):
            apply({"a": entry(), "b": entry(size_bytes=2)})


class TestRequestHash:
    def test_is_of_what_is_published_and_upon_what(self) -> None:
        hashes = {request_hash(Digest(version * 64), rev) for version in "ab" for rev in (1, 2)}
        assert len(hashes) == 4


class TestFeed:
    REFS = Refs(api_id="api", user_id="user", owner="ana", slug="weather")  # type: ignore[arg-type]

    def test_cursor_covers_everything_before(self) -> None:
        one = chained(START, ChangeKind.PUBLISHED, self.REFS)
        other = chained(START, ChangeKind.REMOVED, self.REFS)
        assert one.number == other.number == 1
        assert chained(one, ChangeKind.YANKED, self.REFS) != chained(other, ChangeKind.YANKED, self.REFS)

    def test_cursor_comes_back_from_its_text(self) -> None:
        cursor = chained(START, ChangeKind.PUBLISHED, self.REFS)
        assert Cursor.parse(str(cursor)) == cursor
        assert Cursor.parse("") == Cursor.parse("0") == Cursor.parse(str(START)) == START

    @pytest.mark.parametrize(
        "text", ["1", "-1", "1-", "01-" + "0" * 16, "1-" + "0" * 15, "9" * 30, "x", "1-" + "G" * 16]
    )
    def test_what_is_no_cursor_is_told(self, text: str) -> None:
        assert Cursor.parse(text) is None

    def test_refs_come_back_from_their_document(self) -> None:
        assert refs_from(refs_document(self.REFS)) == self.REFS


def test_every_refusal_says_what_to_do_next() -> None:
    error: ApimarketError
    for error in (TreeMismatch("a", "b"), PublishRefused("put", "x"), TreeTooLarge("tree", "x")):
        assert error.hint
