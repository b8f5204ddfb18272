"""Plans which cubes enter a prompt."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memos_kernel import limits
from memos_kernel.checks import check_count
from memos_kernel.cube import Kind, MemCube
from memos_kernel.errors import Capacity, InvalidField, MemosError, NotFound
from memos_kernel.forms import MemoryForm
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName, PlanName, TenantName, VaultName
from memos_kernel.prompt import memory_line
from memos_kernel.text import check_text
from memos_scheduler.domain.estimate import expected_ms, with_estimates
from memos_scheduler.domain.forms import (
    CacheRule,
    Choice,
    Room,
    leaves_caches,
    pick_adapter,
    pick_caches,
    with_adapter,
    with_caches,
)
from memos_scheduler.domain.plan import (
    REJECTED_SHOWN,
    TEXT,
    UNKNOWN_ENGINE,
    BudgetRule,
    Conversation,
    EngineFacts,
    MemoryCall,
    Plan,
    PlannedMemory,
    choose,
    in_prompt_order,
    screen,
)
from memos_scheduler.ports import Engine, Memories, QueryVector, Retriever, SelectionPolicy

NO_CONVERSATION = Conversation()

BYTES_PER_TOKEN = 2
"""Bytes of text that one token is taken for while the model cannot count; low, so that the budget holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInjection:
    """Retrieves candidates and fills the budget in the order of the policy.

    A part that is away never stops a plan, it makes it poorer, and the plan says so (`degraded`): without
    embedder the search is lexical, without model its properties are assumed and tokens are estimated.
    Small talk (intent `chat`) is planned like a question: what little fits may still help the answer.
    """

    engine: Engine
    retriever: Retriever
    memories: Memories
    policy: SelectionPolicy
    budget: BudgetRule
    caches: CacheRule
    candidates: int
    clock: Clock
    new_id: IdFactory

    async def __call__(
        self,
        call: MemoryCall,
        *,
        tenant: TenantName,
        vaults: Sequence[VaultName] = (),
        conditions: bytes = b"",
        token_budget: int = 0,
        conversation: Conversation = NO_CONVERSATION,
        wish: MemoryForm = MemoryForm.AUTO,
    ) -> Plan:
        """Return the plan. See `Retriever.search` for `vaults` and `conditions`.

        Raises:
            InvalidField: the budget, or the length of the answer, is negative.
            MissingField, LimitExceeded: the query, or the number of turns.
            DependencyUnavailable: storage is away.
        """
        _check(call, token_budget, conversation)
        vector, facts = await asyncio.gather(self._embed(call.query), self._describe())
        found = await self.retriever.search(
            call.query,
            vector=vector,
            vaults=vaults,
            conditions=conditions,
            top_k=self.candidates,
            time_zone=call.time_zone,
        )
        now = self.clock.now()
        screened = screen(self.policy.order(found.candidates, now=now), now=now)
        lines = [memory_line(item.candidate.cube) + "\n" for item in screened.kept]
        tokens = await self._count([*conversation.turns, *lines])
        turns, memories = tokens.split(len(conversation.turns))
        engine = facts or UNKNOWN_ENGINE
        room = Room(
            self.budget.tokens(token_budget, engine, turns=turns, answer=conversation.answer_tokens),
            engine.memories_read_well,
        )
        chosen, rejected = choose(screened, memories, token_budget=room.tokens, memories=room.memories)
        choice = Choice(
            wish=wish,
            rule=self.caches,
            chosen=chosen,
            found=frozenset(item.candidate.cube.name for item in screened.kept),
            filtered=bool(conditions),
            engine=engine,
            room=room,
            now=now,
        )
        told = _Told(chosen)
        if wish is MemoryForm.LORA and chosen:
            told = await self._with_adapter(choice)
            if told.adapter is not None and leaves_caches(told.adapter):
                told = await self._and_caches(told, choice)
        elif choice.worth_a_look:
            told = await self._with_caches(choice)
        chosen = with_estimates(told.chosen, engine)
        return Plan(
            name=PlanName(tenant.tenant, self.new_id()),
            call=call,
            chosen=chosen,
            rejected=(*told.rejected, *rejected)[:REJECTED_SHOWN],
            degraded=found.degraded or vector is None or facts is None or tokens.estimated or told.degraded,
            caches=told.caches,
            adapter=told.adapter,
            estimated_ms=expected_ms(chosen, told.caches, engine, turns=turns),
        )

    async def _with_adapter(self, choice: Choice) -> "_Told":
        """Return the plan with an adapter, if there is one that will do."""
        try:
            names = [memory.cube.name for memory in choice.chosen[: limits.BATCH_GET_NAMES]]
            adapter, refused = pick_adapter(await self.memories.derived(names, Kind.PARAMETRIC), choice)
            if adapter is None:
                return _Told(choice.chosen, rejected=refused)
            names = _not_chosen(adapter, choice)
            others = await self.memories.read(names) if names else ()
        except MemosError as error:  # storage is away, or the caller may not see a memory that the adapter knows
            return _Told(choice.chosen, degraded=isinstance(error, Capacity))
        known = with_adapter(adapter, others, choice)
        if known is None:
            unfit = replace(adapter, reason="it knows a memory that may not be used")
            return _Told(choice.chosen, rejected=(unfit, *refused))
        return _Told(known, rejected=refused, adapter=adapter)

    async def _and_caches(self, told: "_Told", choice: Choice) -> "_Told":
        """Return the plan with caches, too, of the memories that the adapter does not know, if they are worth it."""
        read = tuple(memory for memory in told.chosen if memory.form == TEXT)
        beside = replace(choice, wish=MemoryForm.AUTO, chosen=read)
        if not beside.worth_a_look:
            return told
        cached = await self._with_caches(beside)
        known = [memory for memory in told.chosen if memory.form != TEXT]
        return _Told(
            in_prompt_order([*known, *cached.chosen]),
            rejected=(*told.rejected, *cached.rejected),
            caches=cached.caches,
            adapter=told.adapter,
            degraded=cached.degraded,
        )

    async def _with_caches(self, choice: Choice) -> "_Told":
        """Return the plan with a KV cache, or several, if there are any that will do. It is never worse off for it."""
        try:
            names = [memory.cube.name for memory in choice.chosen[: limits.BATCH_GET_NAMES]]
            caches, refused = pick_caches(await self.memories.derived(names, Kind.ACTIVATION), choice)
            if not caches:
                return _Told(choice.chosen, rejected=refused)
            readable = await self._with_memories(caches, choice)
        except MemosError as error:  # storage or the model is away
            return _Told(choice.chosen, degraded=isinstance(error, Capacity))
        for count in range(len(readable), 0, -1):  # fewer, if all of them do not fit
            some = tuple(cache for cache, _ in readable[:count])
            taken = with_caches(some, [other for _, others in readable[:count] for other in others], choice)
            if taken is not None:
                chosen, out = taken
                return _Told(chosen, rejected=(*out, *refused), caches=some)
        reason = "its memories may not enter the prompt, or do not fit"
        unfit = (replace(cache, reason=reason) for cache in caches)
        return _Told(choice.chosen, rejected=(*unfit, *refused))

    async def _with_memories(
        self, caches: Sequence[PlannedMemory], choice: Choice
    ) -> list[tuple[PlannedMemory, list[tuple[MemCube, int]]]]:
        """Return the caches, each with its memories that were not chosen; without those that hold hidden ones."""
        others = await asyncio.gather(*(self._others(cache, choice) for cache in caches))
        return [(cache, found) for cache, found in zip(caches, others, strict=True) if found is not None]

    async def _others(self, cache: PlannedMemory, choice: Choice) -> list[tuple[MemCube, int]] | None:
        """Return the memories of a cache that were not chosen, with their tokens; None if one of them is hidden."""
        names = _not_chosen(cache, choice)
        if not names:
            return []
        try:
            cubes = await self.memories.read(names)
        except NotFound:
            return None
        tokens = await self.engine.count_tokens([memory_line(cube) + "\n" for cube in cubes])
        return list(zip(cubes, tokens, strict=True))

    async def _embed(self, text: str) -> QueryVector | None:
        try:
            return await self.engine.embed_query(text)
        except Capacity:
            return None

    async def _describe(self) -> EngineFacts | None:
        try:
            return await self.engine.describe()
        except Capacity:
            return None

    async def _count(self, texts: Sequence[str]) -> "_Counted":
        if not texts:
            return _Counted((), estimated=False)
        try:
            return _Counted(await self.engine.count_tokens(texts), estimated=False)
        except Capacity:
            return _Counted(tuple(math.ceil(len(text.encode()) / BYTES_PER_TOKEN) for text in texts), estimated=True)


@dataclass(frozen=True, slots=True)
class _Told:
    """What reaches the model, what does not for a cache's sake, what stands in, and whether a part was missing."""

    chosen: tuple[PlannedMemory, ...]
    rejected: tuple[PlannedMemory, ...] = ()
    caches: tuple[PlannedMemory, ...] = ()
    adapter: PlannedMemory | None = None
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class _Counted:
    counts: tuple[int, ...]
    estimated: bool

    def split(self, turns: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the counts of the turns, which come first, and of the lines behind them."""
        return self.counts[:turns], self.counts[turns:]


def _not_chosen(derived: PlannedMemory, choice: Choice) -> list[CubeName]:
    """Return the memories of a derived cube that were not chosen."""
    chosen = {memory.cube.name for memory in choice.chosen}
    return [ref.name for ref in derived.cube.derived_from if ref.name not in chosen]


def _check(call: MemoryCall, token_budget: int, conversation: Conversation) -> None:
    check_text(call.query, field="call.query", limit=limits.QUERY_BYTES)
    for field, value in (("token_budget", token_budget), ("max_tokens", conversation.answer_tokens)):
        if value < 0:
            raise InvalidField(f"{field} is {value}; give 0 or more.", field=field)
    check_count(conversation.turns, limits.CHAT_MESSAGES, field="turns")
