"""Passwords as bcrypt hashes, computed on threads of their own so that nothing else waits for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from local_server.domain.account_errors import TooManyAttempts
from local_server.domain.accounts import PASSWORD_MAX_BYTES, password_bytes

T = TypeVar("T")

ROUNDS = 12
"""2^12 of them: about a quarter of a second."""
THREADS = 2
MOST_WAITING = 32
"""More are turned away: hashing is the dearest thing a stranger can ask for."""


class Passwords:
    """Use on one event loop."""

    def __init__(self, rounds: int | None = None) -> None:
        self._rounds = ROUNDS if rounds is None else rounds
        # Any 31 characters do for a hash: comparing with it takes as long as with a real one, and never matches.
        self._nobody = b"$2b$%02d$" % self._rounds + b"." * 53
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bcrypt")
        self._waiting = 0

    async def hashed(self, password: bytes) -> str:
        """What to keep of a password that `check_password` let through. Raises TooManyAttempts."""
        return (await self._run(lambda: bcrypt.hashpw(password, bcrypt.gensalt(self._rounds)))).decode()

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether `kept` was made from `password`. Takes as long where there is nothing to compare with, or where
        the password is one that nobody can have. Raises TooManyAttempts."""
        given = password_bytes(password)
        possible = given is not None and len(given) <= PASSWORD_MAX_BYTES and kept is not None
        tried = (given or b"")[:PASSWORD_MAX_BYTES]
        against = kept.encode() if kept is not None and possible else self._nobody
        return await self._run(lambda: bcrypt.checkpw(tried, against)) and possible

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise TooManyAttempts(retry_after_s=5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """May be called twice."""
        self._threads.shutdown(wait=True, cancel_futures=True)
