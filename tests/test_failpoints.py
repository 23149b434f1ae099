"""Where a server ends itself for a test."""

import os
import signal
import subprocess
import sys

PROGRAM = """
import os
from local_server.failpoints import failpoint, warn_if_set
os.environ["APIMARKET_FAILPOINT"] = "later"
warn_if_set()
for name in ("later", "other", "here", "here"):
    failpoint(name)
    print(name, flush=True)
"""


def run(**environment: str) -> "subprocess.CompletedProcess[str]":
    given = {name: value for name, value in os.environ.items() if name != "APIMARKET_FAILPOINT"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=given | environment, capture_output=True, text=True, timeout=60
    )


class TestFailpoint:
    def test_ends_the_process_where_the_environment_says(self) -> None:
        done = run(APIMARKET_FAILPOINT="here:2")
        assert done.returncode == -signal.SIGKILL
        assert done.stdout.split() == ["later", "other", "here"]
        assert "APIMARKET_FAILPOINT is set: this server ends itself at here" in done.stderr

    def test_nothing_sets_it_once_the_process_runs(self) -> None:
        done = run()
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split() == ["later", "other", "here", "here"]
