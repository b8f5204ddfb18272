"""When a KV cache enters a prompt in the place of text, and what stands beside it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube, RevisionRef, State
from memos_kernel.errors import InvalidField
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.jobs import CUBES
from memos_kernel.names import CubeName, JobName, PrincipalName, TenantName, VaultName
from memos_scheduler.adapters.memory import TWIN_FACTS, MemoryEngine, MemoryMemories, MemoryRetriever
from memos_scheduler.domain.forms import CacheRule, Wish
from memos_scheduler.domain.jobs import BUILD_ACTIVATION, Job
from memos_scheduler.domain.plan import BudgetRule, MemoryCall
from memos_scheduler.domain.policies import SimilarityPolicy
from memos_scheduler.usecases.build_activation import BuildActivation
from memos_scheduler.usecases.plan_injection import PlanInjection

MAIN = VaultName("acme", "main")
RUNNING = CompatibilityIdentity("m", "w", "t", "c", "{}", "float32", "none", "", "base")


def cache_of(*sources, id="kv", tokens=20, identity=RUNNING, **fields):
    blob = BlobRef(f"blobs/{id}", 1_000, id.ljust(64, "0"), SAFETENSORS)
    return MemCube(
        name=CubeName("acme", id),
        vault=MAIN,
        kind=Kind.ACTIVATION,
        payload=Activation(blob, replace(identity, token_ids_sha256="i" * 64), tokens),
        derived_from=tuple(RevisionRef(source.name, 1) for source in sources),
        **fields,
    )


@pytest.fixture
def found(make_candidate):
    """Three memories that a question finds, and one that it does not; each has six tokens."""
    return [make_candidate(f"{word} {word} {word} {word} {word}") for word in ("one", "two", "three", "four")]


@pytest.fixture
def plan(clock, new_id, found):
    async def make(*caches, wish=Wish.KV, budget=0, least=10, engine=None, identity=RUNNING, well=8):
        memories = MemoryMemories({cube.name: cube for cube in (*(one.cube for one in found), *caches)})
        planner = PlanInjection(
            engine=engine or MemoryEngine(facts=replace(TWIN_FACTS, identity=identity, memories_read_well=well)),
            retriever=MemoryRetriever(tuple(found[:3])),
            memories=memories,
            policy=SimilarityPolicy(),
            budget=BudgetRule(share=0.4, cap=2_000, requested_share=0.7),
            caches=CacheRule(least_tokens=least),
            candidates=30,
            clock=clock,
            new_id=new_id,
        )
        return await planner(MemoryCall("?"), tenant=TenantName("acme"), wish=wish, token_budget=budget)

    return make


def told(plan):
    return [(memory.form, str(memory.cube.name.id)) for memory in plan.chosen]


async def test_a_cache_stands_in_front_with_its_memories_and_the_others_behind_it_as_text(plan, found):
    one, _, three, four = (item.cube for item in found)
    made = await plan(cache_of(one, four))
    assert told(made) == [("kv", "kv"), ("text", "c2"), ("text", "c3")]
    kv = made.chosen[0]
    assert kv.sources == (one, four)
    assert (kv.tokens, kv.score) == (20, found[0].score)
    assert kv.reason == "holds 1 of what was found, among 2 memories; spares 6 tokens"
    assert three.name in {memory.cube.name for memory in made.chosen}


async def test_the_cache_that_holds_most_of_what_was_found_is_taken_and_the_others_are_named(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(
        cache_of(cubes[0], id="small"), cache_of(*cubes[:3], id="large", tokens=21), cache_of(cubes[3], id="off")
    )
    assert told(made) == [("kv", "large")]
    assert [(memory.cube.name.id, memory.reason) for memory in made.rejected if memory.form == "kv"] == [
        ("small", "another cache holds more of what was found")
    ]


async def test_text_is_taken_where_it_is_asked_for(plan, found):
    made = await plan(cache_of(found[0].cube), wish=Wish.TEXT)
    assert told(made) == [("text", "c1"), ("text", "c2"), ("text", "c3")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": State.STALE}, "not injectable: stale"),
        (
            {"identity": replace(RUNNING, weights_sha256="other", dtype="bfloat16")},
            "made with another weights_sha256, dtype",
        ),
        ({"tokens": 5_000}, "over the token budget of 400"),
    ],
)
async def test_a_cache_that_will_not_do_is_left_out_with_its_reason(plan, found, changes, reason):
    made = await plan(cache_of(found[0].cube, **changes))
    assert [memory.form for memory in made.chosen] == ["text"] * 3
    assert [memory.reason for memory in made.rejected] == [reason]


async def test_a_cache_whose_time_is_over_is_left_out(plan, found, clock):
    made = await plan(cache_of(found[0].cube, expire_time=clock.now() - timedelta(seconds=1)))
    assert [memory.reason for memory in made.rejected] == ["not injectable: expired"]


@pytest.mark.parametrize("change", [{"delete_time": True}, {"state": State.EXPIRED}])
async def test_a_cache_with_a_memory_that_is_out_of_use_is_left_out(plan, found, clock, change):
    gone = {key: clock.now() if value is True else value for key, value in change.items()}
    found[3] = replace(found[3], cube=replace(found[3].cube, **gone))
    made = await plan(cache_of(found[0].cube, found[3].cube))
    assert [memory.form for memory in made.chosen] == ["text"] * 3
    assert [memory.reason for memory in made.rejected] == ["a memory that it was made from is out of use"]


async def test_a_cache_with_a_memory_that_the_caller_may_not_read_is_left_out(plan, found):
    hidden = replace(found[3].cube, name=CubeName("acme", "hidden"))
    made = await plan(cache_of(found[0].cube, hidden))
    assert [memory.form for memory in made.chosen] == ["text"] * 3


async def test_without_being_asked_a_cache_is_taken_only_where_it_spares_enough(plan, found):
    cubes = [item.cube for item in found]
    for least, tokens, well, form in [
        (12, 20, 8, "kv"),
        (13, 20, 8, "text"),  # two memories of six tokens
        (12, 25, 8, "text"),  # more than two tokens for each one that was found
        (12, 20, 1, "text"),  # more memories than the model reads well
    ]:
        made = await plan(cache_of(*cubes[:2], tokens=tokens), wish=Wish.AUTO, least=least, well=well)
        assert made.chosen[0].form == form, (least, tokens, well)


async def test_what_has_no_room_beside_the_cache_is_left_out_the_least_wanted_first(plan, found):
    made = await plan(cache_of(found[2].cube, tokens=20), budget=27)
    assert told(made) == [("kv", "kv"), ("text", "c1")]
    assert [memory.reason for memory in made.rejected] == ["no room beside the KV cache"]


async def test_while_the_model_cannot_be_asked_text_is_taken(plan, found):
    made = await plan(cache_of(found[0].cube), identity=None)
    assert [memory.form for memory in made.chosen] == ["text"] * 3
    assert [memory.reason for memory in made.rejected] == ["the model cannot be asked"]


class Builder:
    """Makes payloads of fixed bytes."""

    def __init__(self):
        self.asked = []

    async def build(self, sources, *, vault):
        self.asked.append((tuple(sources), vault))
        yield Activation(BlobRef("", 7, "f" * 64, SAFETENSORS), replace(RUNNING, token_ids_sha256="i"), 12)
        yield b"seven"
        yield b"b."


def job(clock, ids, **fields):
    given = {"vaults": (MAIN,), "parameters": {CUBES: ids}}
    return Job(
        name=JobName("acme", "j"),
        kind=BUILD_ACTIVATION.name,
        principal=PrincipalName("acme", "alice"),
        max_attempts=3,
        create_time=clock.now(),
        due_time=clock.now(),
        **{**given, **fields},
    )


async def test_the_job_reads_the_oldest_memory_first_and_ends_with_the_cube(clock, new_id, make_candidate):
    new, old = make_candidate("new", days_ago=1, revision=3).cube, make_candidate("old", days_ago=9, revision=1).cube
    memories, builder = MemoryMemories({cube.name: cube for cube in (new, old)}), Builder()
    handler = BuildActivation(memories=memories, builder=builder, new_id=new_id)
    for _ in range(2):  # as after a crash
        *_, end = [step async for step in handler.run(job(clock, "c1,c2"))]
        assert (end.fraction, end.result) == (1.0, {"cube": "tenants/acme/cubes/id-0001", "tokens": "12", "bytes": "7"})
    assert memories.blobs[0] == b"sevenb."
    assert builder.asked[0] == ((old, new), MAIN)
    cube = memories.cubes[CubeName("acme", "id-0001")]
    assert (cube.kind, cube.vault, cube.blob.name) == (Kind.ACTIVATION, MAIN, "blob-1")
    assert cube.derived_from == (RevisionRef(old.name, 1), RevisionRef(new.name, 3))


@pytest.mark.parametrize(
    "fields",
    [{"vaults": ()}, {"parameters": {}}, {"parameters": {CUBES: ","}}, {"parameters": {CUBES: "c," * 101 + "c"}}],
)
async def test_a_job_that_names_no_memories_or_too_many_fails(clock, new_id, fields):
    if "c,c" in fields.get("parameters", {}).get(CUBES, ""):
        fields = {"parameters": {CUBES: ",".join(f"c{number}" for number in range(101))}}
    handler = BuildActivation(memories=MemoryMemories(), builder=Builder(), new_id=new_id)
    with pytest.raises(InvalidField):
        await anext(handler.run(job(clock, "c1", **fields)))
