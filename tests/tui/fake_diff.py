"""How the files of weather differ: one of each kind of change, all in memory."""

from local_server.wire.versions import FileDifferenceView, TreeDifferenceView, TreeSideView

MAIN = [
    "@@ -1,8 +1,9 @@",
    " import json",
    "-import urllib.request",
    "+import httpx",
    " ",
    "+from places import nearest",
    " ",
    " async def now(request):",
    '-    place = request.query["q"]',
    "-    with urllib.request.urlopen(WEATHER + place) as answer:",
    "-        return json.load(answer)",
    '+    place = nearest(request.query.get("q", "oslo"))',
    "+    async with httpx.AsyncClient() as client:",
    '+        answer = await client.get(WEATHER, params={"place": place.id})',
    "+    return json.loads(answer.text)",
    "@@ -31,4 +32,4 @@",
    " def units(request):",
    '-    return {"units": "metric"}\r',
    '+    return {"units": "metric"}',
    " ",
    " ",
]


def a_file(path: str, change: str = "changed", **fields: object) -> FileDifferenceView:
    values: dict[str, object] = {
        "path": path,
        "path_before": None,
        "change": change,
        "kind": "text",
        "size_before": None if change == "added" else 2_048,
        "size_after": None if change == "removed" else 2_311,
        "mode_before": None if change == "added" else "644",
        "mode_after": None if change == "removed" else "644",
        "added": 0,
        "removed": 0,
        "lines": [],
        "complete": True,
    }
    return FileDifferenceView.model_validate(values | fields)


def some_files() -> list[FileDifferenceView]:
    places = [f"+place {number}" for number in range(40)]
    return [
        a_file("apimarket.toml", added=1, removed=1, lines=["@@ -4 +4 @@", '-version = "1.2.0"', '+version = "1.3.0"']),
        a_file("cities.csv", kind="large", size_before=4_200_000, size_after=4_310_000, added=None, removed=None),
        a_file("main.py", added=8, removed=5, lines=MAIN),
        a_file("places.py", "added", added=840, lines=["@@ -0,0 +1,840 @@", *places], complete=False),
        a_file("static/logo.png", kind="binary", size_before=9_400, size_after=12_900, added=None, removed=None),
        a_file("tests/test_now.py", "renamed", path_before="test_now.py", size_before=2_311),
        a_file("urls.py", "removed", removed=2, lines=["@@ -1,2 +0,0 @@", '-WEATHER = "http://weather.example"', "-"]),
    ]


def a_difference(first: str, second: str, files: list[FileDifferenceView]) -> TreeDifferenceView:
    sides = [TreeSideView(name=name, tree="9e3779b1" * 8, files=14, size_bytes=92_460) for name in (first, second)]
    return TreeDifferenceView(first=sides[0], second=sides[1], same=not files, files=files, more=0)
