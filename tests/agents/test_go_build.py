"""The Go agent as a builder: what it compiles, and what it says when that fails."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.driver import AgentProcess, Message, eventually, http_get
from tests.agents.go_programs import Launch, Toolchain, Tree, needs_go, serve

pytestmark = needs_go


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return Toolchain()


@pytest.fixture
def launch(toolchain: Toolchain) -> Iterator[Launch]:
    started: list[AgentProcess] = []

    def start(**env: str) -> AgentProcess:
        started.append(AgentProcess([str(toolchain.agent)], {**toolchain.env, **env}))
        started[-1].expect("hello")
        return started[-1]

    yield start
    for agent in started:
        agent.close()


@pytest.fixture
def agent(launch: Launch) -> AgentProcess:
    return launch()


# On `net`, which is compiled for the agent already; `net/http` would cost the tests some seconds.
MAIN = """package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	listener, _ := net.Listen("tcp", os.Getenv("HOST")+":"+os.Getenv("PORT"))
	for {
		link, _ := listener.Accept()
		link.Read(make([]byte, 4096))
		fmt.Fprint(link, "HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\n", "one")
		link.Close()
	}
}
"""
MOD = "module example\n\ngo 1.21\n"


class TestBuild:
    def build(self, agent: AgentProcess, directory: Path, output: Path, **fields: Any) -> Message:
        message = {"id": 7, "dir": str(directory), "package": ".", "output": str(output), "env": {}, **fields}
        agent.send("build", **message)
        return agent.expect_where(
            lambda said: said["t"] in ("built", "build-failed") and said["id"] == message["id"],
            "built or build-failed",
            timeout_s=100,
        )

    @pytest.mark.parametrize("files", [{"main.go": MAIN, "go.mod": MOD}, {"main.go": MAIN}])
    def test_what_is_built_serves(self, agent: AgentProcess, tree: Tree, tmp_path: Path, files: dict[str, str]) -> None:
        directory, output = tree(files), tmp_path / "app"
        built = self.build(agent, directory, output)
        assert built["t"] == "built", built
        assert built["ms"] > 0
        assert http_get(serve(agent, directory, command=str(output))).text == "one"
        assert sorted(path.name for path in directory.iterdir()) == sorted(files)

    def test_a_changed_line_in_a_new_directory_is_built_from_the_cache(
        self, agent: AgentProcess, tree: Tree, tmp_path: Path
    ) -> None:
        self.build(agent, tree({"main.go": MAIN, "go.mod": MOD}), tmp_path / "app")
        changed = MAIN.replace('"one"', '"two"') + f"\n// {uuid.uuid4()}: never compiled before\n"
        directory = tree({"main.go": changed, "go.mod": MOD})
        began = time.monotonic()
        assert self.build(agent, directory, tmp_path / "app2")["t"] == "built"
        # Compiling the standard library's part takes longer than this; the measured time is a tenth.
        assert time.monotonic() - began < 4
        assert http_get(serve(agent, directory, command=[str(tmp_path / "app2")])).text == "two"

    @pytest.mark.parametrize(
        ("package", "module"),
        [
            ("./cmd/server", "go.mod"),
            ("./cmd/server", "cmd/server/go.mod"),
            ("./cmd/server", None),
            ("cmd/server", "cmd/server/go.mod"),
            ("cmd/server", None),
        ],
    )
    def test_a_package_in_a_directory(
        self, agent: AgentProcess, tree: Tree, tmp_path: Path, package: str, module: str | None
    ) -> None:
        files = {"cmd/server/main.go": "package main\n\nfunc main() {}\n"} | ({module: MOD} if module else {})
        assert self.build(agent, tree(files), tmp_path / "app", package=package)["t"] == "built"

    def test_an_error_has_file_and_line(self, agent: AgentProcess, tree: Tree, tmp_path: Path) -> None:
        files = {"main.go": MAIN.replace("func main() {", "func main() {\n\tx := 1\n\tundefined()"), "go.mod": MOD}
        failed = self.build(agent, tree(files), tmp_path / "app")
        assert (failed["t"], failed["file"], failed["line"]) == ("build-failed", "main.go", 10)
        assert failed["message"].startswith("main.go:10:2: ")
        assert "undefined: undefined" in failed["log"]
        assert str(tmp_path) not in failed["log"]
        assert not (tmp_path / "app").exists()

    def test_the_file_of_an_error_is_relative_to_the_tree(
        self, agent: AgentProcess, tree: Tree, tmp_path: Path
    ) -> None:
        files = {"cmd/server/main.go": "package main\n\nfunc main() { undefined() }\n", "cmd/server/go.mod": MOD}
        failed = self.build(agent, tree(files), tmp_path / "app", package="./cmd/server")
        assert (failed["file"], failed["line"]) == ("cmd/server/main.go", 3)

    def test_a_text_that_does_not_parse(self, agent: AgentProcess, tree: Tree, tmp_path: Path) -> None:
        failed = self.build(agent, tree({"main.go": "package main\n\nfunc main( {\n"}), tmp_path / "app")
        assert (failed["file"], failed["line"]) == ("main.go", 3)

    @pytest.mark.parametrize("files", [{}, {"go.mod": MOD}])
    def test_a_missing_module_says_what_to_run(
        self, agent: AgentProcess, tree: Tree, tmp_path: Path, files: dict[str, str]
    ) -> None:
        source = MAIN.replace('"fmt"', '"fmt"\n\t_ "example.invalid/acme/web"')
        failed = self.build(agent, tree({"main.go": source, **files}), tmp_path / "app", env={"GOPROXY": "off"})
        assert (failed["file"], failed["line"]) == ("main.go", 5)
        assert "go mod tidy" in failed["message"]

    def test_a_package_that_is_no_program(self, agent: AgentProcess, tree: Tree, tmp_path: Path) -> None:
        failed = self.build(agent, tree({"lib.go": "package lib\n", "go.mod": MOD}), tmp_path / "app")
        assert failed["t"] == "build-failed"
        assert "package main" in failed["message"]
        assert not (tmp_path / "app").exists()

    def test_a_directory_without_go_files(self, agent: AgentProcess, tree: Tree, tmp_path: Path) -> None:
        failed = self.build(agent, tree({"README.md": "x"}), tmp_path / "app")
        assert failed["t"] == "build-failed"
        assert "no Go files" in failed["message"]

    def test_a_cancelled_build_says_so(self, agent: AgentProcess, tree: Tree, tmp_path: Path) -> None:
        # Without a cache even the standard library must be compiled, which takes seconds.
        fields = {"package": ".", "output": str(tmp_path / "app"), "env": {"GOCACHE": str(tmp_path / "empty")}}
        agent.send("build", id=8, dir=str(tree({"main.go": MAIN})), **fields)
        eventually(lambda: (tmp_path / "empty" / "00").is_dir())
        agent.send("cancel-build", id=8)
        assert agent.expect("build-failed", id=8, timeout_s=3)["message"] == "cancelled"
        assert not (tmp_path / "app").exists()

    def test_cancelling_an_unknown_build_answers_too(self, agent: AgentProcess) -> None:
        agent.send("cancel-build", id=9)
        assert agent.expect("build-failed", id=9)["message"] == "cancelled"

    def test_without_a_toolchain_it_says_so(self, launch: Launch, tree: Tree, tmp_path: Path) -> None:
        if Path("/usr/local/go/bin/go").exists():
            pytest.skip("a toolchain is installed in the place that is always looked at")
        agent = launch(PATH=str(tmp_path))
        assert "go command" in self.build(agent, tree({"main.go": MAIN}), tmp_path / "app")["message"]
