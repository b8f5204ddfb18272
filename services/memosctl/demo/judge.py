"""Whether an answer of the demo is right, and whether its evidence was in the prompt."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
CONVERSATION = _HERE / "conversation.jsonl"
QUESTIONS = _HERE / "questions.json"

EVIDENCE_NEEDED = 9
ANSWERS_NEEDED = 7


@dataclass(frozen=True, slots=True)
class Question:
    """A question about the conversation.

    Attributes:
        answer: the expected answer.
        accept: other ways to say it.
        evidence: ids of the messages that tell it.
        any_evidence: whether one of the messages is enough; otherwise all are needed.
    """

    question: str
    answer: str
    accept: tuple[str, ...]
    evidence: tuple[str, ...]
    any_evidence: bool

    def is_right(self, text: str) -> bool:
        """Return whether the text says the expected answer, whatever the case, the articles and the full stop."""
        said = _plain(text)
        return any(said == _plain(wanted) for wanted in (self.answer, *self.accept))

    def is_supported(self, messages: Collection[str]) -> bool:
        """Return whether the evidence is among these messages."""
        found = [message in messages for message in self.evidence]
        return any(found) if self.any_evidence else all(found)


def load_questions(path: Path = QUESTIONS) -> list[Question]:
    """Read the questions."""
    rows: list[Mapping[str, object]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        Question(
            question=str(row["question"]),
            answer=str(row["answer"]),
            accept=_strings(row["accept"]),
            evidence=_strings(row["evidence"]),
            any_evidence=bool(row.get("any", False)),
        )
        for row in rows
    ]


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _plain(text: str) -> str:
    words = re.sub(r"[^\w\s€'-]", " ", text.casefold()).split()
    while words and words[0] in {"a", "an", "the"}:
        words = words[1:]
    return " ".join(words)
