"""Values that are remembered for some time: one, or a bounded number."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from memos_kernel.ids import Clock

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    until: datetime
    size: int


class ExpiringCache(Generic[K, V]):
    """Values of a similar life, in the order in which they came: the oldest end first, and make room first.

    What has ended leaves with the next value that comes, so an idle cache holds no more than its bounds.
    """

    def __init__(self, *, clock: Clock, capacity: int, most_bytes: int) -> None:
        """Take the bounds: the number of values, and the bytes of all of them together, as told to `put`."""
        self._clock = clock
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value of a key; None if there is none, or it has ended."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and entry.until > self._clock.now() else None

    def put(self, key: K, value: V, *, until: datetime, size: int = 0) -> None:
        """Keep a value of `size` bytes until it ends, or has to make room."""
        self._drop(key)
        self._entries[key] = _Entry(value, until, size)
        self._bytes += size
        now = self._clock.now()
        while self._entries:
            oldest, entry = next(iter(self._entries.items()))
            if entry.until > now and len(self._entries) <= self._capacity and self._bytes <= self._most_bytes:
                return
            self._drop(oldest)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size


class Remembered(Generic[V]):
    """One value that is asked for again only after some time; while it cannot be had, the old one is good."""

    def __init__(
        self, load: Callable[[], Awaitable[V]], *, clock: Clock, keep: timedelta, failures: type[Exception]
    ) -> None:
        """Take what loads it, for how long it is good, and the failures after which the old one stays."""
        self._load = load
        self._clock = clock
        self._keep = keep
        self._failures = failures
        self._entry: _Entry[V] | None = None

    async def get(self, *, otherwise: V) -> V:
        """Return the value; `otherwise` if it has never been there."""
        now = self._clock.now()
        if self._entry is None or self._entry.until <= now:
            try:
                self._entry = _Entry(await self._load(), now + self._keep, 0)
            except self._failures:
                return otherwise if self._entry is None else self._entry.value
        return self._entry.value
