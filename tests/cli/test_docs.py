"""The documentation names every verb, option and variable, and only those that exist."""

import re
from pathlib import Path

import click
import pytest

from local_server.cli.program import program
from local_server.cli.verbs import VERBS
from local_server.settings import Settings

ROOT = Path(__file__).parents[2]
COMMANDS = (ROOT / "docs/commands.md").read_text("utf-8")
VARIABLES = COMMANDS.partition("## Environment")[2]
PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ROWS = "\n".join(line for line in COMMANDS.splitlines() if line.startswith("| `apimarket"))


def options_of(name: str) -> set[str]:
    command = program.get_command(click.Context(program), name)
    assert command is not None
    of_acts = command.commands.values() if isinstance(command, click.Group) else []
    params = [param for one in (command, *of_acts) for param in one.params]
    shown = [option for option in params if isinstance(option, click.Option) and not option.hidden]
    return {spelling for option in shown for spelling in (*option.opts, *option.secondary_opts)} - {"--json"}


def leads_somewhere(page: Path, link: str) -> bool:
    """To a file that is there, and to a heading in it, by the name that it has in a link."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not anchor or not target.exists():
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


class TestCommandsPage:
    @pytest.mark.parametrize("name", sorted(VERBS))
    def test_it_names_the_verb_with_every_option(self, name: str) -> None:
        rows = "\n".join(line for line in ROWS.splitlines() if re.match(rf"\| `apimarket {name}\b", line))

        assert rows, f"docs/commands.md has no row for {name}"
        assert {option for option in options_of(name) if f"`{option}`" not in rows} == set()

    def test_it_names_nothing_else(self) -> None:
        named = set(re.findall(r"^\| `apimarket ([a-z]+)", COMMANDS, re.MULTILINE))
        options = set(re.findall(r"`(--?[a-z-]+)`", ROWS))

        assert named == set(VERBS)
        assert options <= set.union(*(options_of(name) for name in VERBS))

    def test_it_has_one_row_for_each_form_of_a_command(self) -> None:
        forms = re.findall(r"^\| (`apimarket [^`]+`)", COMMANDS, re.MULTILINE)

        assert {form for form in forms if forms.count(form) > 1} == set()

    def test_it_names_every_variable_that_is_read(self) -> None:
        sources = [
            path
            for place in ("local_server/cli/*.py", "local_server/client/*.py", "scripts/*")
            for path in ROOT.glob(place)
        ]
        read = set(re.findall(r"\bAPIMARKET_[A-Z]+\b", "\n".join(source.read_text("utf-8") for source in sources)))

        assert {name for name in read if f"`{name}`" not in VARIABLES} == set()

    def test_it_names_every_setting_of_the_server(self) -> None:
        settings = {f"APIMARKET_{name.upper()}" for name in Settings.model_fields}

        assert {name for name in settings if f"`{name}`" not in VARIABLES} == set()


class TestOtherPages:
    @pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md", "docs/development.md", "CHANGELOG.md"])
    def test_every_command_in_it_exists(self, page: str) -> None:
        text = (ROOT / page).read_text("utf-8")
        code = re.findall(r"`[^`\n]+`", text) + "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
        verbs = set(re.findall(r"^`?(?:apimarket|scripts/run) ([a-z]+)", "\n".join(code), re.MULTILINE))

        assert verbs <= set(VERBS)
        assert verbs or page == "docs/development.md"

    @pytest.mark.parametrize("page", PAGES)
    def test_every_link_leads_somewhere(self, page: str) -> None:
        links = re.findall(r"\]\((?!http)([^)\s]+)\)", (ROOT / page).read_text("utf-8"))

        assert [link for link in links if not leads_somewhere(ROOT / page, link)] == []

    def test_the_tour_is_one_block_of_known_commands(self) -> None:
        readme = (ROOT / "README.md").read_text("utf-8")
        tour = re.search(r"<!-- tour:.*?-->\n```sh\n(.*?)```", readme, re.DOTALL)

        assert tour is not None
        programs = {line.split()[0] for line in tour[1].splitlines()}
        assert programs == {"apimarket", "sed"}
