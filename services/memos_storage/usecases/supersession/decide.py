"""Which texts are statements that can outdate each other, and how much evidence is enough."""

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel.cube import Kind, MemCube, State, content_hash
from memos_kernel.memory_links import LinkKind
from memos_kernel.moments import micros
from memos_kernel.names import PrincipalName
from memos_storage.domain.derived import is_derived
from memos_storage.domain.filters import effective_state, event_time, has_ended
from memos_storage.domain.turns import Mark, Role, Turn, turn_of

CLOSES = 0.65
"""Evidence from which a statement ends the validity of an earlier one."""

MARKS = 0.03
"""Evidence from which the two are marked as ones that may contradict each other."""

CLOSES_IN_TALK, MARKS_IN_TALK = 0.9, 0.3
"""The same for what somebody says in a conversation, where much is said again in other words."""

MOST_WORDS = 80
"""A longer text says more than one thing, and none of them is outdated as a whole."""

MOST_CHARACTERS = 600
"""The same for scripts that put no spaces between words."""

_FILED = ("vault", "labels", "semantic_type", "expire_time", "valid_from", "valid_until", "sensitivity_tags")
"""What somebody may have filed a text under: it is another one then."""

_PUNCTUATION = ".,;:!?\"'()…、。，；：！？「」“”‘’"
"""What may stand around a word without making it another one."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A cube that states something which a later one may outdate, and how it was said."""

    cube: MemCube
    turn: Turn


def statement_of(cube: MemCube) -> Statement | None:
    """Return a cube as a statement; None for a question, an answer of a model, and what says too much for one."""
    if cube.kind is not Kind.PLAINTEXT or is_derived(cube) or cube.delete_time is not None:
        return None
    if not cube.text or len(cube.text) > MOST_CHARACTERS or len(cube.text.split()) > MOST_WORDS:
        return None
    turn = turn_of(cube, length=0)
    return None if turn.role is Role.ASSISTANT or turn.marks & Mark.ASKS else Statement(cube, turn)


def may_be_compared(one: Statement, other: Statement) -> bool:
    """Return whether two statements can be about the same: what two people say of themselves is not."""
    if not (one.turn.marks | other.turn.marks) & Mark.FIRST_PERSON:
        return True
    if one.turn.speaker != other.turn.speaker:
        return False
    return bool(one.turn.speaker) or _owner(one.cube) == _owner(other.cube)


def is_told_before(one: MemCube, other: MemCube) -> bool:
    """Return whether one statement was told before another; of the same moment that which was stored first."""
    return (event_time(one), one.uid) < (event_time(other), other.uid)


def says_the_same(one: Statement, other: Statement) -> bool:
    """Return whether two texts of the same voice have the same words, whatever their case and punctuation."""
    words = _words(one.cube.text)
    return one.turn.speaker == other.turn.speaker and bool(words) and words == _words(other.cube.text)


def repeats(new: MemCube, known: MemCube) -> bool:
    """Return whether a new text need not be stored beside one that says the same.

    What somebody said at a time has its place there, and is stored as often as it is said.
    """
    return _is_plain(new) and all(getattr(new, name) == getattr(known, name) for name in _FILED)


def told_anew(cube: MemCube, known: MemCube, *, now: datetime) -> MemCube | None:
    """Return a text as another memory than the one that holds its content; None if it is that one.

    A message is known by its id, and is the same whenever it comes. A plain text that has become untrue is said anew if
    it comes again: its id is of its words alone, and gets the moment at which it became untrue.
    """
    if cube.payload is None or len(cube.sources) != 1 or not _is_plain(cube):
        return None
    if known.valid_until is None or not has_ended(known, now):
        return None
    (source,) = cube.sources
    sources = (replace(source, message_id=f"{source.message_id}.{micros(known.valid_until)}"),)
    return replace(cube, sources=sources, content_hash=content_hash(cube.payload, sources))


def kind_of(evidence: float, new: Statement) -> LinkKind | None:
    """Return what follows of the evidence that is found for a new statement; None if it is too little."""
    talks = new.turn.session and new.turn.speaker
    closes, marks = (CLOSES_IN_TALK, MARKS_IN_TALK) if talks else (CLOSES, MARKS)
    if evidence >= closes:
        return LinkKind.SUPERSEDES
    return LinkKind.MAY_SUPERSEDE if evidence >= marks else None


def can_end(older: MemCube, newer: MemCube) -> bool:
    """Return whether the validity of a statement can end with a later one."""
    end = event_time(newer)
    return (
        not older.frozen
        and effective_state(older, now=end) is not State.EXPIRED
        and (older.valid_from is None or older.valid_from < end)
        and not has_ended(older, end)
    )


def _is_plain(cube: MemCube) -> bool:
    """Return whether nobody said a text at a time."""
    return not any(source.session or source.speaker or source.event_time is not None for source in cube.sources)


def _owner(cube: MemCube) -> PrincipalName | None:
    return None if cube.access is None else cube.access.owner


def _words(text: str) -> list[str]:
    found = (word.strip(_PUNCTUATION) for word in unicodedata.normalize("NFC", text).casefold().split())
    return [word for word in found if word]
