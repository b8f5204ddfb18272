"""How a turn of a chat is remembered.

Both sides of a turn are stored, labelled with `memos_turn`, but not both are evidence:

- what the user *tells* (label `statement`) is a memory like any other;
- what the user *asks* (`question`) holds no answer, and would crowd out the evidence the next time the same
  is asked;
- what the model *answers* (`answer`) is derived, perhaps "I do not know." or wrong, and must never become
  evidence for itself.

So questions and answers are stored as ARCHIVED: kept, readable by name, in lists by a state filter and in
provenance, but outside of search and planning by default.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_interface.domain.question import RECALL
from memos_interface.domain.reader import Message, source_of
from memos_kernel import limits
from memos_kernel.cube import Kind, MemCube, Origin, Plaintext, RevisionRef, SemanticType, SourceSpan, State
from memos_kernel.ids import IdFactory
from memos_kernel.names import CubeName, VaultName

TURN_LABEL = "memos_turn"
STATEMENT, QUESTION, ANSWER = "statement", "question", "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One finished turn: what the user said, how it was understood, what the model answered."""

    vault: VaultName
    said: SourceSpan
    text: str
    intent: str
    answer: str
    answer_time: datetime


def said_by_user(message: Message, *, session: str, index: int, now: datetime) -> SourceSpan:
    """Check the user's newest message and return where it stands; `session` holds where it names none.

    Raises:
        InvalidField, LimitExceeded: by field.
    """
    spoken = Message(
        text=message.text,
        id=message.id,
        role=message.role,
        speaker=message.speaker,
        session=message.session or session,
        time=message.time,
    )
    return source_of(spoken, field=f"messages[{index}]", now=now)


def cubes_of(turn: Turn, sources: Sequence[RevisionRef], *, new_id: IdFactory) -> tuple[MemCube, ...]:
    """Return the cubes that record a turn: the user's message, then the answer, in parts if it is long.

    The answer is derived from the memories that were in its prompt: what becomes of them becomes of it.
    """
    role = QUESTION if turn.intent == RECALL else STATEMENT
    asked = _cube(turn, turn.text, turn.said, Origin.USER_INPUT, role, (), new_id)
    whole = _storable(turn.answer)
    answers = [
        _cube(turn, part, _answer_span(turn, start, start + len(part)), Origin.MODEL_OUTPUT, ANSWER, sources, new_id)
        for start, part in _parts(whole)
        if part.strip()
    ]
    return (asked, *answers)


def _cube(
    turn: Turn,
    text: str,
    source: SourceSpan,
    origin: Origin,
    role: str,
    derived_from: Sequence[RevisionRef],
    new_id: IdFactory,
) -> MemCube:
    return MemCube(
        name=CubeName(turn.vault.tenant, new_id()),
        vault=turn.vault,
        kind=Kind.PLAINTEXT,
        payload=Plaintext(text),
        state=State.GENERATED if role == STATEMENT else State.ARCHIVED,
        labels={TURN_LABEL: role},
        semantic_type=SemanticType.EVENT,
        origin=origin,
        sources=(source,),
        derived_from=tuple(derived_from[: limits.DERIVED_FROM]),
    )


def _answer_span(turn: Turn, start: int, end: int) -> SourceSpan:
    """Return the span of an answer. It has no message id: its node in provenance is the answer itself."""
    return SourceSpan(
        speaker="assistant",
        session=turn.said.session,
        event_time=turn.answer_time,
        utc_offset="+00:00",
        role="assistant",
        start_char=start,
        end_char=end,
    )


def _storable(text: str) -> str:
    """Return the text with what storage refuses (control characters) as spaces."""
    return "".join(char if char in "\t\n" or char.isprintable() or ord(char) > 0x9F else " " for char in text)


def _parts(text: str) -> list[tuple[int, str]]:
    """Cut a text into pieces that fit into a cube; each with its first character's place."""
    step = limits.TEXT_BYTES // 4  # no character of UTF-8 is longer than four bytes
    if len(text.encode()) <= limits.TEXT_BYTES:
        return [(0, text)]
    return [(start, text[start : start + step]) for start in range(0, len(text), step)]
