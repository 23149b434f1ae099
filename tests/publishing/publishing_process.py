"""A marketplace as a process of its own, to be killed: takes a version in, from wherever it is.

python -m tests.publishing.publishing_process HOME SEMVER DATABASE
"""

import asyncio
import sys
from pathlib import Path

from local_server.domain.publishing import Outcome, Published
from local_server.domain.trees import TreeEntry
from local_server.events.bus import Bus
from tests.publishing.conftest import Account, Market, a_pack, frames_of, in_pieces, open_store

LARGE = bytes(range(256)) * 1024


def files_of(semver: str) -> dict[str, bytes]:
    """One file that every version has, one of its own, and a larger one of its own."""
    return {"same.py": b"same\n", "main.py": semver.encode(), "large.bin": LARGE + semver.encode()}


async def take_in(ana: Account, semver: str) -> Outcome:
    """What a client does, after any break: ask what became of it, send what is missing, commit."""
    intake, files, op = ana.market.open.intake, files_of(semver), f"op-{semver}-00"
    state = await intake.operation(ana.user, op)
    if state.outcome is not None:
        return state.outcome
    if state.upload is None:
        head = await ana.upon("one", files, semver, op=op)
        done = await ana.send("one", head)
        if isinstance(done, Outcome):
            return done
        missing, upload_id = done.missing, done.upload_id
    else:
        missing, upload_id = tuple(state.missing), state.upload.id
    small = [content for content in files.values() if len(content) < 1000 and TreeEntry.of(content).sha256 in missing]
    if small:
        await intake.receive(ana.user, upload_id, in_pieces(a_pack({}, frames_of(small))))
    large = files["large.bin"]
    sha256 = TreeEntry.of(large).sha256
    offset = await intake.offset(ana.user, upload_id, sha256)
    if offset < len(large):
        await intake.append(ana.user, upload_id, sha256, offset, in_pieces(large[offset:], 65536))
    done = await intake.commit(ana.user, upload_id)
    assert isinstance(done, Outcome), done
    return done


async def publish(home: Path, semver: str, database: str) -> Published:
    storage = await open_store(database, home, lambda event: None)
    try:
        ana = await Market(home, storage, Bus()).account(1, "ana")
        return (await take_in(ana, semver)).published
    finally:
        await storage.close()


if __name__ == "__main__":
    asyncio.run(publish(Path(sys.argv[1]), *sys.argv[2:4]))
