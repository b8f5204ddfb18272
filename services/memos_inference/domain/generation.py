"""A generation: what the model reads, how it chooses tokens, what it answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from memos_inference.domain.injection import Refusal
from memos_inference.domain.sizes import check_number, check_size
from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_kernel.errors import ContextExceeded, InvalidField, MissingField

MAX_TEMPERATURE = 2.0

SHORTEST_ANSWER = 16
"""Tokens that a prompt must leave to an answer, unless the caller asks for fewer: a sentence, not half a word."""


class Role(StrEnum):
    """Who speaks in a turn."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(StrEnum):
    """Why a generation ended: the model closed its answer, or there was no room for more."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a prompt."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads: memories that were checked, in order, then the turns."""

    turns: tuple[Turn, ...]
    memories: tuple[MemCube, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        max_tokens: most tokens to generate.
        temperature: 0 takes the likeliest token each time.
    """

    max_tokens: int = limits.CHAT_TOKENS_DEFAULT
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer; never part of a character."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a generation ended.

    Attributes:
        prompt_tokens: tokens read.
        completion_tokens: tokens generated, without the one that ends the answer.
        first_token_ms: milliseconds from the start of the work to the first token.
        queue_ms: milliseconds spent waiting for the model.
        cached_tokens: those of the prompt that were not read, for a cache had their keys and values.
        approximate_tokens: those of them that the caches had read behind other words.
        refusals: caches and adapters that were not used.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    first_token_ms: float
    queue_ms: float
    model: str
    cached_tokens: int = 0
    approximate_tokens: int = 0
    refusals: tuple[Refusal, ...] = ()


GenerationEvent = Delta | Ended


def check_turns(turns: Sequence[Turn]) -> None:
    """Refuse turns that do not end with a question of the user.

    Raises:
        MissingField: no turn, or an empty question.
        InvalidField: the last turn is not of the user.
        LimitExceeded: too many turns, or one that is too long.
    """
    if not turns:
        raise MissingField("turns is empty; give at least the question.", field="turns")
    check_number(len(turns), limits.CHAT_MESSAGES, field="turns")
    for index, turn in enumerate(turns):
        check_size(turn.text, field=f"turns[{index}].text")
        if turn.role is Role.USER and not turn.text.strip():
            raise MissingField(f"turns[{index}].text is empty.", field=f"turns[{index}].text")
    if turns[-1].role is not Role.USER:
        raise InvalidField("The last of the turns must be of the user.", field=f"turns[{len(turns) - 1}].role")


def parse_role(value: str, *, field: str) -> Role:
    """Return the role of a turn.

    Raises:
        InvalidField: it is neither `user` nor `assistant`; the system turn is the service's own.
    """
    if value not in (Role.USER, Role.ASSISTANT):
        raise InvalidField(f"{field} is {value[:40]!r}; write `user` or `assistant`.", field=field)
    return Role(value)


def sampling(max_tokens: int, temperature: float) -> Sampling:
    """Return how to sample; 0 tokens mean the default number.

    Raises:
        InvalidField: a number out of its range.
        LimitExceeded: more tokens than one answer may have.
    """
    if max_tokens < 0:
        raise InvalidField("max_tokens is negative; 0 means the default.", field="max_tokens")
    check_number(max_tokens, limits.CHAT_TOKENS, field="max_tokens")
    if not math.isfinite(temperature) or not 0.0 <= temperature <= MAX_TEMPERATURE:
        raise InvalidField(f"temperature must be from 0 to {MAX_TEMPERATURE:g}.", field="temperature")
    return Sampling(max_tokens or limits.CHAT_TOKENS_DEFAULT, temperature)


def check_room(tokens: int, sampling: Sampling, *, limit: int) -> None:
    """Refuse a prompt of so many tokens that the rest of the context holds no answer.

    Raises:
        ContextExceeded: it leaves fewer tokens than the shortest answer.
    """
    needed = min(sampling.max_tokens, SHORTEST_ANSWER)
    if limit - tokens < needed:
        raise ContextExceeded(
            f"The prompt has {tokens} tokens and an answer needs {needed}, but the model holds {limit}; "
            "inject fewer memories or shorten the turns.",
            tokens=str(tokens),
            limit=str(limit),
        )
