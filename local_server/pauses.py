"""How the interpreter is set so that the loop which carries traffic never waits long for the interpreter itself."""

import gc
import sys

SWITCH_S = 0.001
"""For so long may a thread that computes keep the loop waiting; Python's own 5 ms would hold up whoever calls while a
batch of the request log is written."""

YOUNG_OBJECTS = 5_000
"""More than the rows of the request log that are on their way at any time: those are gone again before they are looked
at, where Python's own 700 would look at most of them twice, and then count them among what stays."""


def keep_pauses_short() -> None:
    """For the whole process; once the server has made what it keeps.

    What was made until now is never looked through again: some 140,000 objects, of modules and models, for which every
    full collection stopped all traffic for 50 to 100 ms. What of them is garbage by now stays: to collect it first
    would take as long.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    gc.freeze()
