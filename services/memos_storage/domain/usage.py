"""Use of cubes: counted, and remembered with a half-life."""

from dataclasses import replace
from datetime import datetime

from memos_kernel import limits
from memos_kernel.cube import MemCube, Usage


def decayed(heat: float, *, since: datetime | None, now: datetime) -> float:
    """Return the heat after the time since the last use, halved every `limits.HEAT_HALF_LIFE`."""
    if since is None or now <= since:
        return heat
    return float(heat * 0.5 ** ((now - since) / limits.HEAT_HALF_LIFE))


def used(usage: Usage, *, at: datetime, now: datetime) -> Usage:
    """Return the usage after one more use. A use from the future counts as one now; an old one never cools."""
    moment = min(at, now)
    newest = max(moment, usage.last_used_time) if usage.last_used_time else moment
    heat = decayed(usage.heat, since=usage.last_used_time, now=newest) + decayed(1.0, since=moment, now=newest)
    return Usage(hits=usage.hits + 1, last_used_time=newest, heat=heat)


def as_of(cube: MemCube, *, now: datetime) -> MemCube:
    """Return the cube with its heat as it is now."""
    usage = cube.usage
    if usage.last_used_time is None:
        return cube
    return replace(cube, usage=replace(usage, heat=decayed(usage.heat, since=usage.last_used_time, now=now)))
