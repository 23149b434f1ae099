import pytest

from local_server.client import calls
from local_server.client.calls import Call


class TestPaths:
    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("hello", "/api/v1/apis/hello"),
            ("ana/weather", "/api/v1/apis/ana/weather"),
            ("a b?x#y", "/api/v1/apis/a%20b%3Fx%23y"),
            ("a\r\nHost: evil", "/api/v1/apis/a%0D%0AHost%3A%20evil"),
        ],
    )
    def test_a_name_cannot_leave_its_place(self, name: str, path: str) -> None:
        assert calls.api(name).path == path

    def test_only_given_values_are_asked_for(self) -> None:
        assert calls.apis().path == "/api/v1/apis"
        assert calls.logs("hello", 5).path == "/api/v1/apis/hello/logs?limit=5"
        assert (
            calls.logs("hello", 5, "2026-01-31T12:00:00+00:00").path
            == "/api/v1/apis/hello/logs?limit=5&since=2026-01-31T12%3A00%3A00%2B00%3A00"
        )

    def test_topics_are_one_value(self) -> None:
        assert calls.events(["api", "log:1"]).path == "/api/v1/events?topics=api%2Clog%3A1"

    def test_stopping_says_what_becomes_of_the_apis(self) -> None:
        assert calls.stop_server(apis=True) == Call(
            "POST", "/api/v1/server/stop?apis=true", "server:Ack", timeout_s=60.0
        )
