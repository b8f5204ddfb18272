"""Long lists go to the database in parts."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

PART = 500
"""Keys in one IN list."""


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return a sequence in parts of at most `PART`."""
    return (items[start : start + PART] for start in range(0, len(items), PART))
