"""The Python agent, spoken to over the protocol only (docs/agent-protocol.md)."""

import os
import socket
import textwrap
from pathlib import Path

import pytest

from tests.agents.conftest import PythonAgent, Tree
from tests.agents.driver import AgentProcess, http_get, is_alive
from tests.agents.python_programs import SITE_PACKAGES, asgi, failure, function, serve


class TestHello:
    def test_names_the_runtime_and_the_ready_generations(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        agent.send("hello")
        hello = agent.expect("hello")
        assert hello["agent"] == 1
        assert hello["runtime"].startswith("python 3.")
        assert hello["pid"] == agent.pid
        assert hello["gens"] == []
        port = serve(agent, 3, tree(asgi("three")))
        agent.send("hello")
        assert agent.expect("hello")["gens"] == [{"gen": 3, "port": port}]

    def test_what_is_no_message_is_skipped_and_said(self, python_agent: PythonAgent) -> None:
        agent = python_agent()
        agent.send_raw(b"not json\n[]\n\n")
        agent.send("dance")
        agent.send("stop")
        agent.send_raw(b"x" * (3 << 20) + b"\n")
        agent.send("hello")
        agent.expect("hello")
        words = " ".join(agent.logs(0, "err"))
        assert "no message of the protocol" in words
        assert "dance" in words
        assert "lacks or misstates" in words


class TestStart:
    @pytest.fixture
    def python_agent(self, borrowed_python_agent: PythonAgent) -> PythonAgent:
        return borrowed_python_agent

    def test_ready_generation_answers_and_its_times_are_told(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        agent.start(1, tree(asgi("one")), entry="main:app")
        ready = agent.expect("ready", gen=1)
        assert ready["kind"] == "asgi"
        assert ready["ms"]["import"] > 0
        assert ready["ms"]["ready"] > 0
        assert ready["advice"] == []
        assert http_get(ready["port"]).body == b"one"

    def test_port_of_the_message_is_used(self, python_agent: PythonAgent, tree: Tree) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            wanted = sock.getsockname()[1]
        agent = python_agent()
        assert serve(agent, 1, tree(asgi("one")), port=wanted) == wanted

    def test_taken_port_fails_with_kind_port(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        port = serve(agent, 1, tree(asgi("one")))
        for gen, fields in ((2, {"entry": "main:app"}), (3, {"entry": None, "command": ["true"]})):
            message = failure(agent, gen, tree(asgi("two")), port=port, **fields)
            assert message["kind"] == "port"
            assert str(port) in message["message"]
        assert http_get(port).body == b"one"

    def test_start_of_a_known_number_is_ignored(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        port = serve(agent, 1, tree(asgi("one")))
        agent.start(1, tree(asgi("other")), entry="main:app")
        serve(agent, 2, tree(asgi("two")))
        assert agent.waiting("ready", gen=1) == []
        assert http_get(port).body == b"one"

    def test_two_generations_serve_side_by_side(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        ports = [serve(agent, gen, tree(asgi(str(gen)))) for gen in (1, 2, 3)]
        assert len(set(ports)) == 3
        assert [http_get(port).body for port in ports] == [b"1", b"2", b"3"]

    def test_program_sees_its_environment_and_nothing_of_the_agent(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        code = """
        import os, sys
        main = sys.modules["__main__"]
        return {"env": dict(os.environ), "cwd": os.getcwd(), "group": os.getpgrp() == os.getpid(),
                "path": sys.path, "argv": sys.argv, "main": getattr(main, "__file__", None)}
        """
        directory = tree(function(code))
        port = serve(agent, 1, directory, "main:handler", env={"GREETING": "hé", "PORT": "lost"})
        seen = http_get(port).json()
        assert seen["env"]["GREETING"] == "hé"
        assert seen["env"]["PORT"] == str(port)
        assert seen["env"]["HOST"] == "127.0.0.1"
        assert not [name for name in seen["env"] if name.startswith("APIMARKET_")]
        assert seen["cwd"] == str(directory)
        assert seen["group"]
        assert seen["path"][0] == str(directory)
        assert not [place for place in seen["path"] if "agents" in place]
        assert seen["argv"] == ["main:handler"]
        assert seen["main"] is None

    def test_users_file_may_have_the_name_of_ours_or_of_a_preloaded_package(
        self, python_agent: PythonAgent, tree: Tree
    ) -> None:
        agent = python_agent()
        files = dict.fromkeys(("function.py", "template.py", "click.py", "h11/__init__.py"), "NAME = __file__")
        code = "import click, function, h11, template\nreturn [m.NAME for m in (click, function, h11, template)]"
        directory = tree({**files, **function(code)})
        names = http_get(serve(agent, 1, directory, "main:handler")).json()
        assert [Path(name).relative_to(directory).parts[0] for name in names] == [
            "click.py",
            "function.py",
            "h11",
            "template.py",
        ]

    def test_read_only_tree_is_enough(self, python_agent: PythonAgent, tree: Tree) -> None:
        directory = tree(asgi("one"))
        directory.chmod(0o555)
        agent = python_agent()
        serve(agent, 1, directory)
        assert [entry.name for entry in directory.iterdir()] == ["main.py"]

    def test_change_within_a_second_and_of_the_same_size_is_seen(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        for gen in range(1, 6):
            directory = tree(asgi(str(gen)))
            os.utime(directory / "main.py", (1_700_000_000, 1_700_000_000))
            assert http_get(serve(agent, gen, directory)).text == str(gen)

    def test_random_numbers_differ_between_generations(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        code = "import random\nVALUE = random.random()\ndef handler():\n    return VALUE\n"
        values = {http_get(serve(agent, gen, tree({"main.py": code}), "main:handler")).text for gen in (1, 2, 3)}
        assert len(values) == 3


class TestFailure:
    @pytest.fixture
    def python_agent(self, borrowed_python_agent: PythonAgent) -> PythonAgent:
        return borrowed_python_agent

    def test_syntax_error_has_file_and_line(self, python_agent: PythonAgent, tree: Tree) -> None:
        directory = tree({"main.py": "from lib import parts\n", "lib/parts.py": "x = 1\ndef broken(:\n"})
        message = failure(python_agent(), 1, directory)
        assert (message["kind"], message["file"], message["line"]) == ("syntax", "lib/parts.py", 2)
        assert message["message"].startswith("SyntaxError: ")
        assert str(directory) not in message["traceback"]

    def test_missing_module_says_what_to_add(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        message = failure(agent, 1, tree({"main.py": "x = 1\nimport nowhere_to_be_found.part\n"}))
        assert (message["kind"], message["file"], message["line"]) == ("import", "main.py", 2)
        assert "Add nowhere_to_be_found to requirements.txt" in message["message"]
        message = failure(agent, 2, tree({"main.py": "import yaml\n"}))
        assert "Add PyYAML to requirements.txt" in message["message"]

    def test_missing_part_of_the_users_own_package_is_no_requirement(
        self, python_agent: PythonAgent, tree: Tree
    ) -> None:
        message = failure(python_agent(), 1, tree({"main.py": "import lib.parts\n", "lib/__init__.py": ""}))
        assert message["kind"] == "import"
        assert "requirements.txt" not in message["message"]

    def test_traceback_has_the_users_frames_only(self, python_agent: PythonAgent, tree: Tree) -> None:
        directory = tree({"main.py": "import lib\n", "lib.py": "def f():\n    return 1 / 0\nf()\n"})
        message = failure(python_agent(), 1, directory)
        assert (message["kind"], message["file"], message["line"]) == ("import", "lib.py", 2)
        assert message["message"] == "ZeroDivisionError: division by zero"
        lines = [line.strip() for line in message["traceback"].splitlines() if 'File "' in line]
        assert lines == [
            'File "main.py", line 1, in <module>',
            'File "lib.py", line 3, in <module>',
            'File "lib.py", line 2, in f',
        ]

    @pytest.mark.parametrize(
        ("code", "entry", "expected"),
        [
            ("def other(request): ...\nx = 1\n", "main:app", "main has no app. It has main:other"),
            ("x = 1\n", "main:app", "It has nothing that could be served"),
            ("app = 3\n", "main:app", "main:app is an int, which cannot be called"),
            ("app = None\n", "main:app", "is None"),
            ("def app(a, b, c, d): ...\n", "main:app", "takes (a, b, c, d)"),
            ("def app(event, context): ...\n", "main:app", "takes (event, context)"),
            ("async def app(a, b): ...\n", "main:app", "takes (a, b)"),
            ("def app(request, *, need): ...\n", "main:app", "takes (request, need)"),
            ("x = 1\n", "main", "has none of app, application, api, handler"),
            ("async def create_app(): ...\n", "main:create_app.x", "has no create_app.x"),
            ("", "other:app", "there is no module other. The directory has main.py"),
            ("", "main-app", "is no module name"),
        ],
    )
    def test_entry_that_cannot_be_served(
        self, shared_python_agent: AgentProcess, tree: Tree, code: str, entry: str, expected: str
    ) -> None:
        message = failure(shared_python_agent, shared_python_agent.next_gen(), tree({"main.py": code}), entry)
        assert message["kind"] == "entry"
        assert expected in message["message"]

    def test_exit_while_loading(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        message = failure(agent, 1, tree({"main.py": "import sys\nsys.exit('no settings')\n"}))
        assert message["kind"] == "exit"
        assert "no settings" in message["message"]
        code = "import os, sys\nprint('last words', file=sys.stderr)\nsys.stderr.flush()\nos._exit(7)\n"
        message = failure(agent, 2, tree({"main.py": code}))
        assert message["kind"] == "exit"
        assert "exit code 7" in message["message"]
        assert message["traceback"] == "last words"
        message = failure(agent, 3, tree({"main.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"}))
        assert "SIGSEGV" in message["message"]

    def test_lifespan_that_raises(self, python_agent: PythonAgent, tree: Tree) -> None:
        code = """
        from contextlib import asynccontextmanager
        from fastapi import FastAPI

        @asynccontextmanager
        async def lifespan(app):
            raise LookupError("no database")
            yield

        app = FastAPI(lifespan=lifespan)
        """
        message = failure(python_agent(SITE_PACKAGES), 1, tree({"main.py": textwrap.dedent(code)}))
        assert message["kind"] == "exit"
        assert message["message"] == "start-up failed: LookupError: no database"
        assert (message["file"], message["line"]) == ("main.py", 7)
        assert 'File "main.py", line 7, in lifespan' in message["traceback"]

    def test_time_limit(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        files = {"main.py": "import lib\n", "lib.py": "import time\ndef wait():\n    time.sleep(60)\nwait()\n"}
        message = failure(agent, 1, tree(files), timeout_s=0.8)
        assert (message["kind"], message["file"], message["line"]) == ("timeout", "lib.py", 3)
        assert message["message"] == "it was not ready within 0.8 s; it was at lib.py line 3"
        lines = [line.strip() for line in message["traceback"].splitlines() if "File" in line and "frozen" not in line]
        assert lines == [
            'File "lib.py", line 3 in wait',
            'File "lib.py", line 4 in <module>',
            'File "main.py", line 1 in <module>',
        ]

    def test_broken_generation_leaves_the_ready_one_serving(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        port = serve(agent, 1, tree(asgi("one")))
        failure(agent, 2, tree({"main.py": "def broken(:\n"}))
        failure(agent, 3, tree({"main.py": "import os\nos._exit(1)\n"}))
        assert http_get(port).body == b"one"

    def test_processes_of_a_failed_generation_are_gone(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        code = """
        import subprocess, sys
        child = subprocess.Popen(["sleep", "60"])
        print(child.pid, flush=True)
        raise ValueError("after all")
        """
        failure(agent, 1, tree({"main.py": textwrap.dedent(code)}))
        (line,) = agent.logs(1)
        assert not is_alive(int(line))
