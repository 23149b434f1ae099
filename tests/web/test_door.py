"""Who is let in to the terminal UI in the browser: one who has the link, once, and then its cookie."""

from __future__ import annotations

import sys

import pytest

from local_server.domain.web_errors import WebMissing
from local_server.web.room import Room

from .conftest import House

HTML = {"accept": "text/html,application/xhtml+xml"}
PATHS = ["/-/", "/-/own/page.js", "/-/library/js/textual.js", "/-/terminal", "/-/nothing", "/elsewhere"]
UPGRADE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


class TestLink:
    async def test_it_lets_a_browser_in_with_a_cookie_that_nothing_else_can_read(self, house: House) -> None:
        answer = await house.client.get(house.links[0], headers=HTML)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert set(attributes) == {"Path=/-/", "HttpOnly", "SameSite=Strict"}
        for path in ("/-/", "/-/own/page.js", "/-/library/js/textual.js"):
            assert (await house.client.get(path, headers={"cookie": cookie})).status_code == 200

    async def test_it_is_good_once_and_the_next_one_is_told(self, house: House) -> None:
        await house.enter()
        first, second = house.links
        answer = await house.client.get(first, headers=HTML)
        assert answer.status_code == 403
        assert "used already" in answer.text
        assert "set-cookie" not in answer.headers
        assert (await house.client.get(second)).status_code == 200

    async def test_who_is_in_does_not_use_up_another(self, house: House) -> None:
        cookie = await house.enter()
        assert (await house.client.get(house.links[-1], headers={"cookie": cookie})).status_code == 200
        assert len(house.links) == 2

    async def test_asking_for_its_head_does_not_use_it_up(self, house: House) -> None:
        assert (await house.client.head(house.links[0])).status_code == 403
        assert (await house.client.get(house.links[0])).status_code == 200

    @pytest.mark.parametrize("path", PATHS)
    async def test_nothing_is_there_without_it(self, house: House, path: str) -> None:
        answer = await house.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "link_needed")
        assert "apimarket web" in answer.json()["hint"]
        page = await house.client.get(path, headers=HTML)
        assert page.status_code == 403
        assert "Open that one." in page.text

    @pytest.mark.parametrize("wrong", ["", "{name}=", "{name}=wrong", "other={secret}", "{name}={secret}x"])
    async def test_a_guessed_cookie_is_none(self, house: House, wrong: str) -> None:
        name, _, secret = (await house.enter()).partition("=")
        headers = {"cookie": wrong.format(name=name, secret=secret)}
        assert (await house.client.get("/-/", headers=headers)).status_code == 403

    async def test_a_cookie_of_the_same_name_keeps_nobody_out(self, house: House) -> None:
        """Any page on this machine may set one, whatever its port."""
        cookie = await house.enter()
        name = cookie.partition("=")[0]
        for both in (f"{name}=theirs; {cookie}", f"{cookie}; {name}=theirs"):
            assert (await house.client.get("/-/", headers={"cookie": both})).status_code == 200

    async def test_who_types_the_address_alone_is_led_to_the_page(self, house: House) -> None:
        answer = await house.client.get("/", headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/-/")


class TestHost:
    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:{p}", "127.0.0.1:1", "127.0.0.1", "weather.localhost:{p}", "0.0.0.0:{p}"]
    )
    async def test_another_name_is_refused_even_with_link_and_cookie(self, house: House, host: str) -> None:
        cookie = await house.enter()
        headers = {"host": host.format(p=house.port), "cookie": cookie, **HTML}
        for path in ("/", "/-/", house.links[-1].partition(str(house.port))[2]):
            answer = await house.client.get(path, headers=headers)
            assert answer.status_code == 421
            assert "Open the link" in answer.text
        assert len(house.links) == 2
        origin = f"http://{headers['host']}"
        answer = await house.client.get("/-/terminal", headers={**headers, **UPGRADE, "origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (421, "host_refused")


class TestOrigin:
    @pytest.mark.parametrize(
        "origin",
        ["http://evil.example", "null", "http://127.0.0.1:8080", "http://localhost:{p}", "https://127.0.0.1:{p}"],
    )
    async def test_no_other_page_opens_the_terminal_even_with_the_cookie(self, house: House, origin: str) -> None:
        headers = {"cookie": await house.enter(), "origin": origin.format(p=house.port)}
        answer = await house.client.get("/-/terminal", headers={**headers, **UPGRADE})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")
        assert (await house.client.get("/-/", headers=headers)).status_code == 403

    async def test_neither_does_a_program_that_says_none(self, house: House) -> None:
        headers = {"cookie": await house.enter(), **UPGRADE}
        assert (await house.client.get("/-/terminal", headers=headers)).status_code == 403

    async def test_nor_who_has_no_cookie(self, house: House) -> None:
        headers = {"origin": f"http://127.0.0.1:{house.port}", **UPGRADE}
        answer = await house.client.get("/-/terminal", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "link_needed")


class TestPage:
    async def test_nothing_else_may_frame_it_hold_it_or_keep_it(self, house: House) -> None:
        headers = (await house.client.get(house.links[0])).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers.get_list("cache-control") == ["no-store"]

    async def test_what_is_not_there_says_where_the_page_is(self, house: House) -> None:
        answer = await house.client.get("/-/nothing", headers={"cookie": await house.enter()})
        assert (answer.status_code, answer.json()["code"]) == (404, "nothing_there")
        assert "/-/" in answer.json()["hint"]

    def test_without_its_files_it_says_how_to_have_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "textual_serve", None)
        with pytest.raises(WebMissing) as missing:
            Room().app()
        assert "pip install 'apimarket[web]'" in missing.value.hint

    async def test_a_method_that_it_has_not_is_a_405(self, house: House) -> None:
        assert (await house.client.post("/-/", headers={"cookie": await house.enter()})).status_code == 405
