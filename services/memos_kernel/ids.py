"""Time and identifiers, injected so that tests choose them."""

import os
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of the current time."""

    def now(self) -> datetime:
        """Return the time now, with zone UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time now, with zone UTC."""
        return datetime.now(UTC)


IdFactory = Callable[[], str]

_RANDOM_BYTES = 8
_AT_ONCE = 256
_MILLISECOND = 1_000_000

_spare: deque[bytes] = deque()
"""Random bytes of the ids to come. To ask the system for them costs the thread its turn, so it is done seldom."""

os.register_at_fork(after_in_child=_spare.clear)  # or two processes would make the same ids


def uuid7() -> str:
    """Return a UUIDv7: 48 bits of Unix milliseconds, 12 bits of their fraction, then random bits; ids sort by time.

    The fraction (RFC 9562, section 6.2, method 3) keeps those in order that one process makes one after another.
    """
    milliseconds, rest = divmod(time.time_ns(), _MILLISECOND)
    fraction = rest * 4096 // _MILLISECOND
    raw = bytearray(milliseconds.to_bytes(6, "big") + fraction.to_bytes(2, "big") + _random())
    raw[6] |= 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _random() -> bytes:
    try:
        return _spare.pop()
    except IndexError:
        drawn = os.urandom(_RANDOM_BYTES * _AT_ONCE)
        _spare.extend(drawn[start : start + _RANDOM_BYTES] for start in range(_RANDOM_BYTES, len(drawn), _RANDOM_BYTES))
        return drawn[:_RANDOM_BYTES]
