"""The Go agent as the server meets it: compiled, a child process, speaking the protocol (docs/agent-protocol.md)."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.driver import AgentProcess, eventually, http_get, is_alive
from tests.agents.go_programs import SERVER, Launch, Toolchain, failure, free_port, needs_go, program, serve, shell

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


class TestProtocol:
    def test_hello_names_the_runtime_and_what_is_ready(self, agent: AgentProcess, tmp_path: Path) -> None:
        port = serve(agent, tmp_path, 7)
        agent.send("hello")
        hello = agent.expect("hello")
        assert (hello["agent"], hello["pid"]) == (1, agent.pid)
        assert hello["runtime"].startswith("go 1.")
        assert hello["gens"] == [{"gen": 7, "port": port}]

    def test_a_start_never_disturbs_what_serves(self, agent: AgentProcess, tmp_path: Path) -> None:
        first = serve(agent, tmp_path, 1)
        assert failure(agent, tmp_path, 2, command=shell("exit 1"))["kind"] == "exit"
        second = serve(agent, tmp_path, 3, command=program("two"))
        assert (http_get(first).text, http_get(second).text) == ("one", "two")

    def test_ready_tells_how_long_it_took(self, agent: AgentProcess, tmp_path: Path) -> None:
        agent.start(1, tmp_path, command=program())
        ready = agent.expect("ready", gen=1)
        assert ready["kind"] == "command"
        assert ready["ms"]["import"] >= 0
        assert ready["ms"]["ready"] > 0

    def test_the_port_asked_for_is_taken(self, agent: AgentProcess, tmp_path: Path) -> None:
        port = free_port()
        assert serve(agent, tmp_path, port=port) == port
        failed = failure(agent, tmp_path, 2, port=port, command=program())
        assert failed["kind"] == "port"
        assert str(port) in failed["message"]

    def test_port_and_host_are_filled_in_without_a_shell(self, agent: AgentProcess, tmp_path: Path) -> None:
        told = ["$PORT", "${HOST}:${PORT}", "--bind=$HOST:$PORT", "$PORTAL", "$PATH", "${PORT", "$(PORT)", "`$HOST`"]
        script = 'echo "$@"; exec "$PROGRAM" -S -c "$CODE" one'
        env = {"PROGRAM": sys.executable, "CODE": SERVER}
        port = serve(agent, tmp_path, command=["sh", "-c", script, "sh", *told], env=env)
        at = f"127.0.0.1:{port}"
        line = agent.expect("log", gen=1)["line"]
        assert line == f"{port} {at} --bind={at} $PORTAL $PATH ${{PORT $(PORT) `127.0.0.1`"

    def test_the_program_sees_its_environment_and_directory(self, launch: Launch, tmp_path: Path) -> None:
        agent = launch(APIMARKET_EXIT_ON_EOF="1")
        script = 'echo "$UNITS $PWD $APIMARKET_EXIT_ON_EOF." >&2; exit 1'
        failed = failure(agent, tmp_path, command=shell(script), env={"UNITS": "metric"})
        assert failed["traceback"] == f"metric {tmp_path} ."

    def test_a_start_of_a_number_that_runs_is_ignored(self, agent: AgentProcess, tmp_path: Path) -> None:
        serve(agent, tmp_path, 1)
        agent.start(1, tmp_path, command=shell("exit 1"))
        agent.send("hello")
        assert len(agent.expect("hello")["gens"]) == 1
        assert not agent.waiting("failed")

    def test_stop_of_an_unknown_number_answers_stopped(self, agent: AgentProcess) -> None:
        agent.send("stop", gen=99, grace_s=1)
        agent.expect("stopped", gen=99)

    def test_stop_during_a_start_is_never_answered_with_ready(self, agent: AgentProcess, tmp_path: Path) -> None:
        agent.start(1, tmp_path, command=["sh", "-c", 'sleep 0.3; exec "$@"', "sh", *program()])
        agent.send("stop", gen=1, grace_s=2)
        agent.start(2, tmp_path, command=program())
        agent.expect("stopped", gen=1)
        agent.expect("ready", gen=2)
        assert not agent.waiting("ready", gen=1)

    def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_time(
        self, agent: AgentProcess, tmp_path: Path
    ) -> None:
        ignoring = ["sh", "-c", 'trap "" TERM; exec "$@"', "sh", *program()]
        port = serve(agent, tmp_path, command=ignoring)
        agent.send("stop", gen=1, grace_s=0.2)
        agent.expect("stopped", gen=1, timeout_s=3)
        with pytest.raises(ConnectionRefusedError):
            http_get(port)

    def test_the_end_of_what_was_ready_is_told(self, agent: AgentProcess, tmp_path: Path) -> None:
        serve(agent, tmp_path, command=["sh", "-c", 'echo $$; exec "$@"', "sh", *program()])
        os.kill(int(agent.expect("log", gen=1)["line"]), 9)
        exited = agent.expect("exited", gen=1)
        assert (exited["code"], exited["signal"]) == (None, "SIGKILL")

    def test_lines_that_are_no_messages_are_remarked_on(self, agent: AgentProcess) -> None:
        agent.send_raw(b'not json\n["t"]\n{"t":"dance"}\n' + b"x" * 1_200_000 + b"\n")
        for _ in range(4):
            agent.expect("log", gen=0, stream="err")

    def test_shutdown_ends_the_agent_with_0(self, agent: AgentProcess, tmp_path: Path) -> None:
        serve(agent, tmp_path)
        agent.send("shutdown", grace_s=2)
        agent.expect("stopped", gen=1)
        assert agent.wait(5) == 0


class TestOrphans:
    def pids(self, agent: AgentProcess, tree: Path) -> list[int]:
        serve(agent, tree, command=["sh", "-c", 'sleep 60 & echo "$$ $!"; exec "$@"', "sh", *program()])
        return [int(pid) for pid in agent.expect("log", gen=1)["line"].split()]

    def test_the_end_of_input_ends_everything_when_asked(self, launch: Launch, tmp_path: Path) -> None:
        agent = launch(APIMARKET_EXIT_ON_EOF="1")
        pids = self.pids(agent, tmp_path)
        agent.close_stdin()
        assert agent.wait(8) == 0
        eventually(lambda: not any(is_alive(pid) for pid in pids))

    def test_the_end_of_input_means_nothing_otherwise(self, agent: AgentProcess, tmp_path: Path) -> None:
        port = serve(agent, tmp_path)
        agent.close_stdin()
        assert http_get(port).text == "one"
        agent.signal(15)
        assert agent.wait(8) == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a program with the process that started it")
    def test_a_killed_agent_takes_its_programs_along(self, agent: AgentProcess, tmp_path: Path) -> None:
        serve(agent, tmp_path, command=["sh", "-c", 'echo "$$"; exec "$@"', "sh", *program()])
        pid = int(agent.expect("log", gen=1)["line"])
        agent.signal(9)
        agent.wait()
        eventually(lambda: not is_alive(pid))

    def test_what_a_program_started_goes_with_it(self, agent: AgentProcess, tmp_path: Path) -> None:
        pids = self.pids(agent, tmp_path)
        os.kill(pids[0], 9)
        agent.expect("exited", gen=1)
        eventually(lambda: not any(is_alive(pid) for pid in pids))


class TestFailures:
    def test_an_early_exit_is_told_with_its_code(self, agent: AgentProcess, tmp_path: Path) -> None:
        failed = failure(agent, tmp_path, command=shell('echo "panic in $PWD/main.go:3" >&2; exit 3'))
        assert failed["kind"] == "exit"
        assert "code 3" in failed["message"]
        assert failed["traceback"] == "panic in main.go:3"

    def test_a_hard_wired_port_is_named(self, agent: AgentProcess, tmp_path: Path) -> None:
        wrong = free_port()
        failed = failure(agent, tmp_path, command=program("x", str(wrong)), timeout_s=1)
        assert failed["kind"] == "port"
        assert f"it listens on port {wrong} and not on $PORT" in failed["message"]

    def test_a_start_that_takes_too_long(self, agent: AgentProcess, tmp_path: Path) -> None:
        failed = failure(agent, tmp_path, command=["sleep", "60"], timeout_s=0.4)
        assert failed["kind"] == "timeout"
        assert "$PORT" in failed["message"]

    @pytest.mark.parametrize("command", [["no-such-program"], ["./gone"], ["/nowhere/gone"]])
    def test_a_missing_program(self, agent: AgentProcess, tmp_path: Path, command: list[str]) -> None:
        failed = failure(agent, tmp_path, command=command)
        assert failed["kind"] == "entry"
        assert "no program" in failed["message"]

    def test_a_missing_directory_and_a_missing_command(self, agent: AgentProcess, tmp_path: Path) -> None:
        assert failure(agent, tmp_path / "gone", command=program())["kind"] == "entry"
        assert failure(agent, tmp_path, entry="main.go")["kind"] == "entry"


class TestLogs:
    def test_lines_carry_their_generation_and_stream(self, agent: AgentProcess, tmp_path: Path) -> None:
        failure(agent, tmp_path, 4, command=shell("echo 'ä <1>'; printf '\\377 no newline' >&2"))
        assert agent.logs(4) == ["ä <1>"]
        assert agent.logs(4, "err") == ["\ufffd no newline"]

    def test_a_long_line_is_cut(self, agent: AgentProcess, tmp_path: Path) -> None:
        failure(agent, tmp_path, command=shell("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo next"))
        assert agent.logs(1) == ["x" * 16384, "next"]

    def test_a_flood_is_counted_and_starves_nothing(self, agent: AgentProcess, tmp_path: Path) -> None:
        agent.start(1, tmp_path, command=shell("yes flood"))
        left_out = agent.expect_where(lambda message: "left out" in str(message.get("line", "")))
        assert left_out["gen"] == 1
        assert http_get(serve(agent, tmp_path, 2)).text == "one"
        agent.send("stop", gen=1, grace_s=1)
        agent.expect("stopped", gen=1)
        assert len(agent.logs(1)) <= 4 * 2000
        assert all(json.loads(line)["t"] for line in agent.stdout_lines)
