"""Starts agents and lays out trees. Every agent a test starts ends with it."""

import itertools
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import agent_directory, support_directory
from tests.agents.driver import AgentProcess

Tree = Callable[..., Path]
"""Called with file names and contents, as `tree({"main.py": "..."})`: lays them out in a new directory."""
PythonAgent = Callable[..., AgentProcess]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    numbers = itertools.count(1)

    def lay_out(files: Mapping[str, str]) -> Path:
        directory = tmp_path / "trees" / f"{next(numbers)}-aaaa"
        directory.mkdir(parents=True)
        for name, content in files.items():
            place = directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        return directory

    return lay_out


@pytest.fixture(scope="session")
def support(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support_directory(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that sees none of the server's packages."""
    directory = tmp_path_factory.mktemp("bare-python")
    venv.create(directory, symlinks=True, with_pip=False)
    return str(directory / "bin" / "python")


@pytest.fixture
def fresh_python_agent(bare_python: str, support: Path, tmp_path: Path) -> Iterator[PythonAgent]:
    """Starts Python agents and waits for their `hello`."""
    with ExitStack() as stack:

        def start(*layers: Path, env: Mapping[str, str] | None = None) -> AgentProcess:
            agent = stack.enter_context(_start_python(bare_python, support, layers, env or {}, tmp_path))
            agent.expect("hello")
            return agent

        yield start


@pytest.fixture
def python_agent(fresh_python_agent: PythonAgent) -> PythonAgent:
    """What tests ask for. A file whose tests leave the agent itself alone takes `borrowed_python_agent` for it."""
    return fresh_python_agent


@pytest.fixture(scope="session")
def shared_python_agent(
    bare_python: str, support: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentProcess]:
    """One agent without a layer, for tests that only need one; they take their numbers from `next_gen`."""
    with _start_python(bare_python, support, (), {}, tmp_path_factory.mktemp("agent")) as agent:
        agent.expect("hello")
        yield agent


@pytest.fixture
def borrowed_python_agent(fresh_python_agent: PythonAgent, shared_python_agent: AgentProcess) -> Iterator[PythonAgent]:
    """As `fresh_python_agent`, but one without a layer or an environment of its own is the shared one, as if it were
    new: its generations end with the test, and what it said is forgotten."""

    def borrow(*layers: Path, env: Mapping[str, str] | None = None) -> AgentProcess:
        return fresh_python_agent(*layers, env=env) if layers or env else shared_python_agent

    yield borrow
    shared_python_agent.forget()


def _start_python(
    interpreter: str, support: Path, layers: Sequence[Path], env: Mapping[str, str], cwd: Path
) -> AgentProcess:
    settings = {"APIMARKET_LAYER": ":".join(map(str, layers)), "APIMARKET_SUPPORT": str(support)}
    program = agent_directory(Runtime.PYTHON) / "agent.py"
    return AgentProcess([interpreter, "-u", str(program)], {**settings, **env}, cwd=cwd)
