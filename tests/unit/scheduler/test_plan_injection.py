"""Which memories enter a prompt, and why."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from engines import make_batcher
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.memory import EchoEngine, MemoryCopies, RecordingTracer
from memos_inference.adapters.transformers_engine import TransformersEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Ended, Role, Sampling, Turn
from memos_inference.domain.injection import Injection
from memos_inference.domain.seals import Seals
from memos_inference.ports import Engine
from memos_inference.usecases.count_tokens import CountTokens
from memos_inference.usecases.generate_answer import GenerateAnswer
from memos_kernel import limits
from memos_kernel.cube import Kind, SourceSpan, State
from memos_kernel.errors import DependencyUnavailable, InvalidField, LimitExceeded, MissingField, Overloaded
from memos_kernel.names import CubeName, TenantName, VaultName
from memos_kernel.permission import Action
from memos_scheduler.adapters.memory import MemoryEngine
from memos_scheduler.domain.plan import Conversation, EngineFacts, MemoryCall
from memos_scheduler.domain.policies import UsagePolicy

QUESTION = MemoryCall("Where does Nora live?", "recall", ("Nora",), "tenants/acme/principals/alice")
AWAY = DependencyUnavailable("The inference service does not answer.")


class Inference(MemoryEngine):
    """The engine as inference's own use cases make it, over one of its engines."""

    def __init__(self, model: Engine) -> None:
        super().__init__()
        self.model = model

    async def describe(self) -> EngineFacts:
        told = await self.model.describe()
        return EngineFacts(told.model, told.context_length, told.memories_read_well)

    async def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...]:
        return tuple(await CountTokens(self.model)(texts))


@pytest.fixture
def make_plan(make_planner):
    def make(*candidates, engine=None, policy=None, top_k=30):
        planner = make_planner(candidates, engine=engine, policy=policy, least=256, top_k=top_k)

        async def plan(call=QUESTION, **options):
            made = await planner(call, tenant=TenantName("acme"), **options)
            return made, planner.retriever

        return plan

    return make


def texts(memories) -> list[str]:
    return [memory.cube.text for memory in memories]


def reasons(memories) -> list[str]:
    return [memory.reason for memory in memories]


async def test_a_chosen_memory_tells_its_rank_and_the_scores_of_the_legs(make_plan, make_candidate):
    plan, _ = await make_plan(make_candidate("Nora lives in Lisbon."))()

    [chosen] = plan.chosen
    assert (chosen.reason, chosen.form, chosen.score) == ("rank 1: dense 0.62, lexical 8.1", "text", 1.0)
    assert chosen.tokens == len(["-", "Nora", "lives", "in", "Lisbon."])
    assert (str(plan.name), plan.call, plan.degraded) == ("tenants/acme/plans/id-0001", QUESTION, False)


async def test_memories_stand_in_the_prompt_oldest_first(make_plan, make_candidate):
    plan, _ = await make_plan(
        make_candidate("Nora lives in Porto.", days_ago=2),
        make_candidate("Nora lived in Lisbon.", days_ago=300),
        make_candidate("Nora was born in Oslo.", days_ago=30),
    )()

    assert texts(plan.chosen) == ["Nora lived in Lisbon.", "Nora was born in Oslo.", "Nora lives in Porto."]
    assert reasons(plan.chosen)[2].startswith("rank 1:")


async def test_what_does_not_fit_the_budget_is_passed_over_and_a_shorter_one_still_fits(make_plan, make_candidate):
    plan, _ = await make_plan(
        make_candidate("one two three"), make_candidate("four " * 10), make_candidate("five six")
    )(token_budget=8)

    assert texts(plan.chosen) == ["one two three", "five six"]
    assert reasons(plan.rejected) == ["over the token budget of 8"]
    assert plan.rejected[0].tokens == 11


async def test_without_a_budget_memories_get_their_share_of_the_context(make_plan, make_candidate):
    engine = MemoryEngine(facts=EngineFacts("small", context_length=20, memories_read_well=0))

    plan, _ = await make_plan(make_candidate("one two three"), make_candidate("four five six seven"), engine=engine)()

    assert reasons(plan.rejected) == ["over the token budget of 8"]


async def test_a_budget_of_the_caller_leaves_room_for_the_conversation(make_plan, make_candidate):
    engine = MemoryEngine(facts=EngineFacts("small", context_length=20, memories_read_well=0))

    plan, _ = await make_plan(make_candidate("word " * 15), engine=engine)(token_budget=10_000)

    assert reasons(plan.rejected) == ["over the token budget of 14"]


async def test_a_memory_as_long_as_can_be_is_counted_with_its_speaker_and_its_date(make_plan, make_candidate):
    said = (SourceSpan(speaker="N" * limits.SOURCE_FIELD_BYTES, event_time=datetime(2026, 3, 2, tzinfo=UTC)),)
    longest = make_candidate("x" * limits.TEXT_BYTES, sources=said)

    plan, _ = await make_plan(longest, engine=Inference(EchoEngine()))()

    assert [memory.tokens for memory in plan.chosen] == [len(["-", "N:", "x", "(on", "2026-03-02)"])]
    assert not plan.degraded


@pytest.mark.parametrize(
    ("turns", "answer", "budget"),
    [
        (("word " * 100,), 100, 400),  # enough is left for the default
        (("word " * 500,), 100, 328),  # less: 1,000 - 500 - 100, and 72 for what stands around
        (("word " * 200, "word " * 300), 100, 320),  # each turn has marks of its own
        (("word " * 500,), 900, 178),  # a long answer is sure of a quarter
        (("word " * 999,), 100, 0),
    ],
)
async def test_memories_get_what_turns_and_answer_leave_of_the_context(
    turns, answer, budget, make_plan, make_candidate
):
    plan, _ = await make_plan(make_candidate("word " * 999))(conversation=Conversation(turns, answer))

    assert reasons(plan.rejected) == [f"over the token budget of {budget}"]


async def test_a_budget_of_the_caller_takes_nothing_from_the_conversation(make_plan, make_candidate):
    talk = Conversation(("word " * 500,), answer_tokens=100)

    plan, _ = await make_plan(make_candidate("word " * 999))(token_budget=700, conversation=talk)

    assert reasons(plan.rejected) == ["over the token budget of 328"]


@pytest.fixture
async def tiny(tmp_path):
    load = partial(load_model, InferenceConfig(threads=1), FileDigests(tmp_path / "digests.json"))
    engine = TransformersEngine(load, batcher=make_batcher())
    engine.start()
    yield engine
    await engine.close()


async def test_a_long_conversation_is_answered_with_the_memories_that_fit_beside_it(
    tiny, make_plan, make_candidate, make_grant, clock
):
    memories = [make_candidate(f"Memory {index} is long. " + "It rains in Lisbon. " * 16) for index in range(8)]
    texts = ["We talked about the weather for a long time. " * 110, "So we did. " * 30, "Where does Nora live?"]
    roles = (Role.USER, Role.ASSISTANT, Role.USER)
    spoken = sum(await tiny.count_tokens(texts))
    assert 1_200 < spoken < 1_400

    plan, _ = await make_plan(*memories, engine=Inference(tiny))(conversation=Conversation(tuple(texts)))
    grant = replace(make_grant("alice", Action.CUBE_USE), all_vaults=True)
    answer = GenerateAnswer(tiny, MemoryCopies(), MemoryCopies(), RecordingTracer(), clock, Seals(b"s"))
    turns = [Turn(role, text) for role, text in zip(roles, texts, strict=True)]
    injections = [Injection(memory.cube, memory.form) for memory in plan.chosen]
    *_, end = [event async for event in answer(turns, injections, Sampling(), grant=grant)]

    assert isinstance(end, Ended)
    assert 0 < len(plan.chosen) < len(memories)
    context = (await tiny.describe()).context_length
    assert end.prompt_tokens <= context - limits.CHAT_TOKENS_DEFAULT


async def test_a_default_budget_is_capped(make_plan, make_candidate):
    engine = MemoryEngine(facts=EngineFacts("large", context_length=128_000, memories_read_well=0))

    plan, _ = await make_plan(make_candidate("word " * 2_100), engine=engine)()

    assert reasons(plan.rejected) == ["over the token budget of 2000"]


async def test_no_more_memories_are_chosen_than_the_model_reads_well(make_plan, make_candidate):
    engine = MemoryEngine(facts=EngineFacts("tiny", context_length=1_000, memories_read_well=2))

    plan, _ = await make_plan(*(make_candidate(f"fact {index}") for index in range(3)), engine=engine)()

    assert texts(plan.chosen) == ["fact 0", "fact 1"]
    assert reasons(plan.rejected) == ["the model reads 2 memories well"]


async def test_what_another_candidate_supersedes_does_not_enter(make_plan, make_candidate):
    old, lonely = make_candidate("Nora lives in Oslo."), make_candidate("Nora drives a Saab.")
    new = make_candidate("Nora lives in Bergen.")
    old = replace(old, superseded_by=new.cube.name)
    lonely = replace(lonely, superseded_by=CubeName("acme", "elsewhere"))

    plan, _ = await make_plan(old, lonely, new)()

    assert texts(plan.chosen) == ["Nora drives a Saab.", "Nora lives in Bergen."]
    assert reasons(plan.rejected) == ["superseded by tenants/acme/cubes/c3"]


async def test_what_says_the_same_enters_once(make_plan, make_candidate):
    plan, _ = await make_plan(make_candidate("Nora likes tea."), make_candidate("nora  likes TEA."))()

    assert texts(plan.chosen) == ["Nora likes tea."]
    assert reasons(plan.rejected) == ["says the same as tenants/acme/cubes/c1"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"state": State.STALE}, "not injectable: stale"),
        ({"state": State.EXPIRED}, "not injectable: expired"),
        ({"kind": Kind.ACTIVATION}, "not injectable: its kind is activation"),
    ],
)
async def test_what_must_not_be_injected_is_left_out_with_the_reason(fields, why, make_plan, make_candidate):
    plan, _ = await make_plan(make_candidate("Nora likes tea.", **fields))()

    assert plan.chosen == ()
    assert reasons(plan.rejected) == [why]


async def test_a_memory_past_its_time_is_left_out_before_the_sweep_comes(make_plan, make_candidate, clock):
    plan, _ = await make_plan(make_candidate("Nora likes tea.", expire_time=clock.now() - timedelta(seconds=1)))()

    assert reasons(plan.rejected) == ["not injectable: expired"]


async def test_a_merged_or_archived_memory_that_was_asked_for_can_enter(make_plan, make_candidate):
    plan, _ = await make_plan(make_candidate("one", state=State.MERGED), make_candidate("two", state=State.ARCHIVED))()

    assert len(plan.chosen) == 2


async def test_rejected_memories_come_best_first_and_are_bounded(make_plan, make_candidate):
    stale = [make_candidate(f"stale {index}", state=State.STALE) for index in range(25)]

    plan, _ = await make_plan(*stale)()

    assert texts(plan.rejected) == [f"stale {index}" for index in range(20)]


async def test_the_search_is_asked_with_the_callers_scope_and_conditions(make_plan):
    vault = VaultName("acme", "main")

    plan, retriever = await make_plan(top_k=12)(vaults=[vault], conditions=b"\x2a\x00")

    assert retriever.asked == [("Where does Nora live?", (vault,), b"\x2a\x00", 12)]
    assert (plan.chosen, plan.rejected, plan.degraded) == ((), (), False)


async def test_the_search_is_asked_in_the_zone_of_the_call(make_plan):
    _, retriever = await make_plan()(replace(QUESTION, time_zone="Europe/Oslo"))

    assert retriever.zones == ["Europe/Oslo"]


@pytest.mark.parametrize("error", [AWAY, Overloaded("The engine is busy.", retry_after=1.0)])
async def test_without_embedder_the_plan_is_lexical_and_says_so(error, make_plan, make_candidate):
    plan, _ = await make_plan(make_candidate("Nora lives in Lisbon."), engine=MemoryEngine(away={"embed": error}))()

    assert texts(plan.chosen) == ["Nora lives in Lisbon."]
    assert plan.degraded


async def test_without_model_tokens_are_estimated_and_the_plan_says_so(make_plan, make_candidate):
    engine = MemoryEngine(away={"describe": AWAY, "count_tokens": AWAY})

    plan, _ = await make_plan(*(make_candidate(f"fact {index}") for index in range(10)), engine=engine)()

    assert len(plan.chosen) == 8
    assert plan.chosen[0].tokens == 5  # "- fact 0\n" has nine bytes
    assert plan.degraded


async def test_the_policy_decides_the_order_in_which_memories_are_tried(make_plan, make_candidate):
    engine = MemoryEngine(facts=EngineFacts("tiny", context_length=1_000, memories_read_well=1))
    old, fresh = make_candidate("Nora likes tea.", days_ago=400), make_candidate("Nora likes coffee.", days_ago=1)

    similar, _ = await make_plan(old, fresh, engine=engine)()
    used, _ = await make_plan(old, fresh, engine=engine, policy=UsagePolicy(recency_weight=0.9))()

    assert texts(similar.chosen) == ["Nora likes tea."]
    assert texts(used.chosen) == ["Nora likes coffee."]
    assert reasons(used.chosen) == ["rank 2: dense 0.62, lexical 8.1; heat 0.0, 1 days old"]


@pytest.mark.parametrize(
    ("call", "options", "error"),
    [
        (MemoryCall("  "), {}, MissingField),
        (QUESTION, {"token_budget": -1}, InvalidField),
        (QUESTION, {"conversation": Conversation(answer_tokens=-1)}, InvalidField),
        (QUESTION, {"conversation": Conversation(("word",) * 65)}, LimitExceeded),
    ],
)
async def test_bad_requests_are_refused(call, options, error, make_plan):
    with pytest.raises(error):
        await make_plan()(call, **options)
