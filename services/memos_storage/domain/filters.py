"""Conditions on cubes, with the meaning that every adapter has to give them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from memos_kernel import limits
from memos_kernel.cube import Kind, MemCube, SemanticType, State
from memos_kernel.errors import InvalidField, LimitExceeded
from memos_kernel.states import SEARCHED_BY_DEFAULT, is_over

VALUES = 64
"""Most values in one list of a filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeFilter:
    """All conditions that are set must hold; a set of values means any of them."""

    labels: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[Kind] = frozenset()
    states: frozenset[State] = SEARCHED_BY_DEFAULT
    semantic_types: frozenset[SemanticType] = frozenset()
    speakers: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    after: datetime | None = None
    before: datetime | None = None
    valid_at: datetime | None = None

    @property
    def selective(self) -> bool:
        """Whether it holds more than the default states."""
        return self != CubeFilter()

    def check(self) -> None:
        """Refuse more values than a filter may have, or a period that ends before it starts.

        Raises:
            LimitExceeded, InvalidField: as said.
        """
        for name, limit in (("labels", limits.LABELS), ("speakers", VALUES), ("sessions", VALUES)):
            size = len(getattr(self, name))
            if size > limit:
                raise LimitExceeded(
                    f"filter.{name} has {size} values; the limit is {limit}.",
                    field=f"filter.{name}",
                    limit=str(limit),
                    unit="values",
                )
        if self.after and self.before and self.after >= self.before:
            raise InvalidField("filter.after is not before filter.before; swap them.", field="filter.after")

    def matches(self, cube: MemCube, *, now: datetime) -> bool:
        """Return whether a live cube fulfils the filter."""
        moment = event_time(cube)
        return (
            cube.delete_time is None
            and effective_state(cube, now=now) in self.states
            and all(cube.labels.get(key) == value for key, value in self.labels.items())
            and (not self.kinds or cube.kind in self.kinds)
            and (not self.semantic_types or cube.semantic_type in self.semantic_types)
            and (not self.speakers or bool(self.folded_speakers & speakers(cube)))
            and (not self.sessions or any(source.session in self.sessions for source in cube.sources))
            and (self.after is None or moment >= self.after)
            and (self.before is None or moment < self.before)
            and (self.valid_at is None or holds_at(cube, self.valid_at))
        )

    @property
    def folded_speakers(self) -> frozenset[str]:
        """Speakers without regard to case; nobody is not a speaker."""
        return frozenset(fold(speaker) for speaker in self.speakers) - {""}


def fold(speaker: str) -> str:
    """Return a speaker's name as it is compared."""
    return " ".join(speaker.casefold().split())


def speakers(cube: MemCube) -> frozenset[str]:
    """Return the folded names of those who speak in a cube."""
    return frozenset(fold(source.speaker) for source in cube.sources if source.speaker)


def event_time(cube: MemCube) -> datetime:
    """Return when what the cube tells was said or happened first, else when it was recorded."""
    times = [source.event_time for source in cube.sources if source.event_time]
    moment = min(times, default=cube.create_time)
    assert moment is not None
    return moment


def newest_first(cube: MemCube) -> tuple[datetime, str]:
    """Return the place of a cube in a list, to be sorted from the greatest down."""
    assert cube.create_time is not None
    return cube.create_time, cube.uid


def holds_at(cube: MemCube, moment: datetime) -> bool:
    """Return whether what a cube tells is true in the world at a moment, as far as it says so."""
    return (cube.valid_from is None or cube.valid_from <= moment) and not has_ended(cube, moment)


def has_ended(cube: MemCube, moment: datetime) -> bool:
    """Return whether what a cube tells is not true any more at a moment."""
    return cube.valid_until is not None and cube.valid_until <= moment


def effective_state(cube: MemCube, *, now: datetime) -> State:
    """Return the state; a cube past its expire time is expired, also before the sweep has said so."""
    return State.EXPIRED if is_over(cube, now=now) else cube.state
