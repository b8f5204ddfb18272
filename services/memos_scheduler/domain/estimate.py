"""How long a plan is expected to take until the first token."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from memos_scheduler.domain.plan import TEXT, EngineFacts, PlannedMemory, spoken_tokens


def with_estimates(chosen: Sequence[PlannedMemory], engine: EngineFacts) -> tuple[PlannedMemory, ...]:
    """Return the memories, each with the milliseconds in which it is read; those that are not read take none."""
    if engine.reading is None:
        return tuple(chosen)
    each = 1e3 * engine.reading.seconds_per_unit
    return tuple(
        replace(memory, estimated_ms=each * memory.tokens if memory.form == TEXT else 0.0) for memory in chosen
    )


def expected_ms(
    chosen: Iterable[PlannedMemory],
    standing_in: Iterable[PlannedMemory],
    engine: EngineFacts,
    *,
    turns: Sequence[int],
) -> float:
    """Return the milliseconds from the start of the model's work to the first token; 0 if its speed is not known.

    Args:
        chosen: the memories, with their estimates.
        standing_in: KV caches, with theirs.
        engine: what is known of the model.
        turns: tokens of each turn.
    """
    if engine.reading is None:
        return 0.0
    return 1e3 * engine.reading.of(spoken_tokens(turns)) + sum(
        memory.estimated_ms for memory in (*chosen, *standing_in)
    )
