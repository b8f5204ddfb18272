"""Statements with a later one that makes them untrue, and others that look alike; written for this project."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("updates")
TRAINING = ("mixed", "chats", "work")
TRAINING_TALK = "talk"
"""Conversations in which nothing that was said becomes untrue."""
HELD_OUT, HELD_OUT_TALK = "held_out", "held_out_talk"
"""Nothing is trained on these."""


@dataclass(frozen=True, slots=True)
class UpdatedFact:
    """`update` makes `original` untrue, and leaves true what looks alike; `question` asks how it is."""

    original: str
    update: str
    question: str
    lookalikes: tuple[str, ...]

    def pairs(self) -> Iterator[tuple[str, str, bool]]:
        """Return a newer statement, an older one, and whether the newer one makes the older one untrue."""
        yield self.update, self.original, True
        for one in self.lookalikes:
            yield one, self.original, False
            yield self.original, one, False
            yield self.update, one, False
            yield from ((one, other, False) for other in self.lookalikes if other != one)


def updated_facts(name: str) -> list[UpdatedFact]:
    """Return the facts of a file."""
    return [UpdatedFact(**{**row, "lookalikes": tuple(row["lookalikes"])}) for row in _rows(name)]


def conversations(name: str) -> list[list[tuple[str, str]]]:
    """Return the conversations of a file: speaker and text of each turn."""
    return [[(speaker, text) for speaker, text in row] for row in _rows(name)]


def _rows(name: str) -> Iterator[Any]:
    return map(json.loads, (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())


def statements(facts: Sequence[UpdatedFact]) -> list[str]:
    """Return every statement of the pairs once."""
    return sorted({text for fact in facts for newer, older, _ in fact.pairs() for text in (newer, older)})
