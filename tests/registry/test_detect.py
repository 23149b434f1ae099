import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_server.domain.manifest import Runtime
from local_server.domain.registry_errors import UnusableDirectory
from local_server.registry.detect import Detection, detect, detect_entry

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
GO_MAIN = "// Package main serves.\npackage main\n\nfunc main() {}\n"
EXPORT = "export default { fetch() {} };\n"


def project(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def found(root: Path, files: dict[str, str]) -> Detection:
    return detect(project(root, files))


class TestPython:
    @pytest.mark.parametrize(
        ("files", "entry"),
        [
            ({"main.py": FASTAPI}, "main:app"),
            ({"app.py": FLASK}, "app:app"),
            ({"main.py": "import fastapi\nservice: Any = fastapi.FastAPI(\n  title='x')\n"}, "main:service"),
            ({"server.py": "from starlette.applications import Starlette\napi = Starlette(routes=[])\n"}, "server:api"),
            ({"main.py": "async def app(scope, receive, send): ...\n"}, "main:app"),
            ({"main.py": "def application(environ, start_response): ...\n"}, "main:application"),
            ({"main.py": "def handler(request): ...\n"}, "main:handler"),
            ({"main.py": "async def handler(request, limit=3): ...\n"}, "main:handler"),
            ({"main.py": "def create_app(config=None):\n  return 1\n"}, "main:create_app"),
            ({"app/__init__.py": "def create_app(): ...\n",
              "wsgi.py": "from app import create_app\napp = create_app()\n"}, "wsgi:app"),
            ({"shop/main.py": FASTAPI, "shop/__init__.py": ""}, "shop.main:app"),
            ({"src/main.py": FASTAPI}, "src.main:app"),
            ({"src/main.py": "import prices\n" + FASTAPI, "src/prices.py": ""}, "main:app"),
            ({"src/main.py": "from src import prices\n" + FASTAPI, "src/prices.py": ""}, "src.main:app"),
            ({"src/main.py": "import prices\n" + FASTAPI, "src/prices.py": "", "src/__init__.py": ""}, "src.main:app"),
            ({"src/main.py": "import db\nfrom . import x\n" + FASTAPI, "src/db.py": ""}, "src.main:app"),
            ({"src/main.py": "import db\n" + FASTAPI, "src/db.py": "", "main.py": ""}, "src.main:app"),
            ({"src/shop/main.py": FASTAPI, "src/shop/__init__.py": ""}, "shop.main:app"),
            ({"src/shop/__init__.py": FASTAPI}, "shop:app"),
            ({"src/shop/main.py": FASTAPI}, "src.shop.main:app"),
            ({"src/shop/main.py": "import src.shop\n" + FASTAPI, "src/shop/__init__.py": ""}, "src.shop.main:app"),
            ({"manage.py": "", "site/wsgi.py": "application = get_wsgi_application()\n",
              "site/asgi.py": "application = get_asgi_application()\n"}, "site.wsgi:application"),
            ({"service.py": FASTAPI, "README.md": ""}, "service:app"),
            ({"bin/__init__.py": "from .core import *", "bin/core.py": FLASK, "bin/x.py": "app = x()"}, "bin.core:app"),
            ({"shop/web.py": FLASK, "shop/__init__.py": "app = make()\n"}, "shop:app"),
            ({"main.py": "try:\n  import x\nexcept ImportError:\n  x = None\nif x:\n  app = FastAPI()\n"}, "main:app"),
            ({"main.py": "from package.factory import app\n", "package/factory.py": "app = build()\n"}, "main:app"),
            ({"main.py": "app = FastAPI(\n  def broken"}, "main:app"),
            ({"pyproject.toml": '[tool.fastapi]\nentrypoint = "web.site:api"\n', "main.py": FASTAPI}, "web.site:api"),
            ({"main.py": "import falcon\napp = falcon.App()\n"}, "main:app"),
        ],
    )  # fmt: skip
    def test_the_entry_is_found(self, tmp_path: Path, files: dict[str, str], entry: str):
        detection = found(tmp_path, files)
        assert (detection.runtime, detection.entry, detection.command) == (Runtime.PYTHON, entry, None)
        assert detection.reasons
        assert detect_entry(tmp_path, Runtime.PYTHON) == entry

    def test_main_comes_before_app_and_the_other_is_told(self, tmp_path: Path):
        detection = found(tmp_path, {"app.py": FLASK, "main.py": FASTAPI})
        assert (detection.entry, detection.alternatives) == ("main:app", ("app:app",))

    def test_an_app_is_surer_than_a_factory_in_an_earlier_file(self, tmp_path: Path):
        files = {"main.py": "def create_app(): ...\n", "server.py": FASTAPI}
        assert found(tmp_path, files).entry == "server:app"
        assert detect_entry(tmp_path, Runtime.PYTHON) == "server:app"

    @pytest.mark.parametrize(
        "text",
        [
            "def main(): pass\n",
            "def handler(event, context): ...\n",
            "class A:\n  app = FastAPI()\n",
            "def f():\n  app = FastAPI()\n",
            "if __name__ == '__main__':\n  app = FastAPI()\n",
            "def create_app(config): ...\n",
            "# app = FastAPI()\n",
            "'''\napp = FastAPI()\n'''\n",
        ],
    )
    def test_what_is_no_app_is_not_taken_for_one(self, tmp_path: Path, text: str):
        with pytest.raises(UnusableDirectory):
            found(tmp_path, {"main.py": text})

    def test_tests_are_not_entry_points(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory):
            found(tmp_path, {"test_main.py": FASTAPI, "conftest.py": FASTAPI, "tests/main.py": FASTAPI})

    def test_a_directory_that_cannot_be_imported_is_passed_over(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory):
            found(tmp_path, {"my-app/main.py": FASTAPI})

    def test_a_script_with_a_server_of_its_own_is_run_as_it_is(self, tmp_path: Path):
        text = "if __name__ == '__main__':\n  HTTPServer(('', 8000), H).serve_forever()\n"
        assert found(tmp_path, {"serve.py": text}).command == ("python", "serve.py")

    def test_what_only_looks_like_an_app_counts_in_files_with_a_usual_name_only(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory):
            found(tmp_path, {"shop/__init__.py": "", "shop/web.py": "app = make()\ndef create_app(): ...\n"})

    @pytest.mark.parametrize(
        ("files", "version"),
        [
            ({}, None),
            ({".python-version": "3.13.1\n"}, "3.13"),
            ({".python-version": "3.11\n"}, None),
            ({"pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'}, "3.12"),
            ({"pyproject.toml": '[project]\nrequires-python = ">=3.9,<4"\n'}, None),
            ({"pyproject.toml": "[broken"}, None),
        ],
    )
    def test_a_newer_version_is_asked_for(self, tmp_path: Path, files: dict[str, str], version: str | None):
        assert found(tmp_path, {"main.py": FASTAPI, **files}).runtime_version == version


class TestNode:
    @pytest.mark.parametrize(
        ("files", "entry"),
        [
            ({"index.js": EXPORT}, "index.js"),
            ({"server.mjs": EXPORT, "app.cjs": "module.exports = 1"}, "server.mjs"),
            ({"src/index.js": EXPORT, "package.json": "{}"}, "src/index.js"),
            ({"package.json": '{"main": "./lib/api.js"}', "lib/api.js": EXPORT, "index.js": EXPORT}, "lib/api.js"),
            ({"package.json": '{"main": "lib/api"}', "lib/api.js": EXPORT}, "lib/api.js"),
            ({"package.json": '{"exports": {".": {"import": "./x.mjs"}}}', "x.mjs": EXPORT}, "x.mjs"),
            ({"package.json": '{"scripts": {"start": "NODE_ENV=production node --inspect web.js"}, "main": "index.js"}',
              "web.js": "x.listen(1)", "index.js": EXPORT}, "web.js"),
            ({"package.json": "{broken", "app.js": EXPORT}, "app.js"),
            ({"package.json": '{"main": "../../etc/x.js"}', "app.js": EXPORT}, "app.js"),
        ],
    )  # fmt: skip
    def test_the_entry_is_found(self, tmp_path: Path, files: dict[str, str], entry: str):
        detection = found(tmp_path, files)
        assert (detection.runtime, detection.entry) == (Runtime.NODE, entry)
        assert detect_entry(tmp_path, Runtime.NODE) == entry

    def test_another_start_script_is_run_by_npm(self, tmp_path: Path):
        detection = found(tmp_path, {"package.json": '{"scripts": {"start": "next start"}}'})
        assert (detection.entry, detection.command) == (None, ("npm", "start"))

    def test_files_that_serve_nothing_are_no_api(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory, match=r"nothing in index\.js"):
            found(tmp_path, {"index.js": "console.log(1)\n"})

    @pytest.mark.parametrize(
        ("wanted", "version"), [(">=18", None), (">=20", "20"), ("^22.1", "22"), ("18 || 20", None)]
    )
    def test_a_newer_version_is_asked_for(self, tmp_path: Path, wanted: str, version: str | None):
        files = {"index.js": EXPORT, "package.json": f'{{"engines": {{"node": "{wanted}"}}}}'}
        assert found(tmp_path, files).runtime_version == version


class TestGo:
    @pytest.mark.parametrize(
        ("files", "entry"),
        [
            ({"go.mod": "module x\n\ngo 1.21\n", "main.go": GO_MAIN}, "."),
            ({"server.go": GO_MAIN}, "."),
            ({"go.mod": "module x\n", "cmd/web/main.go": GO_MAIN, "web.go": "package x\n"}, "./cmd/web"),
            ({"go.mod": "module a/shop\n", "cmd/cli/main.go": GO_MAIN, "cmd/shop/main.go": GO_MAIN}, "./cmd/shop"),
            ({"go.mod": "module x\n", "cmd/a/main.go": GO_MAIN, "cmd/server/main.go": GO_MAIN}, "./cmd/server"),
        ],
    )
    def test_the_package_is_found(self, tmp_path: Path, files: dict[str, str], entry: str):
        detection = found(tmp_path, files)
        assert (detection.runtime, detection.entry) == (Runtime.GO, entry)
        assert detect_entry(tmp_path, Runtime.GO) == entry

    def test_a_test_is_no_main_package(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory):
            found(tmp_path, {"go.mod": "module x\n", "x_test.go": GO_MAIN})

    def test_a_newer_version_is_asked_for(self, tmp_path: Path):
        assert found(tmp_path, {"go.mod": "module x\ngo 1.23.1\n", "main.go": GO_MAIN}).runtime_version == "1.23"


class TestProcfile:
    @pytest.mark.parametrize(
        ("line", "files", "entry", "command"),
        [
            ("gunicorn -w 4 shop:api", {}, "shop:api", None),
            ("uvicorn shop:api --port $PORT", {}, "shop:api", None),
            ("node lib/x.js", {"lib/x.js": ""}, "lib/x.js", None),
            ("python serve.py --fast", {}, None, ("python", "serve.py", "--fast")),
            ("python x.py -p ${PORT}", {}, None, ("python", "x.py", "-p", "${PORT}")),
            ("python x.py --listen=:$PORT", {}, None, ("python", "x.py", "--listen=:$PORT")),
        ],
    )
    def test_says_how_to_start(
        self, tmp_path: Path, line: str, files: dict[str, str], entry: str | None, command: tuple[str, ...] | None
    ):
        detection = found(tmp_path, {"Procfile": f"worker: x\nweb: {line}\n", **files})
        assert (detection.entry, detection.command) == (entry, command)

    def test_what_needs_a_shell_is_passed_over(self, tmp_path: Path):
        detection = found(tmp_path, {"Procfile": "web: python x.py --units $UNITS\n", "main.py": FASTAPI})
        assert detection.entry == "main:app"


class TestSeveralLanguages:
    def test_a_package_json_for_styles_does_not_hide_the_python_app(self, tmp_path: Path):
        files = {"package.json": '{"scripts": {"start": "tailwind"}}', "main.py": FASTAPI}
        detection = found(tmp_path, files)
        assert detection.entry == "main:app"
        assert any("node" in reason for reason in detection.reasons)

    def test_a_script_beside_a_node_api_does_not_hide_it(self, tmp_path: Path):
        files = {"package.json": '{"main": "index.js"}', "index.js": EXPORT, "tool.py": "print(1)\n"}
        assert found(tmp_path, files).runtime is Runtime.NODE


class TestNotAnApi:
    def test_says_what_was_looked_for_and_what_to_write(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory) as refused:
            found(tmp_path, {"notes.txt": "x", "Dockerfile": "FROM scratch\n"})
        assert "looked for Python" in refused.value.detail
        assert "def handler(request)" in refused.value.hint
        assert "[run] command" in refused.value.hint

    def test_names_the_files_that_come_near(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory, match=r"models\.py, util\.py hold neither"):
            found(tmp_path, {"util.py": "x = 1\n", "models.py": ""})

    @settings(max_examples=100, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(
                ["main.py", "package.json", "index.js", "go.mod", "main.go", "Procfile", "pyproject.toml", ".nvmrc"]
            ),
            st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace"))),
        )
    )
    def test_whatever_the_files_hold_it_is_told_or_refused(
        self, tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
    ):
        root = tmp_path_factory.mktemp("any")
        for name, content in files.items():
            (root / name).write_bytes(content)
        try:
            detection = detect(root)
        except UnusableDirectory:
            return
        assert (detection.entry is None) != (detection.command is None)


def test_twenty_files_take_a_moment(tmp_path: Path):
    body = "".join(f"def function_{n}(a, b):\n    return a + b * {n}\n\n\n" for n in range(60))
    files = {f"module{n}.py": body for n in range(19)}
    project(tmp_path, {**files, "main.py": f"from fastapi import FastAPI\napp = FastAPI()\n{body}"})
    fastest = 1.0
    for _ in range(5):
        started = time.perf_counter()
        assert detect_entry(tmp_path, Runtime.PYTHON) == "main:app"
        fastest = min(fastest, time.perf_counter() - started)
    assert fastest < 0.02  # measured under 3 ms; the rest is for a busy machine
