"""The Node agent as the server meets it: a child process that speaks the protocol (docs/agent-protocol.md)."""

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.driver import AgentProcess, eventually, http_get, is_alive
from tests.agents.node_programs import AGENT, FETCH, Project, failure, free_port, launch, needs_node, serve

pytestmark = needs_node


@pytest.fixture
def agent() -> Iterator[AgentProcess]:
    with launch() as running:
        running.expect("hello")
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "api")


class TestProtocol:
    def test_hello_names_the_runtime_and_what_is_ready(self, agent: AgentProcess, project: Project) -> None:
        port = serve(agent, project.tree(FETCH), 7)
        agent.send("hello")
        hello = agent.expect("hello")
        assert hello["agent"] == 1
        assert hello["runtime"].startswith("node ")
        assert hello["pid"] == agent.pid
        assert hello["gens"] == [{"gen": 7, "port": port}]

    def test_a_start_never_disturbs_what_serves(self, agent: AgentProcess, project: Project) -> None:
        first = serve(agent, project.tree(FETCH), 1)
        assert failure(agent, project.tree("export default {"), 2)["kind"] == "syntax"
        assert http_get(first).text == "one"
        second = serve(agent, project.tree(FETCH.replace("one", "two")), 3)
        assert second != first
        assert (http_get(first).text, http_get(second).text) == ("one", "two")

    def test_the_port_asked_for_is_taken(self, agent: AgentProcess, project: Project) -> None:
        port = free_port()
        assert serve(agent, project.tree(FETCH), port=port) == port

    def test_a_taken_port_is_refused(self, agent: AgentProcess, project: Project) -> None:
        port = serve(agent, project.tree(FETCH), 1)
        failed = failure(agent, project.tree(FETCH), 2, port=port)
        assert failed["kind"] == "port"
        assert str(port) in failed["message"]

    def test_a_start_of_a_number_that_runs_is_ignored(self, agent: AgentProcess, project: Project) -> None:
        tree = project.tree(FETCH)
        serve(agent, tree, 1)
        agent.start(1, tree)
        agent.send("hello")
        assert len(agent.expect("hello")["gens"]) == 1
        assert not agent.waiting("failed")

    def test_stop_of_an_unknown_number_answers_stopped(self, agent: AgentProcess) -> None:
        agent.send("stop", gen=99, grace_s=1)
        agent.expect("stopped", gen=99)

    def test_stop_ends_what_serves(self, agent: AgentProcess, project: Project) -> None:
        port = serve(agent, project.tree(FETCH))
        agent.send("stop", gen=1, grace_s=5)
        agent.expect("stopped", gen=1, timeout_s=3)
        with pytest.raises(ConnectionRefusedError):
            http_get(port)

    def test_stop_during_a_start_is_never_answered_with_ready(self, agent: AgentProcess, project: Project) -> None:
        slow = project.tree("await new Promise((go) => setTimeout(go, 300));\n" + FETCH)
        agent.start(1, slow)
        agent.send("stop", gen=1, grace_s=2)
        agent.start(2, project.tree(FETCH))
        agent.expect("stopped", gen=1)
        agent.expect("ready", gen=2)
        assert not agent.waiting("ready", gen=1)

    def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_time(
        self, agent: AgentProcess, project: Project
    ) -> None:
        serve(agent, project.tree("process.on('SIGTERM', () => {}); setInterval(() => {}, 50);\n" + FETCH))
        agent.send("stop", gen=1, grace_s=0.2)
        agent.expect("stopped", gen=1, timeout_s=3)

    def test_a_request_under_way_is_finished_on_stop(self, agent: AgentProcess, project: Project) -> None:
        text = """
        export default { async fetch(request) {
          console.log("under way");
          await new Promise((go) => setTimeout(go, 200));
          return new Response("whole");
        } };"""
        connection = http.client.HTTPConnection("127.0.0.1", serve(agent, project.tree(text)), timeout=5)
        connection.request("GET", "/")
        agent.expect("log", line="under way")
        agent.send("stop", gen=1, grace_s=5)
        assert connection.getresponse().read() == b"whole"
        agent.expect("stopped", gen=1)
        connection.close()

    def test_an_uncaught_error_after_ready_is_told_as_exited(self, agent: AgentProcess, project: Project) -> None:
        port = serve(agent, project.tree("setTimeout(() => { throw new Error('late'); }, 100);\n" + FETCH))
        assert port
        exited = agent.expect("exited", gen=1)
        assert (exited["code"], exited["signal"]) == (1, None)
        assert any("Error: late" in line for line in agent.logs(1, "err"))

    def test_lines_that_are_no_messages_are_remarked_on(self, agent: AgentProcess) -> None:
        agent.send_raw(b'not json\n["t"]\n{"t":"dance"}\n')
        for _ in range(3):
            agent.expect("log", gen=0, stream="err")

    def test_shutdown_ends_the_agent_with_0(self, agent: AgentProcess, project: Project) -> None:
        serve(agent, project.tree(FETCH))
        agent.send("shutdown", grace_s=2)
        agent.expect("stopped", gen=1)
        assert agent.wait(5) == 0


class TestOrphans:
    PARENT = (
        "import { spawn } from 'node:child_process';\n"
        "const child = spawn('sleep', ['60']); console.log(`pids ${process.pid} ${child.pid}`);\n" + FETCH
    )

    def pids(self, agent: AgentProcess, project: Project) -> list[int]:
        serve(agent, project.tree(self.PARENT))
        found = agent.expect_where(lambda message: str(message.get("line", "")).startswith("pids"))
        return [int(pid) for pid in found["line"].split()[1:]]

    def test_the_end_of_input_ends_everything_when_asked(self, project: Project) -> None:
        with launch(APIMARKET_EXIT_ON_EOF="1") as agent:
            pids = self.pids(agent, project)
            agent.close_stdin()
            assert agent.wait(8) == 0
            eventually(lambda: not any(is_alive(pid) for pid in pids))

    def test_the_end_of_input_means_nothing_otherwise(self, project: Project) -> None:
        with launch() as agent:
            port = serve(agent, project.tree(FETCH))
            agent.close_stdin()
            assert http_get(port).text == "one"
            agent.signal(15)
            assert agent.wait(8) == 0

    def test_a_killed_agent_takes_its_programs_along(self, project: Project) -> None:
        with launch() as agent:
            pids = self.pids(agent, project)
            agent.signal(9)
            agent.wait()
            eventually(lambda: not any(is_alive(pid) for pid in pids))

    def test_what_a_program_started_goes_with_it(self, agent: AgentProcess, project: Project) -> None:
        pids = self.pids(agent, project)
        agent.send("stop", gen=1, grace_s=2)
        agent.expect("stopped", gen=1)
        eventually(lambda: not any(is_alive(pid) for pid in pids))


class TestLogs:
    def test_lines_carry_their_generation_and_stream(self, agent: AgentProcess, project: Project) -> None:
        serve(agent, project.tree("console.log('ä 1'); console.error('no newline'.trim());\n" + FETCH), 4)
        assert agent.expect("log", gen=4, stream="out")["line"] == "ä 1"
        assert agent.expect("log", gen=4, stream="err")["line"] == "no newline"

    def test_a_long_line_is_cut(self, agent: AgentProcess, project: Project) -> None:
        serve(agent, project.tree("console.log('x'.repeat(1e6)); console.log('next');\n" + FETCH))
        assert agent.expect("log", gen=1)["line"] == "x" * 16384
        assert agent.expect("log", gen=1)["line"] == "next"

    def test_a_flood_is_counted_and_starves_nothing(self, agent: AgentProcess, project: Project) -> None:
        flood = """
        let left = 60_000;
        const more = () => { for (let i = 0; i < 500 && left > 0; i++, left--) console.log("flood " + left);
          if (left > 0) setImmediate(more); else console.error("flood over"); };
        setTimeout(more, 50);\n"""
        serve(agent, project.tree(flood + FETCH), 1)
        left_out = agent.expect_where(lambda message: "left out" in str(message.get("line", "")))
        assert left_out["gen"] == 1
        assert http_get(serve(agent, project.tree(FETCH), 2)).text == "one"
        agent.send("stop", gen=1, grace_s=1)
        agent.expect("stopped", gen=1)
        assert len(agent.logs(1)) <= 3 * 2000
        assert all(json.loads(line)["t"] for line in agent.stdout_lines)

    def test_a_program_cannot_write_protocol_lines(self, agent: AgentProcess, project: Project) -> None:
        forged = json.dumps({"t": "ready", "gen": 5, "port": 1})
        serve(agent, project.tree(f"console.log({forged!r});\n" + FETCH))
        assert agent.expect("log", gen=1)["line"] == forged
        assert not agent.waiting("ready", gen=5)


def test_no_process_is_left_behind(project: Project) -> None:
    with launch() as agent:
        serve(agent, project.tree(FETCH))
        group = agent.pid
    assert not is_alive(group)
    mark = str(AGENT.parent / "worker.mjs").encode()
    if sys.platform == "linux":
        eventually(lambda: not [pid for pid in children_of(group) if mark in pid])


def children_of(parent: int) -> list[bytes]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append((stat.parent / "cmdline").read_bytes())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
