"""When a KV cache or an adapter no longer tells what the memories tell that it was made from."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from memos_kernel.cube import Kind, MemCube, State
from memos_kernel.states import INJECTABLE, is_over

_TOLD = ("payload", "sources", "sensitivity_tags", "valid_from", "valid_until", "expire_time")
"""What a derived cube takes over from its sources: their words, and who may see them, and for how long."""


def is_derived(cube: MemCube) -> bool:
    """Return whether a cube stands for others, in a form that a model reads faster; a text stands for itself."""
    return cube.kind is not Kind.PLAINTEXT and bool(cube.derived_from)


def outdates(before: MemCube, after: MemCube) -> bool:
    """Return whether what was made from a cube `before` must not be used any more `after` this change of it."""
    return not in_use(after) or any(getattr(before, name) != getattr(after, name) for name in _TOLD)


def in_use(cube: MemCube) -> bool:
    """Return whether a cube may enter a prompt, but for its time to live."""
    return cube.delete_time is None and cube.state in INJECTABLE


def usable(cube: MemCube, *, now: datetime) -> bool:
    """Return whether something may be made from a cube."""
    return in_use(cube) and not is_over(cube, now=now)


def outdated(cube: MemCube) -> MemCube:
    """Return a cube that comes back out of use."""
    return replace(cube, state=State.STALE, frozen=False)


def inherited(cube: MemCube, sources: Sequence[MemCube]) -> MemCube:
    """Return a derived cube that ends with the first of its sources, and is as sensitive as all of them."""
    tags = {tag: None for one in (cube, *sources) for tag in one.sensitivity_tags}
    return replace(cube, expire_time=_first((cube, *sources)), sensitivity_tags=tuple(tags))


def _first(cubes: Iterable[MemCube]) -> datetime | None:
    return min((cube.expire_time for cube in cubes if cube.expire_time is not None), default=None)
