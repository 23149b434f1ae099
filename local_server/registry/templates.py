"""The projects a new API can begin as: `templates/` in a checkout, `local_server/_templates` once installed. Blocking.

What a template is called and what it is for stands in `templates/index.toml`, which is never copied.
"""

import importlib.resources
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from local_server.domain.manifest import Runtime
from local_server.domain.registry_errors import TemplateNotFound
from local_server.registry.ignore import Ignore
from local_server.registry.source import walk

INDEX = "index.toml"
_NAME = b"{{name}}"


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    runtime: Runtime
    title: str
    summary: str
    """One sentence."""
    directory: Path


@cache
def templates_root() -> Path:
    package = Path(str(importlib.resources.files("local_server")))
    installed = package / "_templates"
    return installed if (installed / INDEX).is_file() else package.parent / "templates"


def list_templates(root: Path | None = None) -> Sequence[Template]:
    """In the order of the index: the usual choice first."""
    root = root or templates_root()
    index = tomllib.loads((root / INDEX).read_text(encoding="utf-8"))
    return [
        Template(name, Runtime(about["runtime"]), about["title"], about["summary"], root / name)
        for name, about in index.items()
    ]


def find_template(name: str, root: Path | None = None) -> Template:
    """Raises TemplateNotFound."""
    templates = list_templates(root)
    for template in templates:
        if template.name == name:
            return template
    raise TemplateNotFound(name, [template.name for template in templates])


def write_template(template: Template, target: Path, name: str) -> None:
    """Copy a template's files below `target`, which must exist, with `name` put in where they ask for it."""
    for file in walk(template.directory, Ignore.load(template.directory)):
        place = target / file.relative
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(Path(file.path).read_bytes().replace(_NAME, name.encode()))
        place.chmod(0o755 if file.stat.st_mode & 0o100 else 0o644)
