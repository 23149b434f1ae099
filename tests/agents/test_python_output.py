"""What programs print, and programs started by `command`."""

import os
import socket
import textwrap
import time

import pytest

from tests.agents.conftest import PythonAgent, Tree
from tests.agents.driver import http_get
from tests.agents.python_programs import ASGI, asgi, failure, serve

LISTEN = """
import os, socket, sys, time
time.sleep({delay})
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(({host}, {port}))
sock.listen()
while True:
    connection, _ = sock.accept()
    asked = connection.recv(4096)
    connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + os.environ.get("WORD", "").encode())
    connection.close()
"""


def listening(port: str = 'int(os.environ["PORT"])', host: str = 'os.environ["HOST"]', delay: float = 0) -> str:
    return LISTEN.format(port=port, host=host, delay=delay)


@pytest.fixture
def python_agent(borrowed_python_agent: PythonAgent) -> PythonAgent:
    return borrowed_python_agent


class TestOutput:
    def test_lines_of_both_streams_come_with_their_generation(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        import logging, os, sys
        print("out", 1)
        print("err é", file=sys.stderr)
        print()
        logging.warning("logged")
        os.write(1, b"bytes \\xff\\n")
        os.write(1, b"x" * 40000 + b"\\n")
        os.write(2, "é".encode() * 20000 + b"\\n")
        sys.stdout.write("no newline")
        """
        agent = python_agent()
        serve(agent, 7, tree({"main.py": textwrap.dedent(code) + ASGI}))
        agent.send("stop", gen=7, grace_s=2)
        agent.expect("stopped", gen=7)
        out = agent.logs(7)
        assert out[:3] == ["out 1", "", "bytes �"]
        assert out[3] == "x" * 16384
        assert out[4:] == ["no newline"]
        err = agent.logs(7, "err")
        assert err == ["err é", "WARNING:root:logged", "é" * 8192]

    def test_flood_is_cut_counted_and_starves_nobody(self, python_agent: PythonAgent, tree: Tree) -> None:
        lines = 1_000_000
        code = f"""
        import os, threading
        block = b"".join(b"line of a flood\\n" for _ in range(1000))
        def flood():
            for _ in range({lines} // 1000):
                view = memoryview(block)
                while view:
                    view = view[os.write(1, view):]
            os.write(2, b"flood is over\\n")
        threading.Thread(target=flood, daemon=True).start()
        """
        agent = python_agent()
        agent.start(1, tree({"main.py": textwrap.dedent(code) + ASGI}), entry="main:app")
        agent.expect("ready", gen=1)
        for gen in range(2, 7):
            port = serve(agent, gen, tree(asgi(str(gen))))
            assert http_get(port).text == str(gen)
        agent.expect("log", gen=1, line="flood is over", timeout_s=60)
        agent.send("stop", gen=1, grace_s=2)
        agent.expect("stopped", gen=1)
        passed_on = len(agent.logs(1))
        left_out = [int(line.split()[1]) for line in agent.logs(1, "err") if "lines left out" in line]
        assert passed_on + sum(left_out) == lines
        assert 2000 <= passed_on < 100_000

    def test_line_without_end_costs_no_memory(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = "import os\nfor _ in range(300):\n    os.write(1, b'y' * 65536)\nprint('\\nnext')\n" + ASGI
        agent = python_agent()
        serve(agent, 1, tree({"main.py": code}))
        agent.expect("log", gen=1, line="y" * 16384)
        agent.expect("log", gen=1, line="next")


class TestCommand:
    def test_ready_when_it_accepts(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        directory = tree({"server.py": listening(delay=0.2)})
        agent.start(1, directory, command=["python3", "server.py"], env={"WORD": "hi"})
        ready = agent.expect("ready", gen=1)
        assert ready["kind"] == "command"
        assert ready["ms"]["ready"] >= 200
        assert http_get(ready["port"]).body == b"hi"
        agent.send("stop", gen=1, grace_s=2)
        agent.expect("stopped", gen=1)

    def test_port_and_host_are_filled_in_without_a_shell(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        told = ["$PORT", "${HOST}:${PORT}", "--bind=$HOST:$PORT", "$PORTAL", "$PATH", "${PORT", "$(PORT)", "`$HOST`"]
        command = ["python3", "server.py", *told]
        agent.start(1, tree({"server.py": "import sys\nprint(*sys.argv[1:])\n" + listening()}), command=command)
        port = agent.expect("ready", gen=1)["port"]
        line = agent.expect("log", gen=1)["line"]
        at = f"127.0.0.1:{port}"
        assert line == f"{port} {at} --bind={at} $PORTAL $PATH ${{PORT $(PORT) `127.0.0.1`"

    def test_any_interface_of_the_host_counts(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        agent.start(1, tree({"server.py": listening()}), command=["python3", "server.py"], host="0.0.0.0")
        assert agent.expect("ready", gen=1)["port"] > 0

    def test_exit_before_ready_has_the_last_lines(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        script = "for i in $(seq 30); do echo line $i >&2; done; exit 3"
        message = failure(agent, 1, tree({}), None, command=["sh", "-c", script])
        assert message["kind"] == "exit"
        assert "exit code 3" in message["message"]
        assert message["traceback"].splitlines() == [f"line {i}" for i in range(11, 31)]

    def test_program_that_is_not_there(self, python_agent: PythonAgent, tree: Tree) -> None:
        message = failure(python_agent(), 1, tree({}), None, command=["./no-such-program"])
        assert message["kind"] == "exit"
        assert message["message"] == "cannot run './no-such-program': No such file or directory"

    def test_other_port_is_named(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        began = time.monotonic()
        agent.start(1, tree({"server.py": listening(port="0") + "\n"}), command=["python3", "server.py"])
        message = agent.expect("failed", gen=1)
        assert message["kind"] == "port"
        assert message["message"].startswith("it listens on port ")
        assert "and not on $PORT (" in message["message"]
        assert time.monotonic() - began > 1.9

    def test_somebody_elses_port_is_not_taken_for_its_own(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", 0))
            port = stranger.getsockname()[1]
            # Free for `bind` until it listens, as a port is that somebody takes just after the agent looked.
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            agent.start(1, tree({}), command=["sh", "-c", "echo up; sleep 60"], port=port, timeout_s=1)
            agent.expect("log", gen=1, line="up")
            stranger.listen()
            assert agent.expect_either("ready", "failed", gen=1)["kind"] == "timeout"

    def test_inside_only_is_no_good_when_every_interface_is_asked(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        directory = tree({"server.py": listening(host="'127.0.0.1'")})
        message = failure(agent, 1, directory, None, command=["python3", "server.py"], host="0.0.0.0", timeout_s=1)
        assert message["kind"] == "port"
        assert "only; it must listen on $HOST (0.0.0.0)" in message["message"]

    def test_silent_program_times_out(self, python_agent: PythonAgent, tree: Tree) -> None:
        message = failure(python_agent(), 1, tree({}), None, command=["sleep", "60"], timeout_s=0.3)
        assert message["kind"] == "timeout"

    def test_serving_packages_are_there_for_commands_too(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        command = ["sh", "-c", "exec python -m uvicorn main:app --port $PORT --host $HOST --log-level warning"]
        path = str(agent.argv[0]).rpartition("/")[0]
        agent.start(1, tree(asgi("one")), command=command, env={"PATH": f"{path}:{os.environ['PATH']}"})
        message = agent.expect_either("ready", "failed", gen=1)
        assert message["t"] == "ready", message
        assert http_get(message["port"]).body == b"one"

    @pytest.mark.parametrize("number", ["TERM", "KILL"])
    def test_crash_is_told(self, python_agent: PythonAgent, tree: Tree, number: str) -> None:
        agent = python_agent()
        # The agent's own probe sends nothing.
        die = f"asked and os.kill(os.getpid(), __import__('signal').SIG{number})"
        agent.start(
            1, tree({"server.py": listening().replace("connection.close()", die)}), command=["python3", "server.py"]
        )
        http_get(agent.expect("ready", gen=1)["port"])
        exited = agent.expect("exited", gen=1)
        assert exited["signal"] == {"TERM": 15, "KILL": 9}[number]
