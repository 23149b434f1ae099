"""What this machine can test: a test that needs Docker, a browser, PostgreSQL or Redis is skipped, with the reason and
the way to enable it, where there is none. Under CI=true there is no such excuse: its skip fails the run, and so does
any other whose reason begins with "needs".
"""

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.limiter.redis_server import RedisServer
from tests.postgres import clusters

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_configure() -> None:
    """Let Ctrl-C end what the tests start, also where a shell has put them into the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def docker_trouble() -> str:
    """Why no Docker engine can be used, and how to get one; empty when one answers. Asked once a session."""
    host = os.environ.get("DOCKER_HOST", "")
    where = host or "the default socket"
    enable = "start Docker, or point DOCKER_HOST at an engine (on Debian: export DOCKER_HOST=$(.ci/docker-engine))"
    # A missing socket needs no client, and no five seconds, to be told.
    if (not host or host.startswith("unix:")) and not Path(urlsplit(host).path or "/var/run/docker.sock").exists():
        return f"there is no Docker engine at {where}; {enable}"
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
        try:
            client.ping()
        finally:
            client.close()
    except (DockerException, OSError) as error:
        return f"the Docker engine at {where} does not answer ({error}); {enable}"
    return ""


@cache
def browser_trouble() -> str:
    """Why no browser can be driven, and how to get one; empty when Chromium is installed."""
    if any(shutil.which(name) for name in _CHROMIUM):
        return ""
    return f"Chromium is not on PATH (looked for {', '.join(_CHROMIUM)}); on Debian: apt install chromium"


@pytest.fixture(scope="session")
def postgres18() -> Iterator[clusters.Cluster]:
    """From PyPI."""
    yield from _cluster(18)


@pytest.fixture(scope="session")
def postgres15() -> Iterator[clusters.Cluster]:
    """Debian's."""
    yield from _cluster(15)


def _cluster(version: int) -> Iterator[clusters.Cluster]:
    if reason := clusters.trouble(version):
        pytest.skip(reason)
    with clusters.running(version) as cluster:
        yield cluster


@cache
def redis_trouble() -> str:
    """Why no Redis can be started, and how to have one; empty when it is installed."""
    return "" if shutil.which("redis-server") else "redis-server is not on PATH; on Debian: apt install redis-server"


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer.started() as server:
        yield server


_COUNTED = "counted"
Count = Callable[[str, int], None]


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Takes what was done so many times; the sum over all tests is told at the end of the run."""
    return lambda what, times: record_property(_COUNTED, (what, times))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counted: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for what, times in (value for name, value in report.user_properties if name == _COUNTED):
                    counted[what] += times
    if counted:
        terminalreporter.section("counted")
        for what, times in sorted(counted.items()):
            terminalreporter.write_line(f"{times:>7,} {what}")


_NEEDS = {"docker": docker_trouble, "browser": browser_trouble, "redis": redis_trouble}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, trouble in _NEEDS.items():
        if item.get_closest_marker(marker) and (reason := trouble()):
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI the skip of a test for want of something is its failure."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        wanting = reason.removeprefix("Skipped: ").startswith("needs ")
        if wanting or any(item.get_closest_marker(marker) for marker in _NEEDS):
            report.outcome = "failed"
            report.longrepr = f"skipped under CI=true, where nothing may be wanting: {reason}"
    return report
