"""Which texts are statements that can outdate each other, and how much evidence is enough."""

import unicodedata
from dataclasses import replace
from datetime import datetime

from memos_kernel.cube import Kind, MemCube, State, content_hash
from memos_kernel.memory_links import LinkKind
from memos_kernel.moments import micros
from memos_kernel.names import PrincipalName
from memos_storage.domain.derived import is_derived
from memos_storage.domain.filters import effective_state, event_time
from memos_storage.domain.turns import Mark, Role, turn_of

CLOSES = 0.65
"""Evidence from which a statement ends the validity of an earlier one."""

MARKS = 0.03
"""Evidence from which the two are marked as ones that may contradict each other."""

MARKS_IN_TALK = 0.3
"""The same for what somebody says in a conversation, where much is said again in other words."""

MOST_WORDS = 80
"""A longer text says more than one thing, and none of them is outdated as a whole."""

MOST_CHARACTERS = 600
"""The same for scripts that put no spaces between words."""

_FILED = ("vault", "labels", "semantic_type", "expire_time", "valid_from", "valid_until", "sensitivity_tags")
"""What somebody may have filed a text under: it is another one then."""

_PUNCTUATION = ".,;:!?\"'()…、。，；：！？「」“”‘’"
"""What may stand around a word without making it another one."""


def is_statement(cube: MemCube) -> bool:
    """Return whether a cube states something that a later one may outdate: no question, no answer of a model."""
    if cube.kind is not Kind.PLAINTEXT or is_derived(cube) or cube.delete_time is not None:
        return False
    turn = turn_of(cube, length=0)
    if turn.role is Role.ASSISTANT or turn.marks & Mark.ASKS:
        return False
    return bool(cube.text) and len(cube.text.split()) <= MOST_WORDS and len(cube.text) <= MOST_CHARACTERS


def may_be_compared(one: MemCube, other: MemCube) -> bool:
    """Return whether two statements can be about the same: what two people say of themselves is not."""
    turns = [turn_of(cube, length=0) for cube in (one, other)]
    if not any(turn.marks & Mark.FIRST_PERSON for turn in turns):
        return True
    if turns[0].speaker != turns[1].speaker:
        return False
    return bool(turns[0].speaker) or _owner(one) == _owner(other)


def is_told_before(one: MemCube, other: MemCube) -> bool:
    """Return whether one statement was told before another; of the same moment that which was stored first."""
    return (event_time(one), one.uid) < (event_time(other), other.uid)


def says_the_same(one: MemCube, other: MemCube) -> bool:
    """Return whether two texts of the same voice have the same words, whatever their case and punctuation."""
    speakers = {turn_of(cube, length=0).speaker for cube in (one, other)}
    words = _words(one.text)
    return len(speakers) == 1 and bool(words) and words == _words(other.text)


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
    if cube.payload is None or len(cube.sources) != 1 or known.valid_until is None or known.valid_until > now:
        return None
    if not _is_plain(cube):
        return None
    (source,) = cube.sources
    sources = (replace(source, message_id=f"{source.message_id}.{micros(known.valid_until)}"),)
    return replace(cube, sources=sources, content_hash=content_hash(cube.payload, sources))


def kind_of(evidence: float, cube: MemCube) -> LinkKind | None:
    """Return what follows of the evidence that is found for a new statement; None if it is too little."""
    if evidence >= CLOSES:
        return LinkKind.SUPERSEDES
    turn = turn_of(cube, length=0)
    least = MARKS_IN_TALK if turn.session and turn.speaker else MARKS
    return LinkKind.MAY_SUPERSEDE if evidence >= least else None


def can_end(older: MemCube, newer: MemCube) -> bool:
    """Return whether the validity of a statement can end with a later one."""
    end = event_time(newer)
    return (
        not older.frozen
        and effective_state(older, now=end) is not State.EXPIRED
        and (older.valid_from is None or older.valid_from < end)
        and (older.valid_until is None or older.valid_until > end)
    )


def _is_plain(cube: MemCube) -> bool:
    """Return whether nobody said a text at a time."""
    return not any(source.session or source.speaker or source.event_time is not None for source in cube.sources)


def _owner(cube: MemCube) -> PrincipalName | None:
    return None if cube.access is None else cube.access.owner


def _words(text: str) -> list[str]:
    found = (word.strip(_PUNCTUATION) for word in unicodedata.normalize("NFC", text).casefold().split())
    return [word for word in found if word]
