"""docs/events.md names every event with its members, and only those that exist."""

import re
from pathlib import Path
from typing import get_args

from local_server.wire.events import WireEvent

PAGE = (Path(__file__).parents[2] / "docs/events.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)


def test_each_event_stands_in_it_with_its_members() -> None:
    told = {name: set(re.findall(r"(?:^|, )`(\w+)`", members)) for name, members in ROWS}
    assert told == {
        event.model_fields["topic"].default: set(event.model_fields) - {"topic"} for event in get_args(WireEvent)
    }
