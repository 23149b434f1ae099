"""What a generation imports: which modules the template may import for it, and what they cost."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

_roots: List[str] = []


def remember_roots(support: Optional[str]) -> None:
    """Directories whose modules are the same for every generation. Called once, in the template."""
    places = [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += os.environ.get("APIMARKET_LAYER", "").split(os.pathsep)
    places += [support or ""]
    _roots[:] = sorted({os.path.realpath(place) + os.sep for place in places if place})


def _is_below(origin: str, roots: Sequence[str]) -> bool:
    return any(origin.startswith(root) for root in roots)


def _standard_names() -> FrozenSet[str]:
    return getattr(sys, "stdlib_module_names", frozenset())


def own_places(directory: str, entry: str) -> Tuple[List[str], List[str]]:
    """Where the user's own modules lie: in front of every other module, and behind them all.

    In a `src` layout the program is imported as `main` or `shop.main` from `src`, as if that were installed: then `src`
    is one of the two directories in front. Otherwise (`src.main`, or a `main.py` beside `src`) it only helps where the
    import would fail, so that a `src/redis.py` hides nothing."""
    source = os.path.join(directory, "src")
    if not os.path.isdir(source):
        return [directory], []
    name = entry.partition(":")[0].partition(".")[0]
    if _has_module(source, name) and not _has_module(directory, name):
        return [directory, source], []
    is_package = os.path.exists(os.path.join(source, "__init__.py"))
    return [directory], [] if is_package else [source]


def _has_module(directory: str, name: str) -> bool:
    place = os.path.join(directory, name)
    return os.path.isdir(place) or os.path.isfile(place + ".py")


def give_way(directory: str) -> None:
    """Forget preloaded third-party modules that a file of the user's hides: their `click.py` is what they mean."""
    try:
        files = os.listdir(directory)
    except OSError:
        return
    names = {name.partition(".")[0] for name in files if "." not in name or name.endswith((".py", ".so"))}
    hidden = {name for name in names & set(sys.modules) - _standard_names() if not _is_standard(sys.modules[name])}
    if hidden:
        for name in list(sys.modules):
            if name.partition(".")[0] in hidden:
                del sys.modules[name]


def _is_standard(module: Any) -> bool:
    """For Python 3.9, which has no list of its standard modules."""
    spec = getattr(module, "__spec__", None)
    origin = getattr(spec, "origin", None)
    if origin in (None, "built-in", "frozen"):
        return True
    paths = sysconfig.get_paths()
    inside = os.path.realpath(str(origin)).startswith(os.path.realpath(paths["stdlib"]) + os.sep)
    return inside and "site-packages" not in str(origin)


class Clock:
    """Times the top-level third-party packages imported while it runs, each without what it imports in turn."""

    def __init__(self, directory: str) -> None:
        self._directory = os.path.realpath(directory) + os.sep
        self._known: Set[str] = set(sys.modules)
        self._costs_s: Dict[str, float] = {}
        self._inner_s: List[float] = []
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        sys.meta_path.remove(self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> Optional[ModuleSpec]:
        if "." in name or name in sys.builtin_module_names:
            return None
        if name in _standard_names():
            return None
        spec = PathFinder.find_spec(name)
        if spec is None or spec.loader is None or not spec.origin or not self._is_shared(spec.origin):
            return None
        return spec if self._time(name, spec.loader) else None

    def _is_shared(self, origin: str) -> bool:
        real = os.path.realpath(origin)
        return _is_below(real, _roots) and not real.startswith(self._directory)

    def _time(self, name: str, loader: Any) -> bool:
        execute: Callable[[Any], None] = loader.exec_module

        def timed(module: Any) -> None:
            del loader.exec_module  # this loader only, and only once
            self._inner_s.append(0.0)
            began = time.perf_counter()
            try:
                execute(module)
            finally:
                took = time.perf_counter() - began
                self._costs_s[name] = took - self._inner_s.pop()
                if self._inner_s:
                    self._inner_s[-1] += took

        try:
            loader.exec_module = timed
        except AttributeError:
            return False  # cannot be timed; somebody else may find it
        return True

    def costs_ms(self) -> Dict[str, float]:
        return {name: cost * 1000 for name, cost in self._costs_s.items() if cost >= 0.05}

    def new_modules(self) -> List[str]:
        """Names imported since the fork that another generation would import just so, in the order of their import."""
        found = []
        for name, module in list(sys.modules.items()):
            if name not in self._known and self._is_preloadable(name, module):
                found.append(name)
        self._known |= set(found)
        return found

    def _is_preloadable(self, name: str, module: Any) -> bool:
        spec = getattr(module, "__spec__", None)
        if spec is None or getattr(spec, "name", None) != name:
            return False  # an alias some package put there
        if spec.origin in ("built-in", "frozen"):
            return True
        return bool(spec.origin) and spec.has_location and self._is_shared(str(spec.origin))
