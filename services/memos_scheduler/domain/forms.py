"""Whether memories are read, or a KV cache has what reading them gives, or an adapter knows them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel import limits
from memos_kernel.cube import Activation, MemCube, Parametric
from memos_kernel.forms import MemoryForm
from memos_kernel.identity import differing_fields
from memos_kernel.names import CubeName
from memos_scheduler.domain.plan import EngineFacts, PlannedMemory, in_prompt_order, why_not_injectable, why_out_of_use

KV = "kv"
"""Form of injection: keys and values of the memories, computed before."""

LORA = "lora"
"""Form of injection: an adapter that was trained on the memories."""

_WORTH = 0.7
"""What a KV cache may take to come, as a share of the time in which its words would be read."""

REFUSED_SHOWN = 3
"""Caches or adapters that were not taken and that a plan still names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """When a KV cache is worth it, unless the caller asks for one: tokens of memories that it has to hold."""

    least_tokens: int


@dataclass(frozen=True, slots=True)
class Room:
    """What a prompt has for memories: tokens, and how many the model reads well; 0 means no bound."""

    tokens: int
    memories: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to be decided.

    Attributes:
        chosen: the memories that enter the prompt as text, in its order.
        found: names of all memories that the search found, chosen or not.
        filtered: whether the caller gave conditions, so that nothing but what was found may enter.
    """

    wish: MemoryForm
    rule: CacheRule
    chosen: tuple[PlannedMemory, ...]
    found: frozenset[CubeName]
    filtered: bool
    engine: EngineFacts
    room: Room
    now: datetime

    @property
    def worth_a_look(self) -> bool:
        """Whether any cache could be taken."""
        if self.wish in (MemoryForm.TEXT, MemoryForm.LORA) or not self.chosen:
            return False
        return self.wish is MemoryForm.KV or sum(memory.tokens for memory in self.chosen) >= self.rule.least_tokens


def pick_caches(
    caches: Sequence[MemCube], choice: Choice
) -> tuple[tuple[PlannedMemory, ...], tuple[PlannedMemory, ...]]:
    """Return the cache that holds most of what was chosen, and some of those that will not do, with the reason.

    Where the model may be given several, those come with it that hold nothing of what the others hold.
    """
    looked = []
    for cube in caches:
        assert isinstance(cube.payload, Activation)
        sources, held = _held(cube, choice)
        covered, tokens = sum(memory.tokens for memory in held), cube.payload.token_count
        coming = 1e3 * choice.engine.fetching.of(cube.payload.blob.size_bytes)
        obstacle = _unusable(cube, choice) or _not_worth(sources, covered, coming, choice)
        reason = obstacle or f"holds {len(held)} of the memories found, among {len(sources)}; spares {covered} tokens"
        planned = PlannedMemory(
            cube=cube, reason=reason, score=_best_score(held), tokens=tokens, form=KV, estimated_ms=coming
        )
        looked.append(_Looked(planned, usable=not obstacle, rank=(-covered, tokens)))
    return _picked(
        looked,
        most=limits.PROMPT_CACHES if choice.engine.composes else 1,
        beaten="another cache holds more of what was found",
    )


def pick_adapter(adapters: Sequence[MemCube], choice: Choice) -> tuple[PlannedMemory | None, tuple[PlannedMemory, ...]]:
    """Return the adapter that knows most of what was chosen, and some of those that will not do, with the reason."""
    looked = []
    for cube in adapters:
        sources, held = _held(cube, choice)
        obstacle = _unusable(cube, choice)
        if not obstacle and choice.filtered and not sources <= choice.found:
            obstacle = "knows memories that the conditions may leave out"
        reason = obstacle or f"knows {len(held)} of the memories found, among {len(sources)}"
        planned = PlannedMemory(cube=cube, reason=reason, score=_best_score(held), form=LORA)
        looked.append(_Looked(planned, usable=not obstacle, rank=(-len(held), len(sources))))
    picked, others = _picked(looked, most=1, beaten="another adapter knows more of what was found")
    return (picked[0] if picked else None), others


def leaves_caches(adapter: PlannedMemory) -> bool:
    """Return whether KV caches serve beside an adapter: one that works on memories changes their keys and values."""
    return isinstance(adapter.cube.payload, Parametric) and adapter.cube.payload.activated


def with_adapter(adapter: PlannedMemory, others: Sequence[MemCube], choice: Choice) -> tuple[PlannedMemory, ...] | None:
    """Return the memories, those that the adapter knows in that form; None if it knows one that may not be used.

    Args:
        adapter: the one that was picked.
        others: memories that it knows and that were not chosen.
        choice: what is decided.
    """
    if any(why_not_injectable(cube, now=choice.now) for cube in others):
        return None
    sources = {ref.name for ref in adapter.cube.derived_from}
    return tuple(replace(memory, form=LORA) if memory.cube.name in sources else memory for memory in choice.chosen)


def with_caches(
    caches: Sequence[PlannedMemory], others: Sequence[tuple[MemCube, int]], choice: Choice
) -> tuple[tuple[PlannedMemory, ...], tuple[PlannedMemory, ...]] | None:
    """Return what enters the prompt with the caches, in its order, and what has no room any more.

    None if they cannot be taken after all: a memory of one may not enter a prompt, or they do not fit.

    Args:
        caches: those that were picked.
        others: memories of the caches that were not chosen, with their tokens.
        choice: what is decided.
    """
    if any(why_not_injectable(cube, now=choice.now) for cube, _ in others):
        return None
    sources = {ref.name for cache in caches for ref in cache.cube.derived_from}
    brought = [
        PlannedMemory(cube=cube, reason="in the KV cache", score=0.0, tokens=tokens, form=KV) for cube, tokens in others
    ]
    held = [replace(memory, form=KV) for memory in choice.chosen if memory.cube.name in sources]
    inside = [*held, *brought]
    left = choice.room.tokens - sum(memory.tokens for memory in inside)
    if left < 0:
        return None
    rest = [memory for memory in choice.chosen if memory.cube.name not in sources]
    places = choice.room.memories - len(inside) if choice.room.memories else len(rest)
    beside: list[PlannedMemory] = []
    out: list[PlannedMemory] = []
    for memory in sorted(rest, key=lambda memory: -memory.score):
        if memory.tokens <= left and len(beside) < places:
            beside.append(memory)
            left -= memory.tokens
        else:
            out.append(replace(memory, reason="no room beside the KV cache"))
    return in_prompt_order([*inside, *beside]), tuple(out)


@dataclass(frozen=True, slots=True)
class _Looked:
    """A cache or adapter that was looked at; of those that are usable the one of the lowest rank is the best."""

    planned: PlannedMemory
    usable: bool
    rank: tuple[int, int]


def _held(cube: MemCube, choice: Choice) -> tuple[set[CubeName], list[PlannedMemory]]:
    """Return the names of what a cube was made of, and those of the chosen memories that are among them."""
    sources = {ref.name for ref in cube.derived_from}
    return sources, [memory for memory in choice.chosen if memory.cube.name in sources]


def _best_score(held: Sequence[PlannedMemory]) -> float:
    return max((memory.score for memory in held), default=0.0)


def _picked(
    looked: Sequence[_Looked], *, most: int, beaten: str
) -> tuple[tuple[PlannedMemory, ...], tuple[PlannedMemory, ...]]:
    """Return the best, none of which has sources in common with another, and some of the others.

    Of these, those that will not do come first, then those that were beaten.
    """
    picked: list[PlannedMemory] = []
    others = [one.planned for one in looked if not one.usable]
    taken: set[CubeName] = set()
    for planned in [one.planned for one in sorted(looked, key=lambda one: one.rank) if one.usable]:
        sources = {ref.name for ref in planned.cube.derived_from}
        if len(picked) < most and not sources & taken:
            picked.append(planned)
            taken |= sources
        else:
            others.append(replace(planned, reason=beaten))
    return tuple(picked), tuple(others[:REFUSED_SHOWN])


def _unusable(cube: MemCube, choice: Choice) -> str:
    assert isinstance(cube.payload, Activation | Parametric)
    if obstacle := why_out_of_use(cube, now=choice.now):
        return f"not injectable: {obstacle}"
    if not cube.payload.seal or len(cube.derived_from) > limits.CONVERSION_SOURCES:
        return "not computed by this system"
    if choice.engine.identity is None:
        return "the model cannot be asked"
    if differing := differing_fields(cube.payload.identity, choice.engine.identity):
        return f"made with another {', '.join(differing)}"
    return ""


def _not_worth(sources: set[CubeName], covered: int, coming_ms: float, choice: Choice) -> str:
    if not covered:
        return "holds nothing of what was chosen"
    if choice.filtered and not sources <= choice.found:
        return "holds memories that the conditions may leave out"
    if choice.wish is MemoryForm.KV:
        return ""
    if not sources <= {memory.cube.name for memory in choice.chosen}:
        return "holds memories that were not chosen"
    least = choice.rule.least_tokens
    if covered < least:
        return f"spares {covered} tokens; it takes {least} to be worth it"
    if choice.engine.reading is None:
        return ""
    reading_ms = 1e3 * choice.engine.reading.seconds_per_unit * covered
    if coming_ms > _WORTH * reading_ms:
        return f"takes {coming_ms:.0f} ms to come, and the words {reading_ms:.0f} ms to be read"
    return ""
