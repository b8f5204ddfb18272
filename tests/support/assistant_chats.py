"""Long chats of a user with an assistant, with known evidence: what the user says in passing, between long answers.

Everything is put together from `assistant_chats.toml`, the same for a seed. Each chat has many sessions; each session
has a topic, questions of the user and answers of some hundred words. In some of the user's messages a fact is said in
passing, half of the time beside a matter that it has nothing to do with, while the assistant talks at length of what
the fact is about in other sessions.
"""

import random
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eval_data import Conversation, Question, Turn

_PARTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
_BEGIN = datetime(2025, 1, 6, 18, 0, tzinfo=UTC)


def assistant_chats(*, chats: int = 5, sessions: int = 40, seed: int = 1) -> list[Conversation]:
    """Return chats of so many sessions, each with two questions for every fact that is said in it."""
    return [_chat(random.Random(f"{seed}/{number}"), number, sessions) for number in range(chats)]


def _chat(rng: random.Random, number: int, sessions: int) -> Conversation:
    facts = [(topic, fact) for topic in _PARTS["topics"] for fact in topic["facts"]]
    rng.shuffle(facts)
    places = rng.sample(range(sessions), min(sessions, len(facts)))
    told = dict(zip(places, facts, strict=False))
    turns: list[Turn] = []
    questions: list[Question] = []
    for session in range(sessions):
        begin = _BEGIN + timedelta(days=2 * session, minutes=rng.randrange(180))
        topic, fact = told.get(session, (None, None))
        if topic is None or rng.random() < 0.5:
            topic = rng.choice(_PARTS["topics"])
        exchanges = rng.randint(3, 5)
        place = rng.randrange(exchanges)
        for exchange in range(exchanges):
            said = fact["say"].format(value=rng.choice(fact["values"])) if fact and exchange == place else ""
            for role, text in _exchange(rng, topic, said, first=exchange == 0):
                when = begin + timedelta(minutes=len(turns) % 7 + 2 * exchange)
                turns.append(Turn(f"{session + 1}:{len(turns)}", role, role, f"session-{session + 1}", when, text))
                if said and role == "user":
                    evidence = frozenset({turns[-1].id})
                    questions += [Question(fact[kind], evidence, kind) for kind in ("ask", "echo")]
    return Conversation(f"assistant-{number + 1}", turns, questions)


def _exchange(rng: random.Random, topic: dict[str, Any], said: str, *, first: bool) -> Iterator[tuple[str, str]]:
    thing = rng.choice(topic["things"])
    asked = rng.choice(topic["asks"] if first else _PARTS["followups"]).format(thing=thing)
    if said:
        asked = rng.choice([f"{said[0].upper()}{said[1:]} {asked}", f"{asked} By the way, {said}"])
    yield "user", asked
    body = [tip.format(thing=rng.choice([thing, rng.choice(topic["things"])])) for tip in topic["tips"]]
    body += rng.sample(_PARTS["general"], rng.randint(2, 6))
    rng.shuffle(body)
    yield (
        "assistant",
        " ".join([rng.choice(_PARTS["openers"]).format(thing=thing), *body, rng.choice(_PARTS["closers"])]),
    )
