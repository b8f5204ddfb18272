"""In which form memories reach the model: their words, or a KV cache that holds some of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

from memos_kernel import limits
from memos_kernel.cube import Activation, MemCube
from memos_kernel.identity import differing_fields
from memos_kernel.states import INJECTABLE, is_over
from memos_scheduler.domain.plan import EngineFacts, PlannedMemory, why_not_injectable

KV = "kv"
"""Form of injection: keys and values of the memories, computed before."""


class Wish(IntEnum):
    """What the caller wants; the numbers are those of the contract's MemoryForm."""

    AUTO = 0
    TEXT = 1
    KV = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """When a KV cache is worth it, unless the caller asks for one.

    Attributes:
        least_tokens: tokens of the memories found that it has to hold; reading fewer takes no longer than to fetch it.
        most_share: tokens that it may bring for each of those, since it comes whole.
    """

    least_tokens: int
    most_share: float = 2.0


@dataclass(frozen=True, slots=True)
class Room:
    """What a prompt has for memories: tokens, and how many the model reads well; 0 means no bound."""

    tokens: int
    memories: int


def pick_cache(
    caches: Sequence[MemCube],
    chosen: Sequence[PlannedMemory],
    *,
    wish: Wish,
    rule: CacheRule,
    engine: EngineFacts,
    room: Room,
    now: datetime,
) -> tuple[PlannedMemory | None, tuple[PlannedMemory, ...]]:
    """Return the cache that holds most of what was chosen as text, and those that will not do, with the reason."""
    refused: list[PlannedMemory] = []
    good: list[tuple[int, int, PlannedMemory]] = []
    for cube in caches:
        assert isinstance(cube.payload, Activation)
        held = [memory for memory in chosen if memory.cube.name in {ref.name for ref in cube.derived_from}]
        covered, tokens = sum(memory.tokens for memory in held), cube.payload.token_count
        score = max((memory.score for memory in held), default=0.0)
        obstacle = _unusable(cube, engine, now) or _not_worth(cube, covered, wish=wish, rule=rule, room=room)
        planned = PlannedMemory(
            cube=cube, reason=obstacle or _why(cube, held, covered), score=score, tokens=tokens, form=KV
        )
        if obstacle:
            refused.append(planned)
        else:
            good.append((-covered, tokens, planned))
    good.sort(key=lambda item: item[:2])
    others = [replace(item[2], reason="another cache holds more of what was found") for item in good[1:]]
    return (good[0][2] if good else None), (*refused, *others)


def with_cache(
    cache: PlannedMemory, sources: Sequence[MemCube], chosen: Sequence[PlannedMemory], *, room: Room, now: datetime
) -> tuple[tuple[PlannedMemory, ...], tuple[PlannedMemory, ...]]:
    """Return what is chosen with the cache in front, and what has no room beside it; the prompt's order stays.

    The cache is refused instead if a memory that it was made from may not enter a prompt.
    """
    wanted = [ref.name for ref in cache.cube.derived_from]
    if [source.name for source in sources] != wanted or any(why_not_injectable(source, now=now) for source in sources):
        return tuple(chosen), (replace(cache, reason="a memory that it was made from is out of use"),)
    rest = [memory for memory in chosen if memory.cube.name not in set(wanted)]
    left, places = room.tokens - cache.tokens, room.memories - len(sources) if room.memories else len(rest)
    kept: set[int] = set()
    for memory in sorted(rest, key=lambda memory: -memory.score):
        if memory.tokens <= left and len(kept) < places:
            kept.add(id(memory))
            left -= memory.tokens
    beside = tuple(memory for memory in rest if id(memory) in kept)
    out = tuple(replace(memory, reason="no room beside the KV cache") for memory in rest if id(memory) not in kept)
    return (replace(cache, sources=tuple(sources)), *beside), out


def _unusable(cube: MemCube, engine: EngineFacts, now: datetime) -> str:
    assert isinstance(cube.payload, Activation)
    if cube.state not in INJECTABLE:
        return f"not injectable: {cube.state.name.lower()}"
    if is_over(cube, now=now):
        return "not injectable: expired"
    if len(cube.derived_from) > limits.CONVERSION_SOURCES:
        return "not made by this system"
    if engine.identity is None:
        return "the model cannot be asked"
    if differing := differing_fields(cube.payload.identity, engine.identity):
        return f"made with another {', '.join(differing)}"
    return ""


def _not_worth(cube: MemCube, covered: int, *, wish: Wish, rule: CacheRule, room: Room) -> str:
    assert isinstance(cube.payload, Activation)
    tokens = cube.payload.token_count
    if not covered:
        return "holds nothing of what was found"
    if tokens > room.tokens:
        return f"over the token budget of {room.tokens}"
    if wish is Wish.KV:
        return ""
    if covered < rule.least_tokens:
        return f"spares the reading of {covered} tokens; it takes {rule.least_tokens} to be worth it"
    if tokens > covered * rule.most_share:
        return f"{covered} of its {tokens} tokens are of what was found"
    if room.memories and len(cube.derived_from) > room.memories:
        return f"the model reads {room.memories} memories well"
    return ""


def _why(cube: MemCube, held: Sequence[PlannedMemory], covered: int) -> str:
    return f"holds {len(held)} of what was found, among {len(cube.derived_from)} memories; spares {covered} tokens"
