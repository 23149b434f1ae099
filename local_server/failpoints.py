"""Named places where a test ends this process as `kill -9` would.

`APIMARKET_FAILPOINT=publish.after-blobs` in the environment of a server kills it there; `…=publish.after-blobs:3` the
third time it comes by. Without the variable a failpoint is one comparison. It is read once, at the start: nothing
that a server is asked can set it.
"""

import logging
import os
import signal

VARIABLE = "APIMARKET_FAILPOINT"
_name, _, _time = os.environ.get(VARIABLE, "").partition(":")
_left = int(_time) if _time.isdigit() else 1


def warn_if_set() -> None:
    """Say so in the log: nobody who did not mean it should look for the reason."""
    if _name:
        logging.getLogger("apimarket").warning("%s is set: this server ends itself at %s", VARIABLE, _name)


def failpoint(name: str) -> None:
    """End here, if a test asked for it. Call it with a literal: tests find every name in the source."""
    if _name and name == _name:
        _come_by()


def _come_by() -> None:
    global _left
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
