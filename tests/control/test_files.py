"""Files over HTTP: whose they are, and that owner/files is no API's name."""

from pathlib import Path

from tests.control.conftest import Running, wait_for


def test_the_files_of_an_api_and_one_of_them(running: Running, project: Path) -> None:
    api = running.ask("POST", "/api/v1/apis", {"directory": str(project)}).json
    wait_for(lambda: running.ask("GET", f"/api/v1/apis/{api['id']}").json["serving"])
    found = running.ask("GET", "/api/v1/apis/ana/hello/files").json
    assert [one["path"] for one in found["files"]] == ["answer.txt", "apimarket.toml", "main.py"]
    assert (found["running"], found["problem"], found["manifest"]["problems"]) == (1, "", [])
    rows = {row["key"]: (row["value"], row["default"]) for row in found["manifest"]["rows"]}
    assert rows["api.name"] == ('"hello"', False)
    assert rows["run.memory_mb"] == ("512", True)
    assert rows["run.health"] == ("", True)
    one = running.ask("GET", "/api/v1/apis/hello/file?path=answer.txt&of=running").json
    assert (one["text"], one["bytes"], one["of"]) == ("hello", 5, "running")
    refused = running.ask("GET", "/api/v1/apis/hello/file?path=../../etc/passwd")
    assert (refused.status, refused.json["code"]) == (404, "file_not_found")
    running.ask("DELETE", "/api/v1/apis/hello")


def test_they_are_the_owners_alone(running: Running, project: Path) -> None:
    running.ask("POST", "/api/v1/apis", {"directory": str(project)})
    body = {"handle": "filesbob", "email": "filesbob@example.org", "password": "correct horse battery"}
    session = running.ask("POST", "/api/v1/auth/signup", body).json["token"]
    for path in ("/files", "/file?path=main.py"):
        assert running.ask("GET", f"/api/v1/apis/hello{path}", token=None).status == 401
        assert running.ask("GET", f"/api/v1/apis/ana/hello{path}", token=session).status == 404
    running.ask("DELETE", "/api/v1/apis/hello")
