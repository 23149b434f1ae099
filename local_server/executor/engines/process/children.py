"""Child processes whose pipes somebody else may hold open: a daemon started from one inherits them."""

import asyncio

_LOOK_S = 0.3


async def ended(process: asyncio.subprocess.Process) -> int:
    """Wait until the child itself has ended; its exit code. `Process.wait` waits for its pipes as well, which a stray
    grandchild can hold for ever."""
    waiting = asyncio.ensure_future(process.wait())
    try:
        while process.returncode is None:
            await asyncio.wait({waiting}, timeout=_LOOK_S)
    finally:
        waiting.cancel()
        await asyncio.wait({waiting})
    return process.returncode


def close_pipes(process: asyncio.subprocess.Process) -> None:
    """Close our ends, whoever holds the others."""
    process._transport.close()  # type: ignore[attr-defined]  # asyncio has no public way to
