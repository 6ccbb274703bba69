"""Passwords: hashed slowly, a few at a time, and guessed at rarely."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from domain.errors import TooManyRequests

_MAX_WAITING: Final = 20


class Passwords:
    """argon2id in threads: ``concurrent`` at once (each takes 64 MiB), some wait, more are refused."""

    def __init__(self, hasher: Argon2Hasher | None = None, *, concurrent: int = 2) -> None:
        self._hash = PasswordHash((hasher or Argon2Hasher(),))
        self._slots = asyncio.Semaphore(concurrent)
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """What to keep of a password."""
        async with self._slots:
            return await asyncio.to_thread(self._hash.hash, password)

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether this is the password. With ``kept`` None (nobody's) it is not, and takes as long to say so.

        Raises ``TooManyRequests`` when too many already wait to be told.
        """
        if self._waiting >= _MAX_WAITING:
            raise TooManyRequests("too many log-ins at once", retry_after=timedelta(seconds=2))
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(self._verify, password, kept)
        finally:
            self._waiting -= 1

    def _verify(self, password: str, kept: str | None) -> bool:
        if kept is None:
            self._nobodys = self._nobodys or self._hash.hash("nobody's password")
            self._hash.verify(password, self._nobodys)
            return False
        return self._hash.verify(password, kept)


class Attempts:
    """At most ``limit`` attempts per key in any ``window``, counted in this process."""

    def __init__(
        self, limit: int, window: timedelta, *, clock: Callable[[], float] = time.monotonic, max_keys: int = 10_000
    ) -> None:
        self._limit = limit
        self._window_seconds = window.total_seconds()
        self._clock = clock
        self._max_keys = max_keys
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, key: str) -> None:
        """Count an attempt. Raises ``TooManyRequests`` if there were too many."""
        now = self._clock()
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        while times and times[0] <= now - self._window_seconds:
            times.popleft()
        if len(times) >= self._limit:
            wait = timedelta(seconds=times[0] + self._window_seconds - now)
            raise TooManyRequests("too many attempts to log in", retry_after=wait)
        times.append(now)
        if len(self._times) > self._max_keys:
            self._times.popitem(last=False)

    def forgive(self, key: str) -> None:
        """Forget the attempts of this key: it was right."""
        self._times.pop(key, None)
