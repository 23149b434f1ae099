"""Draws the screens as SVG: `scripts/screens [NAME...]`."""

import asyncio
import re
import sys
from pathlib import Path

from .screens import SCREENS, running

SIZES = ((80, 24), (120, 40))
FOLDER = Path(__file__).parents[2] / "docs" / "screens"
# Two more looks at the first screen.
LIGHT = ("local", "console-answer")


def strip_addresses(svg: str) -> str:
    """The picture without the web fonts Rich links to: it must show the same offline, and tell nobody it was opened."""
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    return svg.replace("Fira Code, monospace", "'Fira Code', 'DejaVu Sans Mono', Menlo, Consolas, monospace")


def stable_ids(svg: str, name: str) -> str:
    """Rich numbers its classes by a hash of the content; a name of ours keeps changes readable."""
    return re.sub(r"terminal-\d+", f"{name}", svg)


async def draw(name: str, size: tuple[int, int], light: bool = False) -> Path:
    async with running(size=size) as pilot:
        if light:
            await pilot.press("ctrl+t")
        await SCREENS[name](pilot)
        pilot.app.screen.set_focus(pilot.app.screen.focused)
        svg = pilot.app.export_screenshot(title="apimarket", simplify=True)
    label = f"{name}{'-light' if light else ''}-{size[0]}x{size[1]}"
    path = FOLDER / f"{label}.svg"
    text = stable_ids(strip_addresses(svg), label)
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
    return path


async def main(names: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or SCREENS:
        for size in SIZES:
            print(await draw(name, size))
        if name in LIGHT:
            print(await draw(name, SIZES[1], light=True))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
