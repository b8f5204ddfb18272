"""Which memories enter a prompt, under a budget, with a reason in words for each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from memos_kernel import limits
from memos_kernel.cube import Kind, MemCube, fingerprint
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, PlanName
from memos_kernel.speed import Speed
from memos_kernel.states import INJECTABLE, is_over

REJECTED_SHOWN = 20
"""Candidates that were left out and that a plan still names."""

TEXT = "text"
"""Form of injection: the words of the memory, in the prompt."""

PROMPT_TOKENS = 64
"""Tokens that a prompt has beside memories and turns: the instruction and the marks around it, generously."""

TURN_TOKENS = 8
"""Tokens that a chat template puts around a turn, generously."""

ANSWER_SHARE = 0.25
"""Part of the context that is kept for an answer however long it may get; what else is left over it gets too."""

ASSUMED_FETCHING = Speed(0.02, 1 / 200e6)
"""Of a KV cache, before the first has come: a slow answer of an object store, then 200 MB a second."""

_DAWN = datetime.min.replace(tzinfo=UTC)


def spoken_tokens(turns: Sequence[int]) -> int:
    """Return the tokens of a prompt without memories, by the tokens of its turns."""
    return PROMPT_TOKENS + sum(count + TURN_TOKENS for count in turns)


@dataclass(frozen=True, slots=True)
class MemoryCall:
    """What was understood of a question (MemoryCall of MemReader, MemOS, section 5.1)."""

    query: str
    intent: str = ""
    entities: tuple[str, ...] = ()
    caller: str = ""
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cube that retrieval found.

    Attributes:
        rank: place in the answer of retrieval, from 1.
        score: fused score; only its order within one retrieval has a meaning.
        leg_scores: score a leg, by the leg's name.
        superseded_by: the cube that makes it untrue; None if there is none.
    """

    cube: MemCube
    rank: int
    score: float
    leg_scores: Mapping[str, float] = field(default_factory=dict)
    superseded_by: CubeName | None = None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Candidates, best first, and whether a leg of the search was missing."""

    candidates: tuple[Candidate, ...]
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Preference:
    """A candidate in the order of a policy, with what the policy adds to the reason."""

    candidate: Candidate
    note: str = ""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the planner knows of the generating model.

    Attributes:
        context_length: tokens that the model can hold.
        memories_read_well: memories that it reads well in one prompt; 0 means no known bound.
        identity: what a KV cache has to be made with; None if it is not known.
        composes: whether several KV caches may serve one prompt.
        reading: how long prompts take, by tokens; None if it is not known.
        fetching: how long KV caches take to come, by bytes.
    """

    model: str
    context_length: int
    memories_read_well: int
    identity: CompatibilityIdentity | None = None
    composes: bool = False
    reading: Speed | None = None
    fetching: Speed = ASSUMED_FETCHING


UNKNOWN_ENGINE = EngineFacts(model="", context_length=2_048, memories_read_well=8)
"""What is assumed while the model cannot be asked."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What shares the model's context with the memories: the texts of the turns, and the most tokens of the answer."""

    turns: tuple[str, ...] = ()
    answer_tokens: int = limits.CHAT_TOKENS_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule:
    """How many tokens of memory a prompt gets.

    Attributes:
        share: part of the context that memories get if the caller names no budget.
        cap: most tokens that they get then.
        requested_share: part of the context that a budget named by the caller may take; the rest is kept
            for the conversation and the answer.
    """

    share: float
    cap: int
    requested_share: float

    def tokens(self, requested: int, engine: EngineFacts, *, turns: Sequence[int] = (), answer: int = 0) -> int:
        """Return the budget for a request: what is asked for, as far as turns and answer leave it.

        Args:
            requested: 0 asks for the default.
            engine: its context is what is shared.
            turns: tokens of each turn.
            answer: most tokens of the answer.
        """
        share = self.requested_share if requested else self.share
        wanted = min(requested or self.cap, int(engine.context_length * share))
        spoken = spoken_tokens(turns) if turns else 0
        kept = min(answer, int(engine.context_length * ANSWER_SHARE))
        return max(0, min(wanted, engine.context_length - spoken - kept))


@dataclass(frozen=True, slots=True)
class PlannedMemory:
    """A memory and what was decided about it.

    Attributes:
        tokens: 0 where they were not counted.
        estimated_ms: to be read, or to be brought to the model; 0 while it is not known.
    """

    cube: MemCube
    reason: str
    score: float
    tokens: int = 0
    form: str = TEXT
    estimated_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision.

    Attributes:
        chosen: in prompt order.
        rejected: best first.
        caches: have those whose form is `kv`.
        adapter: knows those whose form is `lora`.
        estimated_ms: from the start of the model's work to the first token; 0 while it is not known.
    """

    name: PlanName
    call: MemoryCall
    chosen: tuple[PlannedMemory, ...]
    rejected: tuple[PlannedMemory, ...]
    degraded: bool
    caches: tuple[PlannedMemory, ...] = ()
    adapter: PlannedMemory | None = None
    estimated_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Screened:
    """Candidates that could enter the prompt, and those that could not whatever the budget."""

    kept: tuple[Preference, ...]
    rejected: tuple[tuple[Preference, str], ...]


def screen(preferences: Iterable[Preference], *, now: datetime) -> Screened:
    """Take out what must not be injected, what another one makes untrue, and all but the first that say the same."""
    kept: list[Preference] = []
    rejected: list[tuple[Preference, str]] = []
    first_to_say: dict[str, CubeName] = {}
    preferences = tuple(preferences)
    found = {preference.candidate.cube.name for preference in preferences}
    for preference in preferences:
        cube = preference.candidate.cube
        said = cube.fingerprint or fingerprint(cube.text)
        if obstacle := why_not_injectable(cube, now=now):
            rejected.append((preference, f"not injectable: {obstacle}"))
        elif preference.candidate.superseded_by in found:
            rejected.append((preference, f"superseded by {preference.candidate.superseded_by}"))
        elif said in first_to_say:
            rejected.append((preference, f"says the same as {first_to_say[said]}"))
        else:
            first_to_say[said] = cube.name
            kept.append(preference)
    return Screened(tuple(kept), tuple(rejected))


def why_not_injectable(cube: MemCube, *, now: datetime) -> str:
    """Return why a cube may not enter a prompt as text, or an empty string."""
    if obstacle := why_out_of_use(cube, now=now):
        return obstacle
    if cube.kind is not Kind.PLAINTEXT:
        return f"its kind is {cube.kind.name.lower()}"
    return "" if cube.text else "it came without its text"


def why_out_of_use(cube: MemCube, *, now: datetime) -> str:
    """Return why a cube may not be used in any form, or an empty string."""
    if cube.state not in INJECTABLE:
        return cube.state.name.lower()
    if is_over(cube, now=now):
        return "expired"
    return "" if cube.delete_time is None else "deleted"


def choose(
    screened: Screened, tokens: Sequence[int], *, token_budget: int, memories: int
) -> tuple[tuple[PlannedMemory, ...], tuple[PlannedMemory, ...]]:
    """Fill the budget in the order of preference; return chosen in prompt order, and rejected.

    A memory that does not fit is passed over, and a shorter one behind it may still fit.

    Args:
        screened: what may be injected at all.
        tokens: cost of each kept candidate, in order.
        token_budget: most tokens.
        memories: most memories; 0 means no bound.
    """
    chosen: list[PlannedMemory] = []
    rejected = [_planned(preference, reason) for preference, reason in screened.rejected]
    ranks = {item.candidate.cube.name: item.candidate.rank for item, _ in screened.rejected}
    ranks |= {item.candidate.cube.name: item.candidate.rank for item in screened.kept}
    left = token_budget
    for preference, cost in zip(screened.kept, tokens, strict=True):
        if memories and len(chosen) == memories:
            rejected.append(_planned(preference, f"the model reads {memories} memories well", cost))
        elif cost > left:
            rejected.append(_planned(preference, f"over the token budget of {token_budget}", cost))
        else:
            left -= cost
            chosen.append(_planned(preference, _why(preference), cost))
    rejected.sort(key=lambda item: ranks[item.cube.name])
    return in_prompt_order(chosen), tuple(rejected[:REJECTED_SHOWN])


def in_prompt_order(chosen: Iterable[PlannedMemory]) -> tuple[PlannedMemory, ...]:
    """Return the memories oldest first, by when they were said, and of equal times by name, which sorts by time too.

    So a newer statement stands behind the one that it corrects, as in the conversation itself, and next to the
    question, where a model attends best. And the same memories always make the same prompt, whatever the question found
    best, so that a KV cache of them fits.
    """
    return tuple(sorted(chosen, key=lambda item: _place(item.cube)))


def oldest_first(cubes: Iterable[MemCube]) -> tuple[MemCube, ...]:
    """Return memories in the order of a prompt."""
    return tuple(sorted(cubes, key=_place))


def _place(cube: MemCube) -> tuple[datetime, str]:
    return when_said(cube), str(cube.name)


def when_said(cube: MemCube) -> datetime:
    """Return the event time of the first source that has one, else the create time."""
    said = next((source.event_time for source in cube.sources if source.event_time is not None), None)
    return said or cube.create_time or _DAWN


def _why(preference: Preference) -> str:
    candidate = preference.candidate
    scores = ", ".join(f"{leg} {score:.3g}" for leg, score in sorted(candidate.leg_scores.items()))
    found = f"rank {candidate.rank}: {scores}" if scores else f"rank {candidate.rank}"
    return f"{found}; {preference.note}" if preference.note else found


def _planned(preference: Preference, reason: str, tokens: int = 0) -> PlannedMemory:
    candidate = preference.candidate
    return PlannedMemory(cube=candidate.cube, reason=reason, score=candidate.score, tokens=tokens)
