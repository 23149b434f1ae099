from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from local_server.domain.errors import ApimarketError
from local_server.domain.registry import Api
from local_server.registry.reference import SUB_RESOURCES
from local_server.registry.routes import RegistryPorts, make_router
from local_server.wire.apis import ApiView
from tests.registry.conftest import House


def view(request: Request, api: Api) -> ApiView:
    return ApiView(
        id=api.id,
        name=api.slug,
        owner=api.owner,
        runtime=api.manifest.runtime,
        state="stopped",
        engine="fake",
        isolated=True,
        url="",
        host_url="",
        version=api.manifest.version,
        directory=api.directory,
        summary=api.manifest.summary,
        tags=list(api.manifest.tags),
        visibility=api.manifest.visibility,
        revision=api.revision,
        created_at=api.created_at,
        updated_at=api.updated_at,
    )


@pytest.fixture
def told() -> list[tuple[str, str, bool | None]]:
    return []


@pytest.fixture
async def http(house: House, told: list[tuple[str, str, bool | None]]) -> AsyncIterator[httpx2.AsyncClient]:
    async def after_register(request: Request, api: Api, start: bool) -> None:
        told.append(("registered", api.slug, start))

    async def before_remove(request: Request, api: Api) -> None:
        assert await house.registry.resolve(api.id)  # still there
        told.append(("removing", api.slug, None))

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApimarketError)
        return JSONResponse({"code": error.code, "detail": error.detail}, error.status)

    app = FastAPI()
    app.add_exception_handler(ApimarketError, refuse)
    app.include_router(make_router(RegistryPorts(lambda _: house.registry, view, after_register, before_remove)))

    @app.get("/api/v1/apis/{id:api}/status")
    async def status(id: str) -> dict[str, str]:
        return {"status_of": id}

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        yield client


class TestRoutes:
    async def test_register(self, house: House, http: httpx2.AsyncClient, told: list[object]):
        directory = house.project("weather", main="def handler(request): ...\n")
        answer = await http.post("/apis", json={"directory": str(directory), "start": False})
        assert (answer.status_code, answer.json()["name"]) == (201, "weather")
        assert told == [("registered", "weather", False)]

    async def test_scaffold(self, http: httpx2.AsyncClient, told: list[object]):
        answer = await http.post("/apis/scaffold", json={"name": "dice", "template": "node"})
        assert (answer.status_code, answer.json()["runtime"]) == (201, "node")
        assert told == [("registered", "dice", True)]

    async def test_refusals_carry_their_status(self, http: httpx2.AsyncClient, told: list[object]):
        answer = await http.post("/apis", json={"directory": "/nonexistent"})
        assert (answer.status_code, answer.json()["code"]) == (422, "unusable_directory")
        assert (await http.post("/apis/scaffold", json={"name": "x1", "template": "cobol"})).status_code == 404
        assert (await http.post("/apis", json={"directory": "/x", "colour": 1})).status_code == 422
        assert told == []

    async def test_list_and_search(self, http: httpx2.AsyncClient):
        for name in ("dice", "cards"):
            await http.post("/apis/scaffold", json={"name": name, "template": "node"})
        assert [api["name"] for api in (await http.get("/apis")).json()] == ["cards", "dice"]
        assert [api["name"] for api in (await http.get("/apis", params={"q": "car"})).json()] == ["cards"]

    async def test_one_by_id_name_and_owner(self, http: httpx2.AsyncClient):
        made = (await http.post("/apis/scaffold", json={"name": "dice", "template": "node"})).json()
        for reference in (made["id"], "dice", "ada/dice"):
            assert (await http.get(f"/apis/{reference}")).json()["id"] == made["id"]
        assert (await http.get("/apis/dise")).json()["code"] == "api_not_found"

    async def test_patch(self, http: httpx2.AsyncClient):
        await http.post("/apis/scaffold", json={"name": "dice", "template": "node"})
        answer = await http.patch("/apis/ada/dice", json={"tags": ["fun"], "visibility": "unlisted"})
        assert (answer.json()["tags"], answer.json()["visibility"], answer.json()["revision"]) == (
            ["fun"],
            "unlisted",
            2,
        )

    async def test_delete(self, http: httpx2.AsyncClient, told: list[object]):
        await http.post("/apis/scaffold", json={"name": "dice", "template": "node"})
        assert (await http.delete("/apis/dice")).status_code == 204
        assert told[-1] == ("removing", "dice", None)
        assert (await http.delete("/apis/dice")).status_code == 404

    async def test_templates(self, http: httpx2.AsyncClient):
        names = [template["name"] for template in (await http.get("/templates")).json()]
        assert names == ["python", "python-function", "node", "node-express", "go"]

    @pytest.mark.parametrize(
        ("path", "meant"), [("weather", "weather"), ("ada/weather", "ada/weather"), ("ada/status", "ada/status")]
    )
    async def test_what_belongs_to_an_api_comes_after_its_name(self, http: httpx2.AsyncClient, path: str, meant: str):
        answer = await http.get(f"/apis/{path}/status")
        assert answer.json().get("status_of") == (meant if meant != "ada/status" else None)

    @pytest.mark.parametrize("word", SUB_RESOURCES)
    async def test_a_sub_resource_is_never_taken_for_a_name(self, http: httpx2.AsyncClient, word: str):
        answer = await http.get(f"/apis/ada/{word}")
        known = {"status": {"status_of": "ada"}, "upload": {"detail": "Method Not Allowed"}}
        assert answer.json() == known.get(word, {"detail": "Not Found"})

    async def test_a_name_may_begin_like_a_sub_resource(self, http: httpx2.AsyncClient):
        assert (await http.get("/apis/ada/status-page")).json()["code"] == "api_not_found"
