"""How generations and the Python agent end, and that nothing outlives them."""

import http.client
import signal
import textwrap
import time

import pytest

from tests.agents.conftest import PythonAgent, Tree
from tests.agents.driver import eventually, http_get, is_alive
from tests.agents.python_programs import ASGI, asgi, descendants, function, serve


class TestEnd:
    def test_stop_runs_the_apis_own_shutdown(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        import atexit
        atexit.register(print, "exit handler")

        async def app(scope, receive, send):
            assert scope["type"] == "lifespan"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            print("shutdown", flush=True)
            await send({"type": "lifespan.shutdown.complete"})
        """
        agent = python_agent()
        serve(agent, 1, tree({"main.py": textwrap.dedent(code)}))
        agent.send("stop", gen=1, grace_s=5)
        agent.expect("stopped", gen=1)
        assert agent.logs(1) == ["shutdown", "exit handler"]
        assert agent.logs(1, "err") == []
        assert agent.waiting("exited") == []

    def test_stop_waits_for_a_request_in_flight(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        port = serve(agent, 1, tree(function("import time\ntime.sleep(0.6)\nreturn 'done'")), "main:handler")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        time.sleep(0.1)  # the request must have arrived; nothing tells when
        agent.send("stop", gen=1, grace_s=5)
        assert connection.getresponse().read() == b"done"
        connection.close()
        agent.expect("stopped", gen=1)

    def test_stop_kills_after_the_grace_time(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf')\ntime.sleep(60)\n"
        agent = python_agent()
        agent.start(1, tree({"main.py": code}), entry="main:app")
        agent.expect("log", gen=1, line="deaf")
        began = time.monotonic()
        agent.send("stop", gen=1, grace_s=0.4)
        agent.expect("stopped", gen=1)
        assert 0.3 < time.monotonic() - began < 30

    def test_stop_of_an_unknown_number_answers_stopped(self, python_agent: PythonAgent) -> None:
        agent = python_agent()
        agent.send("stop", gen=99, grace_s=1)
        agent.expect("stopped", gen=99)

    def test_stop_during_a_start_answers_stopped_and_never_ready(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        slow = tree({"main.py": "import time\ntime.sleep(0.2)\n" + ASGI})
        for gen in range(1, 20):
            agent.start(gen, slow, entry="main:app")
            if gen % 3 == 0:
                time.sleep(0.01 * (gen % 4))  # meets the start at different points
            agent.send("stop", gen=gen, grace_s=2)
        for gen in range(1, 20):
            agent.expect("stopped", gen=gen)
        serve(agent, 20, tree(asgi("last")))
        for kind in ("ready", "failed", "exited"):
            assert agent.waiting(kind) == []

    def test_generation_that_ends_by_itself_is_told(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        port = serve(agent, 1, tree(function("import os\nos._exit(5)")), "main:handler")
        with pytest.raises(http.client.RemoteDisconnected):
            http_get(port)
        exited = agent.expect("exited", gen=1)
        assert (exited["code"], exited["signal"]) == (5, None)
        port = serve(agent, 2, tree(function("import os\nos.kill(os.getpid(), 9)")), "main:handler")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            http_get(port)
        exited = agent.expect("exited", gen=2)
        assert (exited["code"], exited["signal"]) == (None, 9)

    @pytest.mark.parametrize("way", ["shutdown", "SIGTERM", "end of input"])
    def test_shutdown_leaves_no_orphan(self, python_agent: PythonAgent, tree: Tree, way: str) -> None:
        agent = python_agent(env={"APIMARKET_EXIT_ON_EOF": "1"})
        code = "import subprocess\nCHILD = subprocess.Popen(['sleep', '60'], start_new_session=True)\n" + ASGI
        serve(agent, 1, tree({"main.py": code}))
        agent.start(2, tree({}), command=["sh", "-c", "sleep 60 & exec python3 -m http.server $PORT --bind $HOST"])
        agent.expect("ready", gen=2)
        pids = descendants(agent.pid)
        assert len(pids) >= 4  # both generations with a child each; the template comes and goes
        if way == "shutdown":
            agent.send("shutdown", grace_s=2)
        elif way == "SIGTERM":
            agent.signal(signal.SIGTERM)
        else:
            agent.close_stdin()
        assert agent.wait() == 0
        agent.expect("stopped", gen=1)
        agent.expect("stopped", gen=2)
        eventually(lambda: not [pid for pid in pids if is_alive(pid)])

    def test_killed_agent_takes_its_forks_along(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        serve(agent, 1, tree(asgi("one")))
        pids = descendants(agent.pid)
        agent.signal(signal.SIGKILL)
        agent.wait()
        eventually(lambda: not [pid for pid in pids if is_alive(pid)])

    def test_end_of_input_means_nothing_otherwise(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        port = serve(agent, 1, tree(asgi("one")))
        agent.close_stdin()
        assert http_get(port).body == b"one"
        agent.signal(signal.SIGTERM)
        assert agent.wait() == 0
