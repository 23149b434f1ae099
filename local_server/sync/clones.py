"""Brings a clone, somebody's version as an API of this machine, to another of its versions: pure.

What was not touched here becomes theirs. What was is kept or merged, as in a conflict of one's own (domain/merge.py):
nothing that was written here is lost, and what clashes is told by name before anything is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from local_server.domain.merge import Choices, Content, TreeMerge, merge_trees
from local_server.domain.publish_errors import CloneClashes
from local_server.domain.trees import Tree


@dataclass(frozen=True, slots=True)
class CloneUpdate:
    merge: TreeMerge
    kept: Sequence[str]
    """Paths that are not as in their version: changed, made or removed here."""


def update_of(
    name: str, semver: str, base: Tree, mine: Tree, theirs: Tree, content: Content, choices: Choices
) -> CloneUpdate:
    """Blocking: `content` reads. Raises CloneClashes."""
    merge = merge_trees(base, mine, theirs, content, choices)
    if merge.conflicts:
        raise CloneClashes(name, semver, [found.path for found in merge.conflicts])
    paths = sorted({*merge.entries, *theirs.entries})
    return CloneUpdate(merge, [path for path in paths if merge.entries.get(path) != theirs.entries.get(path)])
