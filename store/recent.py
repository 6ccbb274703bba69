"""What was read a moment ago, so that a hot path need not ask the database each time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values that are good for ``lifetime_seconds`` after they were put; at most ``limit``, the oldest go first."""

    def __init__(
        self, *, lifetime_seconds: float, limit: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime_seconds = lifetime_seconds
        self._limit = limit
        self._clock = clock
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value, if it was put recently enough."""
        entry = self._entries.get(key)
        if entry is None or entry[0] < self._clock():
            return None
        return entry[1]

    def put(self, key: Key, value: Value) -> None:
        """Keep ``value`` for a while."""
        self._entries[key] = (self._clock() + self._lifetime_seconds, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def forget(self, key: Key) -> None:
        """Read it anew the next time."""
        self._entries.pop(key, None)
