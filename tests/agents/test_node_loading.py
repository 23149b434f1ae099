"""How the Node agent finds and loads programs, says what is wrong with them, and loads their packages ahead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.driver import AgentProcess, eventually, http_get
from tests.agents.node_programs import FETCH, SERVER, Project, failure, free_port, launch, needs_node, serve

pytestmark = needs_node


@pytest.fixture
def agent() -> Iterator[AgentProcess]:
    with launch() as running:
        running.expect("hello")
        yield running


@pytest.fixture(scope="module")
def long_lived() -> Iterator[AgentProcess]:
    with launch() as running:
        running.expect("hello")
        yield running


@pytest.fixture
def shared(long_lived: AgentProcess) -> Iterator[AgentProcess]:
    """One agent for many tests, each of which starts generation 1 only."""
    yield long_lived
    long_lived.send("stop", gen=1, grace_s=0)
    long_lived.expect("stopped", gen=1)
    for kind in ("log", "ready", "failed", "exited"):
        while long_lived.waiting(kind):
            long_lived.expect(kind)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "api")


class TestFailures:
    def test_a_text_that_does_not_parse(self, shared: AgentProcess, project: Project) -> None:
        tree = project.tree({"index.mjs": "import './lib/part.mjs';\n", "lib/part.mjs": "\n\nexport const = 3;\n"})
        failed = failure(shared, tree)
        assert (failed["kind"], failed["file"], failed["line"]) == ("syntax", "lib/part.mjs", 3)
        assert failed["message"].startswith("SyntaxError: ")
        assert str(tree) not in failed["traceback"]
        assert "node:internal" not in failed["traceback"]

    def test_a_commonjs_text_that_does_not_parse(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree({"server.js": "const a = 1;\nmodule.exports = {{;\n"}))
        assert (failed["kind"], failed["file"], failed["line"]) == ("syntax", "server.js", 2)

    @pytest.mark.parametrize(
        ("file", "text"),
        [("index.mjs", "\nimport express from '@acme/web/x';\n"), ("index.cjs", "\nrequire('@acme/web/x');\n")],
    )
    def test_a_missing_package(self, shared: AgentProcess, project: Project, file: str, text: str) -> None:
        failed = failure(shared, project.tree({file: text}))
        assert (failed["kind"], failed["file"], failed["line"]) == ("import", file, 2)
        assert "npm install @acme/web" in failed["message"]

    def test_a_missing_file(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree("\n\nimport './gone.mjs';\n"))
        assert (failed["kind"], failed["file"], failed["line"]) == ("import", "index.mjs", 3)
        assert "'gone.mjs'" in failed["message"]

    def test_an_error_while_it_loads(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree("function setUp() {\n  throw new RangeError('too big');\n}\nsetUp();\n"))
        assert (failed["kind"], failed["file"], failed["line"]) == ("import", "index.mjs", 2)
        assert failed["message"] == "RangeError: too big"
        assert "at setUp (index.mjs:2" in failed["traceback"]

    @pytest.mark.parametrize("thrown", ["'text'", "null", "{ code: 3 }", "Object.create(null)"])
    def test_something_thrown_that_is_no_error(self, shared: AgentProcess, project: Project, thrown: str) -> None:
        assert failure(shared, project.tree(f"throw {thrown};\n"))["kind"] == "import"

    def test_esm_in_a_file_without_a_type_runs_or_says_what_to_do(self, shared: AgentProcess, project: Project) -> None:
        shared.start(1, project.tree({"index.js": FETCH}))
        message = shared.expect_either("ready", "failed", gen=1)
        assert message["t"] == "ready" or '"type": "module"' in message["message"]

    @pytest.mark.parametrize("entry", ["gone.mjs", "../1-abc/index.mjs", "index.mjs:gone"])
    def test_an_entry_that_is_not_there(self, shared: AgentProcess, project: Project, entry: str) -> None:
        tree = project.tree(FETCH)
        failed = failure(shared, tree, entry=entry.replace("1-abc", "2-abc"))
        assert failed["kind"] == "entry"

    def test_no_entry_at_all(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree({"README.md": "x"}))
        assert failed["kind"] == "entry"
        assert "index.mjs" in failed["message"]

    def test_a_broken_package_json(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree({"index.js": "", "package.json": "{"}))
        assert failed["kind"] == "entry"
        assert "package.json" in failed["message"]

    def test_an_entry_that_serves_nothing(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree("export const answer = 42;\n"))
        assert failed["kind"] == "entry"
        assert "fetch(request)" in failed["message"]

    def test_a_top_level_await_that_never_settles(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree("await new Promise(() => {});\n" + FETCH))
        assert failed["kind"] == "entry"
        assert "await" in failed["message"]

    def test_an_early_exit_is_told_with_its_code(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree("console.error('no database'); process.exit(3);\n"))
        assert failed["kind"] == "exit"
        assert "code 3" in failed["message"]
        assert failed["traceback"] == "no database"

    def test_a_late_error_before_ready(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree("setTimeout(() => {\n  throw new Error('late');\n}, 20);\n"))
        assert (failed["kind"], failed["line"]) == ("exit", 2)
        assert failed["message"] == "Error: late"

    def test_a_hard_wired_port_is_named(self, shared: AgentProcess, project: Project) -> None:
        wrong = free_port()
        failed = failure(shared, project.tree(SERVER % wrong), timeout_s=1)
        assert failed["kind"] == "port"
        assert f"it listens on port {wrong} and not on $PORT" in failed["message"]

    def test_a_start_that_takes_too_long(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree("setInterval(() => {}, 1000);\n"), timeout_s=0.5)
        assert failed["kind"] == "timeout"
        assert "$PORT" in failed["message"]

    def test_a_start_that_never_yields_is_killed(self, shared: AgentProcess, project: Project) -> None:
        assert failure(shared, project.tree("for (;;);\n"), timeout_s=0.5)["kind"] == "timeout"


class TestEntries:
    @pytest.mark.parametrize(
        ("files", "entry", "kind"),
        [
            ({"index.mjs": "export default (request) => new Response('x');"}, None, "fetch"),
            ({"index.mjs": "export function fetch() { return new Response('x'); }"}, None, "fetch"),
            ({"index.mjs": "export default (req, res) => res.end('x');"}, None, "listener"),
            ({"app.cjs": "module.exports = { fetch: () => new Response('x') };"}, None, "fetch"),
            ({"server.js": "exports.handler = async () => new Response('x');"}, None, "fetch"),
            ({"src/app.mjs": "export const api = () => new Response('x');"}, "src/app.mjs:api", "fetch"),
            ({"src/app.mjs": "export default () => new Response('x');"}, "src/app", "fetch"),
            ({"a.js": "module.exports = (q, s) => s.end('x')", "package.json": '{"main":"./a.js"}'}, None, "listener"),
            (
                {"a.js": "export default (q, s) => s.end('x')", "package.json": '{"type":"module","exports":"./a.js"}'},
                None,
                "listener",
            ),
            (
                {"index.mjs": "import http from 'node:http'; export default http.createServer((q, s) => s.end('x'));"},
                None,
                "listener",
            ),
            (
                {"index.js": "function app(q, s) { app.handle(q, s); } app.use = app.handle = (q, s) => s.end('x');"
                 "module.exports = app;"},
                None,
                "listener",
            ),
            ({"index.mjs": (SERVER % "process.env.PORT, process.env.HOST").replace("own", "x")}, None, "listener"),
            (
                {"index.js": "const http = require('http'); const s = http.createServer((q, r) => r.end('x'));"
                 "if (require.main === module) s.listen(process.env.PORT, 'localhost'); module.exports = s;"},
                None,
                "listener",
            ),
        ],
    )  # fmt: skip
    def test_forms(
        self, shared: AgentProcess, project: Project, files: dict[str, str], entry: str | None, kind: str
    ) -> None:
        shared.start(1, project.tree(files), entry=entry)
        ready = shared.expect_either("ready", "failed", gen=1)
        assert ready["t"] == "ready", ready
        assert ready["kind"] == kind
        assert set(ready["ms"]) == {"import", "ready"}
        assert http_get(ready["port"]).text == "x"

    def test_the_program_sees_its_environment_and_directory(self, shared: AgentProcess, project: Project) -> None:
        text = """
        export default () => Response.json(
          { units: process.env.UNITS, port: process.env.PORT, host: process.env.HOST, cwd: process.cwd(),
            send: typeof process.send, eof: process.env.APIMARKET_EXIT_ON_EOF });"""
        tree = project.tree(text)
        port = serve(shared, tree, env={"UNITS": "metric"})
        assert http_get(port).json() == {
            "units": "metric", "port": str(port), "host": "127.0.0.1", "cwd": str(tree.resolve()), "send": "undefined",
        }  # fmt: skip

    def test_listening_twice_is_advised_against(self, shared: AgentProcess, project: Project) -> None:
        shared.start(1, project.tree(SERVER % free_port() + FETCH))
        assert "next version cannot share" in shared.expect("ready", gen=1)["advice"][0]


class TestCommand:
    def test_is_ready_when_the_port_accepts(self, shared: AgentProcess, project: Project) -> None:
        shared.start(
            1, project.tree(SERVER % "process.argv[2], process.env.HOST"), command=["node", "index.mjs", "$PORT"]
        )
        ready = shared.expect("ready", gen=1)
        assert ready["kind"] == "command"
        assert http_get(ready["port"]).text == "own"

    def test_port_and_host_are_filled_in_without_a_shell(self, shared: AgentProcess, project: Project) -> None:
        told = ["$PORT", "${HOST}:${PORT}", "--bind=$HOST:$PORT", "$PORTAL", "$PATH", "${PORT", "$(PORT)", "`$HOST`"]
        text = "console.log(process.argv.slice(2).join(' '));\n" + SERVER % "process.env.PORT"
        port = serve(shared, project.tree(text), command=["node", "index.mjs", *told])
        at = f"127.0.0.1:{port}"
        line = shared.expect("log", gen=1)["line"]
        assert line == f"{port} {at} --bind={at} $PORTAL $PATH ${{PORT $(PORT) `127.0.0.1`"

    def test_programs_of_the_dependencies_are_found(self, shared: AgentProcess, project: Project) -> None:
        binary = project.root / "node_modules" / ".bin" / "acme-serve"
        binary.parent.mkdir(parents=True)
        binary.write_text("#!/bin/sh\nexec node index.mjs\n")
        binary.chmod(0o755)
        port = serve(shared, project.tree(SERVER % "process.env.PORT"), command=["acme-serve"])
        assert http_get(port).text == "own"

    def test_a_missing_program(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree(FETCH), command=["no-such-program"])
        assert failed["kind"] == "entry"
        assert "no-such-program" in failed["message"]

    def test_a_wrong_port_is_named(self, shared: AgentProcess, project: Project) -> None:
        wrong = free_port()
        failed = failure(
            shared, project.tree(SERVER % wrong), command=["sh", "-c", "node index.mjs; true"], timeout_s=1
        )
        assert failed["kind"] == "port"
        assert f"port {wrong}" in failed["message"]

    def test_an_early_exit(self, shared: AgentProcess, project: Project) -> None:
        failed = failure(shared, project.tree(FETCH), command=["sh", "-c", "echo broken >&2; exit 4"])
        assert (failed["kind"], failed["traceback"]) == ("exit", "broken")
        assert "code 4" in failed["message"]


class TestSpare:
    LOUD = "require('fs').appendFileSync(process.env.LOADS, process.pid + '\\n'); module.exports = { at: process.pid };"
    USES = "import dep from 'dep';\nexport default () => Response.json({ pid: process.pid, at: dep.at });\n"

    def loads(self, path: Path) -> list[str]:
        return path.read_text().split() if path.exists() else []

    @pytest.mark.parametrize(
        "uses", [USES, "const dep = require('dep'); module.exports = () => Response.json({ pid: process.pid });"]
    )
    def test_dependencies_are_loaded_ahead(
        self, agent: AgentProcess, project: Project, tmp_path: Path, uses: str
    ) -> None:
        project.package("dep", self.LOUD)
        name = "index.mjs" if uses.startswith("import") else "index.cjs"
        env = {"LOADS": str(tmp_path / "loads")}
        serve(agent, project.tree({name: uses}), 1, env=env)
        eventually(lambda: len(self.loads(tmp_path / "loads")) == 2)
        spare = int(self.loads(tmp_path / "loads")[1])
        assert http_get(serve(agent, project.tree({name: uses}), 2, env=env)).json()["pid"] == spare

    def test_es_modules_are_loaded_ahead(self, agent: AgentProcess, project: Project, tmp_path: Path) -> None:
        loud = (
            "import fs from 'node:fs'; fs.appendFileSync(process.env.LOADS, process.pid + '\\n'); export const a = 1;"
        )
        project.package("dep", loud, kind="module")
        files = {
            "index.mjs": "import { a } from './part.mjs';\nexport default () => Response.json(process.pid + 0 * a);",
            "part.mjs": "export {\n  a,\n} from 'dep';\n",
        }
        env = {"LOADS": str(tmp_path / "loads")}
        serve(agent, project.tree(files), 1, env=env)
        eventually(lambda: len(self.loads(tmp_path / "loads")) == 2)
        spare = int(self.loads(tmp_path / "loads")[1])
        assert http_get(serve(agent, project.tree(files), 2, env=env)).json() == spare

    def test_another_environment_gets_a_new_process(
        self, agent: AgentProcess, project: Project, tmp_path: Path
    ) -> None:
        project.package("dep", self.LOUD + "module.exports.at = process.env.UNITS;")
        env = {"LOADS": str(tmp_path / "loads"), "UNITS": "metric"}
        serve(agent, project.tree(self.USES), 1, env=env)
        eventually(lambda: len(self.loads(tmp_path / "loads")) == 2)
        port = serve(agent, project.tree(self.USES), 2, env={**env, "UNITS": "imperial"})
        assert http_get(port).json()["at"] == "imperial"

    def test_what_reads_the_tree_as_it_loads_is_not_loaded_ahead(
        self, agent: AgentProcess, project: Project, tmp_path: Path
    ) -> None:
        project.package("dep", "module.exports = { at: require('fs').readFileSync('units.txt', 'utf8') };")
        project.package("loud", self.LOUD)
        env = {"LOADS": str(tmp_path / "loads")}
        text = "import 'loud';\n" + self.USES
        serve(agent, project.tree({"index.mjs": text, "units.txt": "old"}), 1, env=env)
        # The first spare gives up at `dep`; the second leaves it out and loads the rest.
        eventually(lambda: len(self.loads(tmp_path / "loads")) >= 3)
        port = serve(agent, project.tree({"index.mjs": text, "units.txt": "new"}), 2, env=env)
        assert http_get(port).json()["at"] == "new"

    def test_a_dependency_that_ends_the_spare_makes_starts_cold(
        self, agent: AgentProcess, project: Project, tmp_path: Path
    ) -> None:
        fatal = "if (!process.env.PORT) process.exit(1); module.exports = { at: 1 };"
        project.package("dep", fatal)
        serve(agent, project.tree(self.USES), 1)
        assert "ahead" in agent.expect("log", gen=0)["line"]
        assert http_get(serve(agent, project.tree(self.USES), 2)).json()["at"] == 1

    def test_linked_dependencies_are_found(self, agent: AgentProcess, project: Project, tmp_path: Path) -> None:
        layer = Project(tmp_path / "layer")
        layer.package("dep", self.LOUD)
        project.root.mkdir()
        (project.root / "node_modules").symlink_to(layer.root / "node_modules")
        env = {"LOADS": str(tmp_path / "loads")}
        serve(agent, project.tree(self.USES), 1, env=env)
        eventually(lambda: len(self.loads(tmp_path / "loads")) == 2)
        reply = http_get(serve(agent, project.tree(self.USES), 2, env=env)).json()
        assert reply["at"] == reply["pid"] == int(self.loads(tmp_path / "loads")[1])
