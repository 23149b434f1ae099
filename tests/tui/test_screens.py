"""Every screen at three sizes against a text baseline. APIMARKET_UPDATE_SCREENS=1 writes the baselines anew."""

import os
from pathlib import Path

import pytest

from .screen_text import screen_text
from .screens import SCREENS, running, settle

BASELINES = Path(__file__).parent / "snapshots"
SIZES = ((80, 24), (120, 40), (60, 15))


@pytest.mark.parametrize("name", SCREENS)
async def test_looks_as_it_did(name: str) -> None:
    texts: dict[Path, str] = {}
    async with running(size=SIZES[0]) as pilot:
        await SCREENS[name](pilot)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await settle(pilot)
            texts[BASELINES / f"{name}-{size[0]}x{size[1]}.txt"] = screen_text(pilot.app)
    for baseline, text in texts.items():
        if os.environ.get("APIMARKET_UPDATE_SCREENS"):
            baseline.write_text(text, encoding="utf-8")
        assert text == baseline.read_text(encoding="utf-8"), baseline.name


async def test_smaller_than_the_least_says_so() -> None:
    async with running(size=(59, 14)) as pilot:
        assert screen_text(pilot.app).split("\n")[6].strip() == "needs at least 60×15, this is 59×14"
        await pilot.resize_terminal(60, 15)
        await settle(pilot)
        assert "billing" in screen_text(pilot.app)
