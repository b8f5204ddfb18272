"""The memory loop around the model: understand, plan, inject, generate, record."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from memos_interface.domain import audit
from memos_interface.domain.chat import ChatEnd, ChatEvent, ChatQuestion, GenerationEnd, Plan, check_question
from memos_interface.domain.question import MemoryCall, understand
from memos_interface.domain.turn import Turn, said_by_user
from memos_interface.ports import AuditTrail, Delegation, Generator, Planner, Spans
from memos_interface.usecases.finishing import Finishing
from memos_interface.usecases.record_turn import WRITE_ACTIONS, Answered, RecordTurn
from memos_kernel import limits
from memos_kernel.cube import SourceSpan
from memos_kernel.errors import InternalError
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import AnswerName
from memos_kernel.permission import Principal
from memos_kernel.requests import RequestKey


@dataclass(slots=True)
class Stopwatch:
    """Times by stage, in milliseconds."""

    timer: Callable[[], float]
    started: float = 0.0
    stage_started: float = 0.0
    times_ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.stage_started = self.timer()

    def end_stage(self, name: str) -> None:
        """Note the time since the last stage ended."""
        now = self.timer()
        self.times_ms[name] = (now - self.stage_started) * 1e3
        self.stage_started = now

    def note(self, name: str) -> None:
        """Note the time since the beginning, the first time it is asked for."""
        self.times_ms.setdefault(name, (self.timer() - self.started) * 1e3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Streams one answer: the plan, pieces of text, the end.

    A caller who leaves before the text is complete stops the generation, and nothing is stored. Once recording
    has begun it is finished, whether or not the caller still listens.
    """

    planner: Planner
    generator: Generator
    record_turn: RecordTurn
    delegation: Delegation
    audit_trail: AuditTrail
    spans: Spans
    clock: Clock
    new_id: IdFactory
    finishing: Finishing
    timer: Callable[[], float] = time.perf_counter

    async def __call__(
        self, question: ChatQuestion, *, caller: Principal, key: RequestKey
    ) -> AsyncGenerator[ChatEvent, None]:
        """Yield a Plan, Deltas, and a ChatEnd after turn, lineage and use are durable.

        Raises:
            RequestError: by field.
            VaultNotFound, PermissionDenied: a vault; that of `remember_in` before anything is generated.
            Overloaded, ContextExceeded, Capacity: from planning or generating.
        """
        self.spans.mark("chat")
        watch = Stopwatch(self.timer)
        turns = check_question(question)
        newest = len(question.messages) - 1
        said = said_by_user(question.messages[newest], session=question.session, index=newest, now=self.clock.now())
        await self._check_may_remember(question, caller)
        call = understand(turns, caller=str(caller.name), time_zone=question.time_zone)
        plan = await self._plan(question, call, caller)
        watch.end_stage("plan")
        yield plan
        pieces: list[str] = []
        end: GenerationEnd | None = None
        stream = self.generator.generate(
            turns,
            plan.chosen,
            max_tokens=question.max_tokens or limits.CHAT_TOKENS_DEFAULT,
            temperature=question.temperature,
            caches=plan.caches,
            adapter=plan.adapter,
            conversation=question.session,
        )
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, GenerationEnd):
                    end = event
                    continue
                watch.note("first_token")
                pieces.append(event.text)
                yield event
        if end is None:
            raise InternalError("The generation broke off without an end.")
        watch.end_stage("generate")
        self.spans.foretold(expected_ms=plan.estimated_ms, actual_ms=end.first_token_ms)
        answered = self._answered(question, caller, plan, end, said, "".join(pieces))
        recorded = await self.finishing.run(self.record_turn(answered, caller=caller, key=key))
        watch.end_stage("record")
        watch.note("total")
        yield ChatEnd(
            answer=answered.name,
            text="".join(pieces),
            generation=end,
            recorded=recorded,
            timings_ms=watch.times_ms,
        )

    async def _check_may_remember(self, question: ChatQuestion, caller: Principal) -> None:
        if question.remember_in is not None:
            async with self.delegation.acting(caller, WRITE_ACTIONS, (question.remember_in,)):
                pass

    async def _plan(self, question: ChatQuestion, call: MemoryCall, caller: Principal) -> Plan:
        plan = await self.planner.plan(
            call,
            vaults=question.vaults,
            filter=question.filter,
            token_budget=question.memory_token_budget,
            turns=[message.text for message in question.messages],
            max_tokens=question.max_tokens,
            form=question.form,
        )
        self.spans.link((memory.cube.origin_trace for memory in plan.used), used_for="inject")
        self.audit_trail.note(caller.name, audit.INJECT, (str(memory.cube.name) for memory in plan.used))
        return plan

    def _answered(
        self, question: ChatQuestion, caller: Principal, plan: Plan, end: GenerationEnd, said: SourceSpan, text: str
    ) -> Answered:
        now = self.clock.now()
        turn = None
        if question.remember_in is not None:
            turn = Turn(
                vault=question.remember_in,
                said=said,
                text=question.messages[-1].text,
                intent=plan.call.intent,
                answer=text,
                answer_time=now,
            )
        name = str(AnswerName(caller.name.tenant, self.new_id()))
        return Answered(name=name, time=now, plan=plan, end=end, turn=turn, vaults=question.vaults)
