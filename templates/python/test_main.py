from fastapi.testclient import TestClient

from main import app

client = TestClient(app)


def test_welcome_invites_a_change():
    answer = client.get("/")
    assert answer.status_code == 200
    assert "Hello" in answer.json()["message"]


def test_it_is_healthy():
    assert client.get("/health").json() == {"status": "ok"}


def test_quotes_are_found_by_author():
    found = client.get("/quotes", params={"author": "hopper"}).json()
    assert [quote["author"] for quote in found] == ["Grace Hopper"]


def test_an_added_quote_is_listed():
    quote = {"text": "Talk is cheap. Show me the code.", "author": "Linus Torvalds"}
    assert client.post("/quotes", json=quote).status_code == 201
    assert quote in client.get("/quotes").json()


def test_a_quote_without_text_is_refused():
    assert client.post("/quotes", json={"text": ""}).status_code == 422
