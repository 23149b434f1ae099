"""The documentation leads somewhere, and leaves nothing out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES])
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    place = page.parent / path if path else page
    if not anchor:
        return place.exists()
    # As GitHub names a heading: lower case, blanks as hyphens, and no other signs.
    headings = re.findall(r"^#+ (.*)$", place.read_text("utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_has_every_decision() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text("utf-8")
    records = [path.name for path in sorted(ROOT.glob("docs/decisions/[0-9]*.md"))]
    assert re.findall(r"^\| \[\d+\]\((\S+)\)", index, re.MULTILINE) == records
    assert len({name[:4] for name in records}) == len(records)


def test_the_architecture_names_every_package() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    packages = {f"local_server/{path.parent.name}" for path in ROOT.glob("local_server/*/__init__.py")}
    assert len(packages) > 8
    assert {package for package in packages if f"| `{package}`" not in page} == set()


def test_every_file_that_the_architecture_names_exists() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", page))
    assert named
    missing = {name for name in named if not ((ROOT / name).exists() or (ROOT / "local_server" / name).exists())}
    assert missing == set()


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text("utf-8")
    pages = {path.name for path in ROOT.glob("docs/*.*")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
