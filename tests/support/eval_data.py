"""Conversations with questions whose evidence is known, from the formats of public datasets."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: `role` is that of the speaker, `user` where people talk with each other."""

    id: str
    speaker: str
    role: str
    session: str
    time: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, the turns that hold the answer, and the sort of question as the dataset names it."""

    text: str
    evidence: frozenset[str]
    category: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, and the questions about them."""

    name: str
    turns: list[Turn]
    questions: list[Question]


_LOCOMO = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_ADVERSARIAL = 5
_EVIDENCE = re.compile(r"D:?(\d+):(\d+)")


def load(path: Path) -> list[Conversation]:
    """Return the conversations of a file, whichever of the formats it has.

    Raises:
        ValueError: it has none of them.
    """
    data = json.loads(path.read_text())
    if isinstance(data, list) and data and "conversation" in data[0] and "qa" in data[0]:
        return [_locomo(sample, number) for number, sample in enumerate(data, 1)]
    if isinstance(data, list) and data and "haystack_sessions" in data[0]:
        return [_long_mem_eval(sample) for sample in data]
    raise ValueError(f"{path} is neither in the format of LoCoMo nor in that of LongMemEval.")


def _locomo(sample: dict[str, Any], number: int) -> Conversation:
    """LoCoMo: people talk in sessions; the evidence is a list of `D<session>:<turn>`."""
    talk = sample["conversation"]
    turns = []
    for session in _numbers(talk):
        when = _locomo_time(talk[f"session_{session}_date_time"])
        for turn in talk[f"session_{session}"]:
            said = turn["text"]
            if turn.get("blip_caption"):
                said = f"{said} [shares {turn['blip_caption']}]".strip()
            if said:
                turns.append(Turn(turn["dia_id"], turn["speaker"], "user", f"session-{session}", when, said))
    known = {turn.id for turn in turns}
    questions = []
    for asked in sample["qa"]:
        places = _EVIDENCE.findall(" ".join(asked.get("evidence", [])))
        evidence = frozenset(f"D{int(session)}:{int(turn)}" for session, turn in places) & known
        if evidence and asked["category"] != _ADVERSARIAL:
            questions.append(Question(asked["question"], evidence, _LOCOMO[asked["category"]]))
    return Conversation(str(sample.get("sample_id", number)), turns, questions)


def _numbers(talk: dict[str, Any]) -> Iterator[int]:
    number = 1
    while f"session_{number}" in talk:
        yield number
        number += 1


def _locomo_time(text: str) -> datetime:
    return datetime.strptime(text, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)


def _long_mem_eval(sample: dict[str, Any]) -> Conversation:
    """LongMemEval: sessions of user and assistant; turns of evidence are marked with `has_answer`."""
    turns, evidence = [], set()
    for name, date, session in zip(
        sample["haystack_session_ids"], sample["haystack_dates"], sample["haystack_sessions"], strict=True
    ):
        when = datetime.strptime(re.sub(r"\s*\(\w+\)\s*", " ", date), "%Y/%m/%d %H:%M").replace(tzinfo=UTC)
        for number, turn in enumerate(session):
            if not turn["content"].strip():
                continue
            turns.append(Turn(f"{name}:{number}", turn["role"], turn["role"], str(name), when, turn["content"]))
            if turn.get("has_answer"):
                evidence.add(turns[-1].id)
    asked = [Question(sample["question"], frozenset(evidence), sample["question_type"])] if evidence else []
    return Conversation(sample["question_id"], turns, asked)
