"""Extraction of facts by a model: the prompt, and reading of what the model gives back.

The prompt numbers the messages and the model writes one line a fact with the number of its message, so
that every fact keeps its source.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memos_interface.domain.reader import Item, Reading, Skipped
from memos_interface.domain.semantics import guess
from memos_kernel.cube import SemanticType
from memos_kernel.errors import MemosError, StateConflict
from memos_kernel.prompt import local_date
from memos_kernel.text import check_text

LEAST_CONTEXT = 4_096
"""Tokens that a model must hold to be trusted with extraction; the offline default model holds far fewer."""

WINDOW = 8
"""Most messages in one prompt."""

WINDOW_BYTES = 6_000
"""Most bytes of messages in one prompt, if it has more than one; with the answer it fits into LEAST_CONTEXT."""

ANSWER_TOKENS = 512
"""Most tokens of the model's answer for one window."""

KEPT_RAW = "extraction_gave_nothing_kept_as_it_is"
NO_FACT = "no_fact"

_LINE = re.compile(r"\s*(?:[-*]\s*)?\[?(\d{1,3})\]?\s*[:.)-]?\s+(\S.*)")

_PROMPT = """Your task now is not to answer a question but to take notes. Read the numbered messages below and
write down each lasting fact about people, places, plans and preferences that they tell. One fact a line, as
the number of its message in brackets and a full sentence that can be understood alone: replace "I" and "you"
by names. Write nothing else. Leave out greetings and small talk.

Messages:
{messages}

Notes:"""


@dataclass(frozen=True, slots=True)
class Engine:
    """What extraction must know about the generating model."""

    model: str
    context_length: int


def check_engine(engine: Engine) -> None:
    """Refuse a model that cannot extract.

    Raises:
        StateConflict: its context is too short.
    """
    if engine.context_length < LEAST_CONTEXT:
        raise StateConflict(
            f"The offline default model cannot extract facts ({engine.model} holds {engine.context_length} tokens, "
            f"{LEAST_CONTEXT} are needed); set MEMOS_MODEL, or add without `extract`.",
            model=engine.model,
            state=f"context_length={engine.context_length}",
        )


def windows(items: Sequence[Item]) -> list[tuple[Item, ...]]:
    """Cut items into windows for one prompt each; a session is never mixed with another."""
    found: list[list[Item]] = []
    for item in items:
        session = item.source.session
        if found and _joins(found[-1], item, session):
            found[-1].append(item)
        else:
            found.append([item])
    return [tuple(window) for window in found]


def prompt(window: Sequence[Item]) -> str:
    """Return the prompt for a window."""
    lines = (f"[{number}] {_who(item)}: {' '.join(item.text.split())}" for number, item in enumerate(window, start=1))
    return _PROMPT.format(messages="\n".join(lines))


def facts(window: Sequence[Item], output: str, *, semantic_type: SemanticType) -> Reading:
    """Read the model's notes on a window.

    If no line of them is usable, the messages are kept as they are, and the skipped list says so. If
    some are, a message without a fact is left out.
    """
    by_message: dict[int, list[Item]] = {}
    for line in output.splitlines():
        match = _LINE.fullmatch(line)
        if match and 1 <= int(match[1]) <= len(window) and _usable(match[2]):
            item = window[int(match[1]) - 1]
            by_message.setdefault(int(match[1]), []).append(_fact(item, match[2].strip(), semantic_type))
    if not by_message:
        return Reading(tuple(window), tuple(Skipped(item.index, KEPT_RAW) for item in window))
    items = tuple(item for number in sorted(by_message) for item in by_message[number])
    missing = (item for number, item in enumerate(window, start=1) if number not in by_message)
    return Reading(items, tuple(Skipped(item.index, NO_FACT) for item in missing))


def _joins(window: Sequence[Item], item: Item, session: str) -> bool:
    source = window[0].source
    size = sum(len(member.text.encode()) for member in (*window, item))
    return len(window) < WINDOW and size <= WINDOW_BYTES and source.session == session


def _fact(item: Item, text: str, semantic_type: SemanticType) -> Item:
    span = replace(item.source, start_char=0, end_char=len(item.text))
    return Item(
        text=text,
        semantic_type=semantic_type or guess(text, spoken=False),
        origin=item.origin,
        source=span,
        index=item.index,
    )


def _usable(text: str) -> bool:
    try:
        check_text(text, field="fact")
    except MemosError:
        return False
    return len(text.split()) > 1


def _who(item: Item) -> str:
    source = item.source
    return ", ".join(part for part in (source.speaker or "unknown", local_date(source)) if part)
