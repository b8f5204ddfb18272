"""Values of inference, and what a request must be like."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from memos_kernel import limits
from memos_kernel.cube import MemCube, Plaintext
from memos_kernel.errors import (
    ContextExceeded,
    GrantInvalid,
    IncompatiblePayload,
    InvalidField,
    LimitExceeded,
    MissingField,
    StateConflict,
)
from memos_kernel.identity import CompatibilityIdentity, differing_fields
from memos_kernel.permission import Action, Grant
from memos_kernel.states import INJECTABLE, is_over

TEXT_FORM = "text"
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
class Injection:
    """A cube that shall enter the prompt, and the form in which it shall."""

    cube: MemCube
    form: str


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
    """

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    first_token_ms: float
    queue_ms: float
    model: str


GenerationEvent = Delta | Ended


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of texts, in order: float32, L2-normalised, all of one embedder."""

    embedder: str
    vectors: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class EmbedderDescription:
    """The embedder: its id with the revision of its weights, and the length of its vectors."""

    id: str
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDescription:
    """The generating model: id with revision, tokens it holds, memories it reads well, identity for payloads."""

    model: str
    context_length: int
    memories_read_well: int
    identity: CompatibilityIdentity


def check_texts(texts: Sequence[str], *, empty_allowed: bool = False, limit: int = limits.TEXT_BYTES) -> None:
    """Refuse a batch that is empty or too large, or holds a text that is; `limit` is in bytes of UTF-8.

    Raises:
        MissingField: no text, or one that is empty where that is not allowed.
        LimitExceeded: too many texts, or one that is too long.
    """
    if not texts:
        raise MissingField("texts is empty; give at least one.", field="texts")
    _check_count(len(texts), limits.BATCH_ITEMS, field="texts")
    for index, text in enumerate(texts):
        _check_size(text, field=f"texts[{index}]", limit=limit)
        if not empty_allowed and not text.strip():
            raise MissingField(f"texts[{index}] is empty; give it some text.", field=f"texts[{index}]")


def check_turns(turns: Sequence[Turn]) -> None:
    """Refuse turns that do not end with a question of the user.

    Raises:
        MissingField: no turn, or an empty question.
        InvalidField: the last turn is not of the user.
        LimitExceeded: too many turns, or one that is too long.
    """
    if not turns:
        raise MissingField("turns is empty; give at least the question.", field="turns")
    _check_count(len(turns), limits.CHAT_MESSAGES, field="turns")
    for index, turn in enumerate(turns):
        _check_size(turn.text, field=f"turns[{index}].text")
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
    _check_count(max_tokens, limits.CHAT_TOKENS, field="max_tokens")
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


def check_injections(
    injections: Sequence[Injection], *, grant: Grant, now: datetime, running: CompatibilityIdentity
) -> tuple[MemCube, ...]:
    """Return the cubes that may enter the prompt: all of them, or none does.

    Raises:
        GrantInvalid: the grant does not allow use, or does not cover a vault.
        StateConflict: a cube is deleted, expired, or in a state that may not be injected.
        IncompatiblePayload: a payload was made with something that differs from the running model.
        InvalidField: another form than text, or no payload.
        LimitExceeded: too many injections.
    """
    if not injections:
        return ()
    grant.require(Action.CUBE_USE)
    _check_count(len(injections), limits.BATCH_ITEMS, field="injections")
    for index, injection in enumerate(injections):
        field = f"injections[{index}]"
        _check_scope(injection.cube, grant)
        _check_alive(injection.cube, now)
        _check_payload(injection, running, field=field)
    return tuple(injection.cube for injection in injections)


def _check_scope(cube: MemCube, grant: Grant) -> None:
    if cube.name.tenant != grant.principal.tenant or not grant.covers(cube.vault):
        raise GrantInvalid("The grant does not cover a cube that shall be injected.", cause="vault")


def _check_alive(cube: MemCube, now: datetime) -> None:
    state = cube.state.name
    if cube.delete_time is not None:
        state = "DELETED"
    elif is_over(cube, now=now):
        state = "EXPIRED"
    elif cube.state in INJECTABLE:
        return
    raise StateConflict(f"{cube.name} is {state} and cannot be injected; plan again.", name=str(cube.name), state=state)


def _check_payload(injection: Injection, running: CompatibilityIdentity, *, field: str) -> None:
    payload = injection.cube.payload
    if payload is None:
        raise InvalidField(f"{field}.cube has no payload; read it with view FULL.", field=f"{field}.cube")
    if not isinstance(payload, Plaintext) and (differing := differing_fields(payload.identity, running)):
        raise IncompatiblePayload(
            f"{injection.cube.name} was made with another {', '.join(differing)} than the running model has.",
            name=str(injection.cube.name),
            fields=",".join(differing),
        )
    if injection.form != TEXT_FORM or not isinstance(payload, Plaintext):
        raise InvalidField(
            f"{field}.form is {injection.form[:40]!r}; this engine takes plaintext cubes in the form `text`.",
            field=f"{field}.form",
        )


def _check_count(count: int, limit: int, *, field: str) -> None:
    if count > limit:
        raise LimitExceeded(f"{field} has {count}; the limit is {limit}.", field=field, limit=str(limit))


def _check_size(text: str, *, field: str, limit: int = limits.TEXT_BYTES) -> None:
    size = len(text.encode())
    if size > limit:
        raise LimitExceeded(
            f"{field} has {size} bytes; the limit is {limit}.",
            field=field,
            limit=str(limit),
            unit="bytes",
        )
