"""When a cube no longer tells what those tell that it was made from: a cache, an adapter, or the text of one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from memos_kernel.cube import Kind, MemCube, Origin, State
from memos_kernel.errors import InvalidField
from memos_kernel.states import INJECTABLE, is_over

_TOLD = ("payload", "sources", "sensitivity_tags", "valid_from", "valid_until", "expire_time")
"""What a derived cube takes over from its sources: their words, and who may see them, and for how long."""


OTHER_FORMS = frozenset(Kind) - {Kind.PLAINTEXT}
"""Kinds in which memories are told in other forms than words."""


def is_derived(cube: MemCube) -> bool:
    """Return whether a cube stands for others: in a form that a model reads faster, or written down from such a one.

    Any other text stands for itself.
    """
    return bool(cube.derived_from) and (cube.kind is not Kind.PLAINTEXT or cube.origin is Origin.CONVERSION)


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


def stale(cube: MemCube, source: MemCube) -> MemCube:
    """Return a cube whose source has changed: as sensitive as that is now, for it holds what that told before."""
    tags = dict.fromkeys((*cube.sensitivity_tags, *source.sensitivity_tags))
    return replace(cube, sensitivity_tags=tuple(tags))


def check_inherited(before: MemCube, after: MemCube) -> None:
    """Refuse a change of a derived cube that takes back what it has from its sources.

    Raises:
        InvalidField: it lacks a sensitivity tag, or lives longer.
    """
    if not is_derived(before):
        return
    if not set(before.sensitivity_tags) <= set(after.sensitivity_tags):
        raise InvalidField(
            f"{before.name} has its sensitivity tags from the memories that it was made from; none can be taken away.",
            field="cube.sensitivity_tags",
        )
    if before.expire_time is not None and (after.expire_time is None or after.expire_time > before.expire_time):
        raise InvalidField(
            f"{before.name} ends with the memories that it was made from; it can only end earlier.",
            field="cube.expire_time",
        )


def _first(cubes: Iterable[MemCube]) -> datetime | None:
    return min((cube.expire_time for cube in cubes if cube.expire_time is not None), default=None)
