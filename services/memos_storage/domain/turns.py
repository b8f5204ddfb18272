"""A text as the ranking of searches sees it: who says it in which conversation, how long it is, of what sort."""

import re
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from memos_kernel.cube import MemCube, SourceSpan
from memos_kernel.embedding import ASSISTANTS, USERS, is_named
from memos_kernel.moments import micros
from memos_kernel.time_zones import on_clock
from memos_storage.domain.filters import event_time, fold
from memos_storage.domain.named_times import NamedTime, told_times


class Role(IntEnum):
    """Who speaks; the numbers are stored."""

    OTHER = 0
    USER = 1
    ASSISTANT = 2


class Mark(IntFlag):
    """What can be told of a text from its surface; the numbers are stored."""

    ASKS = 1
    """It ends as a question."""
    FIRST_PERSON = 2
    """Somebody speaks of himself."""
    TELLS_TIME = 4
    """It says when something was, is or will be."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One text.

    Attributes:
        session: the conversation, empty if it is in none.
        time: when it was said, in microseconds since 1970, UTC.
        speaker: folded; empty if it has no name.
        length: number of its terms.
        named: the times that it tells of, on the clock of who says it.
    """

    session: str
    time: int
    speaker: str
    role: Role
    length: int
    marks: Mark
    named: tuple[NamedTime, ...] = ()


_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "tool": Role.ASSISTANT}
_CALLED = {**dict.fromkeys(USERS, Role.USER), **dict.fromkeys(ASSISTANTS, Role.ASSISTANT)}
"""Speakers that are called by a role, whatever their role is said to be: callers that know no roles say `user`."""
_FIRST_PERSON = re.compile(
    r"\b(?:i|i['’](?:m|ve|d|ll)|my|mine|me|we|we['’](?:re|ve|d|ll)|our|us)\b|我|俺|咱", re.IGNORECASE
)
_TIME = re.compile(
    r"""\b(?:
        yesterday|today|tonight|tomorrow|ago|recently|lately|just|already|soon|since|last|next|
        (?:week|month|year|weekend|morning|evening|night)s?|
        (?:mon|tues|wednes|thurs|fri|satur|sun)day|
        january|february|march|april|may|june|july|august|september|october|november|december|
        (?:19|20)\d\d|\d{1,2}:\d\d
    )\b|昨天|今天|明天|前天|后天|上周|下周|去年|今年|明年|[年月日号]""",
    re.IGNORECASE | re.VERBOSE,
)
_ASKS = re.compile(r"[?？؟][\s\"'”’)\]]*\Z")


def turn_of(cube: MemCube, *, length: int, named: tuple[NamedTime, ...] = ()) -> Turn:
    """Return what ranking needs to know of a cube's text; of several sources the first decides.

    Args:
        cube: of a text.
        length: in terms.
        named: `times_of` the cube, which takes longer to read than the rest, and is not needed to compare statements.
    """
    first = cube.sources[0] if cube.sources else None
    said = event_time(cube)
    return Turn(
        session=first.session if first is not None else "",
        time=micros(said),
        speaker=fold(first.speaker) if first is not None and is_named(first) else "",
        role=_role(first),
        length=length,
        marks=marks_of(cube.text),
        named=named,
    )


def times_of(cube: MemCube) -> tuple[NamedTime, ...]:
    """Return the times that a cube's text tells of, on the clock of who says it."""
    offset = cube.sources[0].utc_offset if cube.sources else ""
    return told_times(cube.text, said=on_clock(event_time(cube), offset))


def _role(source: SourceSpan | None) -> Role:
    if source is None:
        return Role.OTHER
    return _CALLED.get(source.speaker.casefold(), _ROLES.get(source.role, Role.OTHER))


def marks_of(text: str) -> Mark:
    """Return what the surface of a text tells."""
    found = Mark(0)
    for mark, pattern in ((Mark.ASKS, _ASKS), (Mark.FIRST_PERSON, _FIRST_PERSON), (Mark.TELLS_TIME, _TIME)):
        if pattern.search(text):
            found |= mark
    return found
