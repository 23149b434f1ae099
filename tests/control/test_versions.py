"""Versions over real HTTP: made, served side by side, moved between, deprecated."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.control.conftest import Answer, Running, wait_for


class Api:
    """One registered API, whose directory answers what was saved last."""

    def __init__(self, running: Running, directory: Path, name: str) -> None:
        self.running, self.directory, self.name = running, directory, name
        made = running.ask("POST", "/api/v1/apis", {"directory": str(directory), "name": name})
        assert made.status == 201, made.body
        wait_for(lambda: self.ask("GET", "").json["serving"])

    def ask(self, method: str, act: str, body: Any = None) -> Answer:
        return self.running.ask(method, f"/api/v1/apis/{self.name}{act}", body)

    def call(self, pin: str = "", headers: dict[str, str] | None = None) -> Answer:
        return self.running.ask("GET", f"/ana/{self.name}{pin}/", token=None, headers=headers)

    def save(self, answer: str) -> None:
        (self.directory / "answer.txt").write_text(answer)
        wait_for(lambda: self.call("@dev").body.decode() == answer)

    def deploy(self, version: str, **more: Any) -> None:
        answer = self.ask("POST", "/deploy", {"version": version, **more})
        assert answer.status == 202, answer.body
        wait_for(lambda: self.ask("GET", "/traffic").json["pending"] is None)

    @property
    def shares(self) -> dict[str, int]:
        return {share["target"]: share["weight"] for share in self.ask("GET", "/traffic").json["shares"]}


@pytest.fixture
def api(running: Running, project: Path) -> Iterator[Api]:
    api = Api(running, project, "weather")
    yield api
    assert api.ask("DELETE", "").status == 204


class TestServing:
    def test_three_at_once_and_the_directory_goes_on(self, api: Api) -> None:
        for version, answer in (("1.0.0", "one"), ("1.1.0", "two"), ("2.0.0", "three")):
            api.save(answer)
            api.deploy(version)
        api.save("four")
        expected = {"": "three", "@1.0.0": "one", "@1.0": "one", "@1": "two", "@2.0.0": "three", "@latest": "three",
                    "@dev": "four", "%401.0.0": "one"}  # fmt: skip
        assert {pin: api.call(pin).body.decode() for pin in expected} == expected
        assert api.call("@1").headers["x-apimarket-version"] == "1.1.0"
        assert "x-apimarket-version" not in api.call("@dev").headers
        assert api.ask("GET", "").json["shares"] == {"2.0.0": 100}

    def test_what_answered_stands_in_the_log(self, api: Api) -> None:
        api.deploy("1.0.0")
        api.call("@1"), api.call("@dev")
        rows = wait_for(lambda: len(rows := api.ask("GET", "/requests").json) >= 2 and rows)
        assert [row["version"] for row in rows][:2] == ["", "1.0.0"]

    def test_an_unknown_pin_is_told_what_there_is(self, api: Api) -> None:
        api.deploy("1.0.0", channel="beta")
        api.save("later")
        api.deploy("1.1.0")
        for pin in ("@9", "@1.0.1", "@gamma", "@"):
            answer = api.call(pin)
            assert answer.headers["content-type"] == "application/problem+json"
            assert (answer.status, answer.json["code"]) == (404, "version_not_found")
            assert answer.json["known"] == ["1.1.0", "1.0.0", "1", "1.0", "1.1", "beta", "dev", "latest"]
        assert api.running.ask("GET", "/ana/nothing@1/", token=None).json["code"] == "api_not_found"

    def test_a_missing_slash_is_added_behind_the_pin(self, api: Api) -> None:
        api.deploy("1.0.0")
        answer = api.running.ask("GET", "/ana/weather@1", token=None)
        assert (answer.status, answer.headers["location"]) == (308, "/ana/weather@1/")

    def test_the_program_is_told_its_own_prefix(self, api: Api) -> None:
        api.deploy("1.0.0")
        request_id = api.call("@1").headers["x-request-id"]
        kept = wait_for(lambda: (found := api.ask("GET", f"/exchanges/{request_id}")).status == 200 and found)
        assert "/ana/weather@1/" in kept.json["curl"]


class TestDifference:
    def test_from_the_newest_version_to_the_directory(self, api: Api) -> None:
        api.save("one\ntwo\n")
        api.deploy("1.0.0")
        assert api.ask("GET", "/diff").json["same"]
        api.save("one\n2\n")
        (api.directory / "logo.png").write_bytes(b"\x89PNG\0\0")
        (api.directory / "huge.csv").write_bytes(b"1,2,3,4\n" * 200_000)
        found = wait_for(lambda: len((told := api.ask("GET", "/diff").json)["files"]) == 3 and told)
        assert (found["first"]["name"], found["second"]["name"], found["same"]) == ("1.0.0", "dev", False)
        text, huge, logo = found["files"]
        assert (text["path"], text["change"], text["added"], text["removed"]) == ("answer.txt", "changed", 1, 1)
        assert text["lines"] == ["@@ -1,2 +1,2 @@", " one", "-two", "+2"]
        assert (huge["path"], huge["kind"], huge["lines"], huge["size_after"]) == ("huge.csv", "large", [], 1_600_000)
        assert (logo["change"], logo["kind"], logo["size_before"], logo["complete"]) == ("added", "binary", None, True)

    def test_any_two_states_and_one_file_alone(self, api: Api) -> None:
        api.save("one")
        api.deploy("1.0.0")
        before = f"g{api.ask('GET', '').json['serving']}"
        api.save("two")
        api.deploy("1.1.0", channel="beta")
        api.save("three")

        def sides(query: str) -> tuple[str, str, list[str]]:
            told = api.ask("GET", f"/diff?{query}").json
            return told["first"]["name"], told["second"]["name"], [one["path"] for one in told["files"]]

        assert sides("from=1.0.0&to=@beta") == ("1.0.0", "1.1.0", ["answer.txt"])
        assert sides(f"from={before}&to=1.0") == (before, "1.0.0", [])
        assert sides("to=1") == ("1.0.0", "1.1.0", ["answer.txt"])
        serving = f"g{api.ask('GET', '').json['serving']}"
        assert sides("from=serving&to=dev") == (serving, "dev", [])
        assert sides("from=1.0.0&to=dev&path=main.py") == ("1.0.0", "dev", [])
        assert sides("from=1.0.0&to=dev&path=answer.txt") == ("1.0.0", "dev", ["answer.txt"])

    def test_a_long_difference_is_cut_and_one_file_alone_is_not(self, api: Api) -> None:
        api.deploy("1.0.0")
        (api.directory / "long.txt").write_text("".join(f"{n}\n" for n in range(5_000)))
        (long,) = api.ask("GET", "/diff").json["files"]
        assert (len(long["lines"]), long["added"], long["complete"]) == (2_000, 5_000, False)
        (long,) = api.ask("GET", "/diff?path=long.txt").json["files"]
        assert (len(long["lines"]), long["complete"]) == (5_001, True)

    def test_what_is_not_there_is_told(self, api: Api) -> None:
        codes = {
            ref: (answer := api.ask("GET", f"/diff?from={ref}")).json["code"] for ref in ("9.9.9", "g99", "nothing")
        }
        assert codes == {"9.9.9": "version_not_found", "g99": "generation_not_found", "nothing": "version_not_found"}
        assert answer.status == 404
        api.ask("POST", "/stop")
        nothing = api.ask("GET", "/diff")
        assert (nothing.status, nothing.json["code"]) == (409, "nothing_to_compare")


class TestTraffic:
    def test_a_canary_is_sticky_and_a_rollback_is_at_once(self, api: Api) -> None:
        api.save("one")
        api.deploy("1.0.0")
        api.save("two")
        api.deploy("1.1.0", weight=50)
        keys = [api.ask("POST", "/keys", {"name": f"k{n}"}).json["key"] for n in range(24)]
        said = [[api.call("", {"X-Api-Key": key}).body.decode() for _ in range(3)] for key in keys]
        assert all(len(set(answers)) == 1 for answers in said)
        assert set(Counter(answers[0] for answers in said)) == {"one", "two"}
        assert api.ask("POST", "/rollback").json["shares"] == [{"target": "1.0.0", "weight": 100}]
        assert {api.call("", {"X-Api-Key": key}).body.decode() for key in keys} == {"one"}

    def test_what_does_not_start_says_why_and_moves_nothing(self, api: Api) -> None:
        api.save("one")
        api.deploy("1.0.0")
        api.ask("POST", "/stop")
        (api.directory / "syntax-error").write_text("SyntaxError: invalid syntax")
        api.ask("POST", "/versions/1.0.0/start")
        api.deploy("1.1.0")
        failed = api.ask("GET", "/versions/1.1.0").json
        assert (failed["state"], failed["error"]) == ("failed", "SyntaxError: invalid syntax (main.py:1)")
        assert (failed["failure"]["file"], failed["failure"]["line"]) == ("main.py", 1)
        assert api.shares == {"1.0.0": 100}
        assert api.call().body == b"one"
        log = [line["text"] for line in api.ask("GET", "/logs?version=1.1.0").json]
        assert "the traffic stays where it is: it did not become ready" in log

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"version": "1.0"}, 422, "not_a_version"),
            ({"version": "0.9.0"}, 409, "version_too_low"),
            ({"version": "1.0.0"}, 409, "version_exists"),
            ({"version": "2.0.0", "weight": 101}, 422, "invalid_request"),
            ({"version": "2.0.0", "channel": "dev"}, 422, "invalid_channel"),
            ({"version": "2.0.0", "traffic": 1}, 422, "invalid_request"),
        ],
    )
    def test_refusals_make_nothing(self, api: Api, body: dict[str, Any], status: int, code: str) -> None:
        api.deploy("1.0.0")
        api.save("other files")
        answer = api.ask("POST", "/deploy", body)
        assert (answer.status, answer.json["code"]) == (status, code), answer.body
        assert [version["version"] for version in api.ask("GET", "/versions").json] == ["1.0.0"]


class TestEndings:
    def test_headers_of_a_deprecated_version_are_exact(self, api: Api) -> None:
        api.deploy("1.0.0")
        api.save("two")
        api.deploy("1.1.0")
        sunset_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        marked = api.ask("PATCH", "/versions/1.0.0", {"sunset_at": sunset_at.isoformat()}).json
        headers = api.call("@1.0.0").headers
        assert headers["deprecation"] == f"@{int(datetime.fromisoformat(marked['deprecated_at']).timestamp())}"
        assert headers["sunset"] == format_datetime(sunset_at, usegmt=True)
        assert headers["link"] == '</ana/weather@1.1.0/>; rel="successor-version"'
        assert not {"deprecation", "sunset", "link"} & api.call("@1.1.0").headers.keys()
        api.ask("PATCH", "/versions/1.0.0", {"deprecated": False})
        assert not {"deprecation", "sunset", "link"} & api.call("@1.0.0").headers.keys()

    def test_after_its_sunset_it_is_gone(self, api: Api) -> None:
        api.deploy("1.0.0")
        api.save("two")
        api.deploy("1.1.0")
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        assert api.ask("PATCH", "/versions/1.0.0", {"sunset_at": soon.isoformat()}).status == 200
        assert api.call("@1.0.0").status == 200
        gone = wait_for(lambda: (answer := api.call("@1.0.0")).status == 410 and answer)
        assert datetime.now(UTC) >= soon
        assert (gone.json["code"], gone.json["successor"]) == ("version_sunset", "1.1.0")
        assert api.call("@1").status == 200

    def test_yanked(self, api: Api) -> None:
        api.deploy("1.0.0")
        answer = api.ask("PATCH", "/versions/1.0.0", {"yanked": True, "reason": "leaks"})
        assert (answer.json["yanked_reason"], answer.json["channels"]) == ("leaks", [])
        assert [api.call(pin).status for pin in ("@1.0.0", "@1", "@latest", "")] == [200, 404, 404, 200]


class TestChannels:
    def test_lead_where_they_are_told_to(self, api: Api) -> None:
        api.save("one")
        api.deploy("1.0.0", channel="stable")
        api.save("two")
        api.deploy("1.1.0", weight=0)
        assert api.ask("PUT", "/channels/beta", {"version": "1.1.0"}).status == 202
        assert api.ask("GET", "/channels").json["channels"] == {"stable": "1.0.0", "beta": "1.1.0", "latest": "1.1.0"}
        assert [api.call(pin).body for pin in ("@stable", "@beta", "")] == [b"one", b"two", b"one"]
        assert "beta" not in api.ask("DELETE", "/channels/beta").json["channels"]
        assert api.call("@beta").status == 404
        for name in ("dev", "latest", "A", "x" * 40):
            assert api.ask("PUT", f"/channels/{name}", {"version": "1.0.0"}).json["code"] == "invalid_channel"


class TestStopping:
    def test_one_that_has_traffic_is_not_stopped(self, api: Api) -> None:
        api.deploy("1.0.0")
        refused = api.ask("POST", "/versions/1.0.0/stop")
        assert (refused.status, refused.json["code"]) == (409, "version_in_traffic")
        api.ask("PUT", "/traffic", {"target": "dev"})
        assert api.ask("POST", "/versions/1.0.0/stop").json["state"] == "stopped"
        answer = api.call("@1.0.0")
        assert (answer.status, answer.json["code"]) == (503, "api_unavailable")
        api.ask("POST", "/versions/1.0.0/start")
        assert api.call("@1.0.0").status == 200  # held until it is ready

    def test_the_directory_is_stopped_alone_where_it_has_no_traffic(self, api: Api) -> None:
        assert api.ask("POST", "/stop?directory=true").json["code"] == "version_in_traffic"
        api.deploy("1.0.0")
        stopped = api.ask("POST", "/stop?directory=true").json
        assert (stopped["state"], stopped["shares"]) == ("running", {"1.0.0": 100})
        assert [api.call(pin).status for pin in ("", "@1", "@dev")] == [200, 200, 503]
        assert api.ask("POST", "/deploy").status == 202
        assert api.call("@dev").status == 200
