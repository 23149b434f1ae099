"""The link: batches, a lost server, its return, and a stream that is refused."""

import asyncio

from textual.message import Message

from apimarket_tui.backend import attempt, trouble_of
from apimarket_tui.fleet import Fleet
from apimarket_tui.live import FleetChanged, Live
from apimarket_tui.screens.local import LocalScreen
from apimarket_tui.widgets.bars import Banner
from local_server.client.errors import ApimarketClientError, ServerUnreachableError
from local_server.wire.apis import ReplicasView, TrafficView
from local_server.wire.events import ApiUpdated, EngineUpdated, RequestsLogged, TrafficUpdated

from .fake_backend import NOW, FakeBackend, a_server, an_api, some_requests, some_traffic
from .screen_text import screen_text
from .screens import press, running, until


class TestALostServer:
    async def test_is_told_with_the_data_kept_and_comes_back_by_itself(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            backend.go_down()
            pilot.app.live.look_now()  # type: ignore[attr-defined]
            await until(pilot, lambda: "server gone: retrying" in screen_text(pilot.app))
            assert "weather" in screen_text(pilot.app)
            assert "✗ gone" in screen_text(pilot.app)
            backend.known["newcomer"] = an_api("newcomer")
            backend.come_back()
            await until(pilot, lambda: "newcomer" in screen_text(pilot.app))
            assert not pilot.app.screen.query_one(Banner).display

    async def test_the_app_starts_without_one(self) -> None:
        backend = FakeBackend()
        backend.go_down()
        async with running(backend) as pilot:
            await until(pilot, lambda: "waiting for the server" in screen_text(pilot.app))
            backend.come_back()
            await until(pilot, lambda: "weather" in screen_text(pilot.app))

    async def test_an_act_meanwhile_says_so(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            backend.go_down()
            await press(pilot, "r")
            await until(pilot, lambda: "server gone" in screen_text(pilot.app))

    async def test_a_refused_token_is_told(self) -> None:
        backend = FakeBackend()
        refusal = ApimarketClientError(
            "The request carries no valid bearer token",
            hint="Send it.",
            code="token_required",
            status=401,
            title="Token",
        )
        async with running(backend, size=(100, 24)) as pilot:
            backend.refusals["server"] = refusal
            pilot.app.live.look_now()  # type: ignore[attr-defined]
            await until(pilot, lambda: "no valid bearer token" in screen_text(pilot.app))


class TestEvents:
    async def test_a_changed_api_shows(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            backend.emit(
                ApiUpdated(api=backend.known["notes"].model_copy(update={"state": "building", "progress": "pip"}))
            )
            await until(pilot, lambda: "◐ building      –              –     – ⟳ pip" in screen_text(pilot.app))

    async def test_an_engine_that_goes_shows(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            backend.emit(EngineUpdated(engine="docker", available=False, detail="connection refused"))
            await until(pilot, lambda: "docker ✗ down" in screen_text(pilot.app))
            assert "docker does not answer: connection refused" in screen_text(pilot.app)

    async def test_new_requests_show_in_the_panel(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await until(pilot, lambda: backend.listeners("requests:api_billing") == 1)
            fresh = some_requests("billing", 1)[0].model_copy(update={"id": "new", "path": "/brand/new"})
            backend.emit(RequestsLogged(api_id="api_billing", requests=[fresh]))
            await until(pilot, lambda: "/brand/new" in screen_text(pilot.app))

    async def test_moving_on_closes_the_former_stream(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await until(pilot, lambda: backend.listeners("requests:api_billing") == 1)
            await press(pilot, "down")
            await until(pilot, lambda: backend.listeners("requests:api_fx-rates") == 1)
            assert backend.listeners("requests:api_billing") == 0

    async def test_leaving_a_detail_closes_its_streams(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "enter")
            await until(pilot, lambda: backend.listeners("log:api_billing") == 1)
            await press(pilot, "escape")
            await until(pilot, lambda: backend.listeners("log:api_billing") == 0)
            assert isinstance(pilot.app.screen, LocalScreen)

    async def test_a_thousand_changes_are_one_message(self) -> None:
        posted: list[Message] = []
        backend = FakeBackend([])
        live = Live(backend, posted.append, lambda: NOW, batch_s=0.05)
        tasks = [asyncio.create_task(work()) for work in (live.keep_events, live.keep_batches)]
        while not backend.listeners("api"):
            await asyncio.sleep(0)
        for number in range(1_000):
            backend.emit(ApiUpdated(api=an_api(f"api-{number}")))
        while len(live.fleet) < 1_000:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.06)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert 1 <= sum(isinstance(message, FleetChanged) for message in posted) <= 3


class TestFleet:
    def test_an_event_without_figures_keeps_the_known_ones(self) -> None:
        fleet = Fleet()
        api = an_api("weather", traffic=some_traffic(12, 41))
        fleet.replace([api])
        fleet.put(api.model_copy(update={"traffic": TrafficView(), "state": "starting"}))
        assert fleet.traffic(api).requests_per_s == 12

    def test_traffic_of_an_unknown_api_does_no_harm(self) -> None:
        fleet = Fleet()
        fleet.put_traffic(TrafficUpdated(apis={"nobody": TrafficView()}).apis)
        assert len(fleet) == 0

    def test_every_word_of_a_filter_must_match(self) -> None:
        fleet = Fleet()
        fleet.replace([an_api("weather", tags=["geo"]), an_api("geocode", state="stopped"), an_api("notes")])
        assert [api.name for api in fleet.matching("GEO up")] == ["weather"]
        assert [api.name for api in fleet.matching("geo")] == ["geocode", "weather"]


class TestTrouble:
    async def test_a_refusal_is_an_answer(self) -> None:
        async def refused() -> int:
            raise ServerUnreachableError("http://x", "gone")

        answer = await attempt(refused())
        assert not isinstance(answer, int)
        assert answer.unreachable

    def test_a_fault_of_the_program_is_none(self) -> None:
        assert trouble_of(KeyError("x")) is None

    async def test_the_banner_names_an_engine_without_isolation(self) -> None:
        backend = FakeBackend()
        backend.view = a_server(engine="process", isolated=False)
        async with running(backend) as pilot:
            assert "process ● no isolation" in screen_text(pilot.app)


async def test_an_api_that_does_not_answer_is_silent_and_says_what_to_do() -> None:
    api = an_api("quiet", circuit="open")
    async with running(FakeBackend([api]), size=(120, 40)) as pilot:
        assert "✗ silent" in screen_text(pilot.app)
        assert "it did not answer five requests in a row" in screen_text(pilot.app)
        await press(pilot, "enter")
        assert "It did not answer five requests in a row" in screen_text(pilot.app)
        assert "r starts it afresh" in screen_text(pilot.app)
        pilot.app.backend.emit(ApiUpdated(api=api.model_copy(update={"circuit": "half_open"})))  # type: ignore[attr-defined]
        await until(pilot, lambda: "◐ trying" in screen_text(pilot.app))
        pilot.app.backend.emit(ApiUpdated(api=api.model_copy(update={"circuit": "closed"})))  # type: ignore[attr-defined]
        await until(pilot, lambda: "● up" in screen_text(pilot.app))
        assert "did not answer" not in screen_text(pilot.app)


async def test_missing_replicas_are_told_in_the_table_below_it_and_in_detail() -> None:
    api = an_api("several", replicas={"serving": 2, "wanted": 3})
    async with running(FakeBackend([api]), size=(120, 40)) as pilot:
        assert screen_text(pilot.app).count("2 of 3 replicas serve") == 2
        await press(pilot, "enter")
        assert "2 of 3 replicas" in screen_text(pilot.app)
        assert "3 replicas, each 512 MB" in screen_text(pilot.app)
        whole = api.model_copy(update={"replicas": ReplicasView(serving=3, wanted=3)})
        pilot.app.backend.emit(ApiUpdated(api=whole))  # type: ignore[attr-defined]
        await until(pilot, lambda: "3 of 3 replicas" in screen_text(pilot.app))
        await press(pilot, "escape")
        assert "replicas" not in screen_text(pilot.app)


async def test_where_the_url_leads_stands_with_what_serves() -> None:
    api = an_api("split", shares={"1.2.0": 90, "dev": 10})
    async with running(FakeBackend([api]), size=(120, 40)) as pilot:
        await press(pilot, "enter")
        assert "g3  the URL leads to 1.2.0 90 %  dev 10 %" in screen_text(pilot.app)


async def test_frozen_figures_stay_and_acts_mean_what_is() -> None:
    backend = FakeBackend([an_api("billing", traffic=some_traffic(140, 88)), an_api("geocode")])
    async with running(backend) as pilot:
        await until(pilot, lambda: "140" in screen_text(pilot.app))
        await press(pilot, "f")
        assert "frozen" in screen_text(pilot.app)
        stopped = an_api("billing", state="stopped", desired_state="stopped", serving=None)
        backend.emit(TrafficUpdated(apis={"api_billing": some_traffic(7, 9)}))
        backend.emit(ApiUpdated(api=stopped))
        await until(pilot, lambda: pilot.app.live.fleet.get("api_billing").state == "stopped")  # type: ignore[attr-defined]
        assert "140" in screen_text(pilot.app).split("──")[0]
        await press(pilot, "s")
        await until(pilot, lambda: ("deploy", "billing") in backend.did)
        assert "● up" in screen_text(pilot.app).splitlines()[2]
        await press(pilot, "f")
        await until(pilot, lambda: "◐ starting" in screen_text(pilot.app).splitlines()[2])
        assert "frozen" not in screen_text(pilot.app)
