"""Plans which cubes enter a prompt."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from memos_kernel import limits
from memos_kernel.checks import check_count
from memos_kernel.cube import Kind
from memos_kernel.errors import Capacity, InvalidField, NotFound
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import PlanName, TenantName, VaultName
from memos_kernel.prompt import memory_line
from memos_kernel.text import check_text
from memos_scheduler.domain.forms import CacheRule, Room, Wish, pick_cache, with_cache
from memos_scheduler.domain.plan import (
    REJECTED_SHOWN,
    UNKNOWN_ENGINE,
    BudgetRule,
    Conversation,
    EngineFacts,
    MemoryCall,
    Plan,
    PlannedMemory,
    choose,
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
        wish: Wish = Wish.AUTO,
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
            call.query, vector=vector, vaults=vaults, conditions=conditions, top_k=self.candidates
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
        cached, refused = await self._with_cache(chosen, wish, engine, room)
        return Plan(
            name=PlanName(tenant.tenant, self.new_id()),
            call=call,
            chosen=cached,
            rejected=(*refused, *rejected)[:REJECTED_SHOWN],
            degraded=found.degraded or vector is None or facts is None or tokens.estimated,
        )

    async def _with_cache(
        self, chosen: tuple[PlannedMemory, ...], wish: Wish, engine: EngineFacts, room: Room
    ) -> tuple[tuple[PlannedMemory, ...], tuple[PlannedMemory, ...]]:
        """Return the plan with a KV cache, if there is one that will do, and what it leaves out."""
        worth = wish is Wish.KV or sum(memory.tokens for memory in chosen) >= self.caches.least_tokens
        if wish is Wish.TEXT or not chosen or not worth:
            return chosen, ()
        found = await self.memories.derived(
            [memory.cube.name for memory in chosen[: limits.BATCH_GET_NAMES]], Kind.ACTIVATION
        )
        now = self.clock.now()
        cache, refused = pick_cache(found, chosen, wish=wish, rule=self.caches, engine=engine, room=room, now=now)
        if cache is None:
            return chosen, refused
        try:
            sources = await self.memories.read([ref.name for ref in cache.cube.derived_from])
        except NotFound:  # one of them has just gone, or the caller may not see it
            sources = ()
        planned, out = with_cache(cache, sources, chosen, room=room, now=now)
        return planned, (*out, *refused)

    async def _embed(self, text: str) -> QueryVector | None:
        try:
            return await self.engine.embed(text)
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
class _Counted:
    counts: tuple[int, ...]
    estimated: bool

    def split(self, turns: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the counts of the turns, which come first, and of the lines behind them."""
        return self.counts[:turns], self.counts[turns:]


def _check(call: MemoryCall, token_budget: int, conversation: Conversation) -> None:
    check_text(call.query, field="call.query", limit=limits.QUERY_BYTES)
    for field, value in (("token_budget", token_budget), ("max_tokens", conversation.answer_tokens)):
        if value < 0:
            raise InvalidField(f"{field} is {value}; give 0 or more.", field=field)
    check_count(conversation.turns, limits.CHAT_MESSAGES, field="turns")
