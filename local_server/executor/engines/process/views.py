"""Trees as a Node process sees them.

Node looks for packages in the `node_modules` of every directory above a file, after resolving symbolic links. Beside
the trees of an API there can be only one such directory, yet during a change of dependencies two sandboxes run on two
layers. So each Node sandbox gets a directory of its own: `node_modules` links to its layer, and a generation's tree is
laid out beneath it in hard links (a tree never changes; for 100 files that takes 2 ms). `--preserve-symlinks` would
save the links and break packages that are links themselves; NODE_PATH is not asked by `import`.
"""

import os
import shutil
from pathlib import Path


class View:
    def __init__(self, directory: Path, trees: Path, layer: Path) -> None:
        self._directory = directory
        self._trees = trees
        self._layer = layer
        self._laid: dict[int, Path] = {}

    def make(self) -> None:
        """Blocking."""
        (self._directory / "trees").mkdir(parents=True, exist_ok=True)
        modules = self._directory / "node_modules"
        if not modules.is_symlink() and (self._layer / "node_modules").is_dir():
            modules.symlink_to(self._layer / "node_modules", target_is_directory=True)

    def inside(self, host_path: Path) -> str:
        """Where the process sees a path among the trees, once it is laid out."""
        if host_path.is_relative_to(self._trees):
            return str(self._directory / "trees" / host_path.relative_to(self._trees))
        return str(host_path)

    def lay_out(self, generation: int, inside: str) -> None:
        """Make the tree of a generation there. Blocking."""
        place = Path(inside)
        if not place.is_relative_to(self._directory / "trees") or place.exists():
            return
        source = self._trees / place.relative_to(self._directory / "trees")
        self._laid[generation] = place
        shutil.copytree(source, place, symlinks=True, copy_function=_link)

    def clear(self, generation: int) -> None:
        """Forget the tree of a generation that ended. Blocking."""
        place = self._laid.pop(generation, None)
        if place is not None and place not in self._laid.values():
            shutil.rmtree(place, ignore_errors=True)

    def remove(self) -> None:
        """Blocking."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)  # another file system, or one without links
