"""The program a sandbox starts: the supervisor, or with `--template FD` the template it forks generations from."""

from __future__ import annotations

import os
import sys
import types

_PACKAGE = "_apimarket_agent"


def _name_the_package() -> None:
    # The agent's modules get a package name of their own: a user's `function.py` or `template.py` must never meet ours
    # in `sys.modules`, nor find this directory on `sys.path`.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [here]
    sys.modules[_PACKAGE] = package


if __name__ == "__main__":
    _name_the_package()
    __package__ = _PACKAGE
    if sys.argv[1:2] == ["--template"]:
        from .template import main as template_main

        template_main(int(sys.argv[2]))
    else:
        from .supervisor import main as supervisor_main

        sys.exit(supervisor_main())
