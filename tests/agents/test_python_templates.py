"""The template: what is preloaded for the next generation, and that nothing it does can hurt one."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.agents.conftest import PythonAgent, Tree
from tests.agents.driver import AgentProcess, eventually, http_get, is_alive
from tests.agents.python_programs import SITE_PACKAGES, asgi, serve, template_pid

SLOW = "import time\ntime.sleep(0.3)\nIMPORTED_BY = __import__('os').getpid()\n"
PROBE = """
import os
import {module}

def handler():
    return [{module}.IMPORTED_BY, os.getpid()]
"""


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    directory = tmp_path / "layer"
    directory.mkdir()
    return directory


def probe(module: str) -> dict[str, str]:
    return {"main.py": PROBE.format(module=module)}


def is_preloaded(agent: AgentProcess, gen: int, directory: Path) -> bool:
    imported_by, pid = http_get(serve(agent, gen, directory, "main:handler")).json()
    return bool(imported_by != pid)


def wait_for_new_template(agent: AgentProcess, old: int) -> int:
    eventually(lambda: not is_alive(old))
    return template_pid(agent)


class TestPreload:
    def test_next_generation_finds_what_the_last_one_imported(
        self, python_agent: PythonAgent, tree: Tree, layer: Path
    ) -> None:
        (layer / "heavy.py").write_text(SLOW)
        agent = python_agent(layer)
        first = template_pid(agent)
        agent.start(1, tree(probe("heavy")), entry="main:handler")
        ready = agent.expect("ready", gen=1)
        assert ready["ms"]["import"] > 300
        (advice,) = ready["advice"]
        assert advice.startswith("heavy costs 3")
        wait_for_new_template(agent, first)
        agent.start(2, tree(probe("heavy")), entry="main:handler")
        ready = agent.expect("ready", gen=2)
        assert ready["ms"]["import"] < 200
        assert ready["advice"] == []
        imported_by, pid = http_get(ready["port"]).json()
        assert imported_by != pid

    def test_start_never_waits_for_a_preload(self, python_agent: PythonAgent, tree: Tree, layer: Path) -> None:
        (layer / "hanging.py").write_text("import os, time\nif 'generation' not in os.environ: time.sleep(60)\n" + SLOW)
        agent = python_agent(layer)
        assert not is_preloaded(
            agent, 1, tree({"main.py": "import os\nos.environ['generation'] = '1'\n" + probe("hanging")["main.py"]})
        )
        began = time.monotonic()
        serve(agent, 2, tree(asgi("two")))
        assert time.monotonic() - began < 30

    def test_users_own_modules_are_never_preloaded(self, python_agent: PythonAgent, tree: Tree, layer: Path) -> None:
        (layer / "heavy.py").write_text(SLOW)
        agent = python_agent(layer)
        first = template_pid(agent)
        for gen in (1, 2):
            files = {**probe("mine"), "mine.py": "import os, heavy\nIMPORTED_BY = os.getpid()\n"}
            assert not is_preloaded(agent, gen, tree(files))
            if gen == 1:
                wait_for_new_template(agent, first)

    def test_changed_environment_is_seen_by_third_party_modules(
        self, python_agent: PythonAgent, tree: Tree, layer: Path
    ) -> None:
        (layer / "settings.py").write_text("import os\nIMPORTED_BY = os.environ.get('COLOUR')\n")
        agent = python_agent(layer)
        for gen, colour in ((1, "red"), (2, "red"), (3, "blue"), (4, "blue")):
            before = template_pid(agent)
            port = serve(agent, gen, tree(probe("settings")), "main:handler", env={"COLOUR": colour})
            assert http_get(port).json()[0] == colour
            if gen in (1, 3):
                wait_for_new_template(agent, before)

    def test_retired_templates_generation_serves_on_and_its_end_is_told(
        self, python_agent: PythonAgent, tree: Tree, layer: Path
    ) -> None:
        (layer / "heavy.py").write_text(SLOW)
        agent = python_agent(layer)
        first = template_pid(agent)
        port = serve(agent, 1, tree(probe("heavy")), "main:handler")
        wait_for_new_template(agent, first)
        os.kill(http_get(port).json()[1], signal.SIGKILL)
        exited = agent.expect("exited", gen=1)
        assert (exited["code"], exited["signal"]) == (None, 9)


class TestTrouble:
    @pytest.mark.parametrize(
        "trouble",
        [
            "import threading\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n",
            "os._exit(9) if not os.environ.get('PORT') else None\n",
            "os.kill(os.getpid(), 11) if not os.environ.get('PORT') else None\n",
        ],
        ids=["starts a thread", "exits", "crashes"],
    )
    def test_module_that_cannot_be_preloaded_is_left_to_the_generation(
        self, python_agent: PythonAgent, tree: Tree, layer: Path, trouble: str
    ) -> None:
        """And the others are preloaded all the same, but for those that import it."""
        (layer / "early.py").write_text(SLOW)
        (layer / "nasty.py").write_text("import os, time\n" + trouble + SLOW)
        (layer / "user_of_nasty.py").write_text(
            "import os\ntry:\n    import nasty\nexcept ImportError:\n    nasty = None\nIMPORTED_BY = os.getpid()\n"
        )
        (layer / "late.py").write_text("import os\nIMPORTED_BY = os.getpid()\n")
        agent = python_agent(layer)
        first = template_pid(agent)
        code = """
import os, early, user_of_nasty, late

def handler():
    modules = {"early": early, "nasty": user_of_nasty.nasty, "user_of_nasty": user_of_nasty, "late": late}
    return {name: module.IMPORTED_BY == os.getpid() for name, module in modules.items()}
"""
        serve(agent, 1, tree({"main.py": code}), "main:handler")
        wait_for_new_template(agent, first)
        agent.start(2, tree({"main.py": code}), entry="main:handler")
        ready = agent.expect("ready", gen=2)
        imported_here = http_get(ready["port"]).json()
        assert imported_here == {"early": False, "nasty": True, "user_of_nasty": True, "late": False}
        (advice,) = ready["advice"]
        assert advice.startswith("nasty costs 3")
        assert "at every save" in advice

    def test_killed_template_is_replaced_and_its_generations_serve_on(
        self, python_agent: PythonAgent, tree: Tree
    ) -> None:
        agent = python_agent()
        one = serve(agent, 1, tree(asgi("one")))
        for gen in range(2, 5):
            os.kill(template_pid(agent), signal.SIGKILL)
            assert http_get(serve(agent, gen, tree(asgi(str(gen))))).text == str(gen)
        assert http_get(one).body == b"one"
        agent.send("stop", gen=1, grace_s=2)
        agent.expect("stopped", gen=1)

    def test_template_killed_during_a_start_loses_nothing(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        slow = tree({"main.py": "import time\ntime.sleep(0.3)\n" + asgi("one")["main.py"]})
        agent.start(1, slow, entry="main:app")
        os.kill(template_pid(agent), signal.SIGKILL)
        assert http_get(agent.expect("ready", gen=1)["port"]).body == b"one"

    def test_stopped_template_does_not_hold_up_stop(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent()
        serve(agent, 1, tree(asgi("one")))
        os.kill(template_pid(agent), signal.SIGSTOP)
        agent.start(2, tree(asgi("two")), entry="main:app")
        agent.send("stop", gen=2, grace_s=0.3)
        agent.expect("stopped", gen=2)
        serve(agent, 3, tree(asgi("three")))
        assert agent.waiting("ready", gen=2) == []

    def test_output_of_a_preload_is_the_agents_and_never_on_the_protocol(
        self, python_agent: PythonAgent, tree: Tree, layer: Path
    ) -> None:
        (layer / "chatty.py").write_text("import os\nprint('hello from chatty')\nos.write(1, b'raw\\n')\n" + SLOW)
        agent = python_agent(layer)
        first = template_pid(agent)
        serve(agent, 1, tree(probe("chatty")), "main:handler")
        wait_for_new_template(agent, first)
        agent.expect("log", gen=0, line="raw")
        assert all(isinstance(json.loads(line), dict) for line in agent.stdout_lines)

    def test_fastapi_generation_from_a_warm_template(self, python_agent: PythonAgent, tree: Tree) -> None:
        agent = python_agent(SITE_PACKAGES)
        code = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef root(n: int = 1): return {'n': n}\n"
        first = template_pid(agent)
        serve(agent, 1, tree({"main.py": code}))
        wait_for_new_template(agent, first)
        agent.start(2, tree({"main.py": code}), entry="main:app")
        ready = agent.expect("ready", gen=2)
        assert ready["ms"]["import"] < 150
        assert http_get(ready["port"], "/?n=5").json() == {"n": 5}
