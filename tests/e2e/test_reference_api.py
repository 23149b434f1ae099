"""The endpoints of the reference document, walked over plain HTTP as its reader would with curl."""

import io
import json
import tarfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunningServer, wait_for


class Curl:
    """Requests with the token and nothing else of ours."""

    def __init__(self, server: RunningServer) -> None:
        self._url = server.url
        self._token = (server.home / "token").read_text().strip()

    def __call__(self, method: str, path: str, body: Any = None, form: Mapping[str, bytes] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        data = body if isinstance(body, bytes) else None
        if isinstance(body, dict):
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        if form is not None:
            data, headers["Content-Type"] = _multipart(form)
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def status_of(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """(status, code) of a refusal."""
        with pytest.raises(urllib.error.HTTPError) as error:
            self(method, path, body)
        with error.value:
            return error.value.code, json.loads(error.value.read())["code"]


def _multipart(form: Mapping[str, bytes]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{path}"; filename="x"\r\n\r\n'.encode() + content
        for path, content in form.items()
    ]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _tar_gz(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def says(word: str) -> bytes:
    return f'def handler(request):\n    return {{"says": "{word}"}}\n'.encode()


class TestReference:
    def test_register_upload_deploy_status_and_the_executor(
        self, process_server: RunningServer, tmp_path: Path
    ) -> None:
        curl = Curl(process_server)
        directory = tmp_path / "hello"
        directory.mkdir()
        (directory / "main.py").write_bytes(says("first"))

        def until(field: str, value: Any) -> dict[str, Any]:
            def reached() -> dict[str, Any] | None:
                row: dict[str, Any] = curl("GET", f"/api/v1/apis/{made['id']}/status")
                return row if row[field] == value else None

            found: dict[str, Any] = wait_for(reached, f"{field} to be {value}")
            return found

        def hears(word: str) -> None:
            wait_for(lambda: curl("GET", f"/{made['owner']}/hello/").get("says") == word, word)

        assert curl("GET", "/health")["status"] == "ok"

        made = curl("POST", "/api/v1/apis", {"directory": str(directory), "start": False})
        assert (made["name"], made["state"]) == ("hello", "stopped")
        assert [row["id"] for row in curl("GET", "/api/v1/apis")] == [made["id"]]
        assert curl("GET", f"/api/v1/apis/{made['owner']}/hello")["id"] == made["id"]
        assert curl("PATCH", f"/api/v1/apis/{made['id']}", {"summary": "Says hello"})["summary"] == "Says hello"

        uploaded = curl("POST", f"/api/v1/apis/{made['id']}/upload", form={"main.py": says("second"), "lib/a.py": b""})
        assert uploaded["written"] == ["lib/a.py", "main.py"]
        assert uploaded["api"]["summary"] == "Says hello"
        assert (directory / "main.py").read_bytes() == says("second")

        curl("POST", f"/api/v1/apis/{made['id']}/deploy")
        until("state", "running")
        hears("second")

        replaced = curl("POST", "/api/v1/apis/hello/upload?replace=true", _tar_gz({"main.py": says("third")}))
        assert (replaced["written"], replaced["removed"]) == (["main.py"], ["lib/a.py"])
        hears("third")  # by hot reload

        curl("POST", f"/executor/stop/{made['id']}")
        until("state", "stopped")
        curl("POST", "/executor/deploy", {"id": made["id"]})
        before = until("state", "running")["serving"]
        curl("POST", f"/executor/restart/{made['id']}")
        wait_for(lambda: curl("GET", f"/executor/status/{made['id']}")["serving"] not in (None, before), "a restart")
        hears("third")

        assert curl("DELETE", f"/api/v1/apis/{made['id']}") is None
        assert curl.status_of("GET", f"/api/v1/apis/{made['id']}/status") == (404, "api_not_found")
        assert curl.status_of("POST", "/executor/deploy", {"id": made["id"]}) == (404, "api_not_found")
        assert (directory / "main.py").read_bytes() == says("third")

    def test_an_upload_needs_the_token_before_its_body_is_read(self, process_server: RunningServer) -> None:
        request = urllib.request.Request(f"{process_server.url}/api/v1/apis/x/upload", b"PK", method="POST")
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=20)
        with error.value:
            assert error.value.code == 401
