"""When a KV cache enters a prompt in the place of text, and what stands beside it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from derived_cubes import MAIN, RUNNING, cache_of, refused, told
from memos_kernel import limits
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, Plaintext, RevisionRef, State
from memos_kernel.errors import DependencyUnavailable, InvalidField
from memos_kernel.forms import MemoryForm
from memos_kernel.jobs import CUBES
from memos_kernel.names import CubeName, TenantName
from memos_kernel.speed import Speed
from memos_scheduler.adapters.memory import TWIN_FACTS, MemoryEngine, MemoryMemories
from memos_scheduler.domain.jobs import BUILD_ACTIVATION
from memos_scheduler.domain.plan import PROMPT_TOKENS, TURN_TOKENS, Conversation, MemoryCall
from memos_scheduler.usecases.build_activation import BuildActivation

SEVERAL = {"composes": True}


@pytest.fixture
def found(make_candidate):
    """Three memories that a question finds, and one that it does not; each has six tokens."""
    return [make_candidate(f"{word} {word} {word} {word} {word}") for word in ("one", "two", "three", "four")]


@pytest.fixture
def plan(make_planner, found):
    async def make(
        *caches, wish=MemoryForm.KV, budget=0, least=10, identity=RUNNING, memories=None, facts=None, **options
    ):
        held = {cube.name: cube for cube in (*(one.cube for one in found), *caches)}
        planner = make_planner(
            found[:3],
            engine=MemoryEngine(facts=replace(TWIN_FACTS, identity=identity, **(facts or {}))),
            memories=memories or MemoryMemories(held),
            least=least,
        )
        return await planner(MemoryCall("?"), tenant=TenantName("acme"), wish=wish, token_budget=budget, **options)

    return make


TEXTS = [("text", "c1"), ("text", "c2"), ("text", "c3")]


async def test_a_cache_is_taken_with_all_of_its_memories_and_the_prompt_keeps_its_order(plan, found):
    one, _, _, four = (item.cube for item in found)
    made = await plan(cache_of(one, four))
    assert told(made) == [("kv", "c1"), ("text", "c2"), ("text", "c3"), ("kv", "c4")]
    assert (made.caches[0].cube.name.id, made.caches[0].tokens, made.caches[0].score) == ("kv", 20, found[0].score)
    assert made.caches[0].reason == "holds 1 of the memories found, among 2; spares 6 tokens"
    assert (made.chosen[3].reason, made.chosen[3].tokens) == ("in the KV cache", 6)


async def test_a_correction_stands_behind_what_it_corrects_whatever_the_cache_holds(plan, make_candidate, found):
    paris, berlin = make_candidate("Nora lives in Paris.", days_ago=20), make_candidate("Now in Berlin.", days_ago=1)
    found[:] = [berlin, paris]
    made = await plan(cache_of(berlin.cube))
    assert told(made) == [("text", paris.cube.name.id), ("kv", berlin.cube.name.id)]


async def test_the_cache_that_holds_most_of_what_was_found_is_taken_and_the_others_are_named(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(
        cache_of(cubes[0], id="small"), cache_of(*cubes[:3], id="large", tokens=21), cache_of(cubes[3], id="off")
    )
    assert (made.caches[0].cube.name.id, refused(made, "kv")) == (
        "large",
        ["another cache holds more of what was found"],
    )


async def test_a_model_that_may_be_given_several_caches_gets_those_that_share_no_memory(plan, found):
    one, two, three, _ = (item.cube for item in found)
    given = cache_of(one, two, id="large"), cache_of(two, id="same"), cache_of(three, id="other", tokens=9)
    made = await plan(*given, facts=SEVERAL)
    assert [cache.cube.name.id for cache in made.caches] == ["large", "other"]
    assert told(made) == [("kv", "c1"), ("kv", "c2"), ("kv", "c3")]
    assert refused(made, "kv") == ["another cache holds more of what was found"]
    assert [cache.cube.name.id for cache in (await plan(*given)).caches] == ["large"]


async def test_no_prompt_is_given_more_caches_than_it_may_use(plan, found, make_candidate):
    found[:] = [make_candidate(f"memory number {number}") for number in range(12)]
    made = await plan(*(cache_of(item.cube, id=f"kv{index}") for index, item in enumerate(found)), facts=SEVERAL)
    assert len(made.caches) <= limits.PROMPT_CACHES
    assert {memory.form for memory in made.chosen} == {"kv"} or len(made.chosen) > len(made.caches)


async def test_of_several_caches_that_do_not_fit_together_the_best_is_taken(plan, found, make_candidate):
    more = make_candidate("five five five five five")
    found.append(more)
    one, two, _, four, five = (item.cube for item in found)
    made = await plan(cache_of(one, four, id="a"), cache_of(two, five, id="b"), facts=SEVERAL, budget=18)
    assert [cache.cube.name.id for cache in made.caches] == ["a"]
    assert told(made) == [("kv", "c1"), ("text", "c2"), ("kv", "c4")]


async def test_of_several_caches_only_the_one_with_a_hidden_memory_is_left_out(plan, found):
    one, two, three, four = (item.cube for item in found)
    hidden = replace(four, name=CubeName("acme", "hidden"))
    made = await plan(cache_of(one, two, id="a"), cache_of(three, hidden, id="b"), facts=SEVERAL)
    assert [cache.cube.name.id for cache in made.caches] == ["a"]


async def test_text_is_taken_where_it_is_asked_for(plan, found):
    made = await plan(cache_of(found[0].cube), wish=MemoryForm.TEXT)
    assert (told(made), made.caches) == (TEXTS, ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": State.STALE}, "not injectable: stale"),
        (
            {"identity": replace(RUNNING, weights_sha256="other", dtype="bfloat16")},
            "made with another weights_sha256, dtype",
        ),
        ({"seal": ""}, "not computed by this system"),
    ],
)
async def test_a_cache_that_will_not_do_is_left_out_with_its_reason(plan, found, changes, reason):
    made = await plan(cache_of(found[0].cube, **changes))
    assert (told(made), made.caches, refused(made, "kv")) == (TEXTS, (), [reason])


async def test_a_cache_whose_time_is_over_is_left_out(plan, found, clock):
    made = await plan(cache_of(found[0].cube, expire_time=clock.now() - timedelta(seconds=1)))
    assert refused(made, "kv") == ["not injectable: expired"]


@pytest.mark.parametrize("change", [{"delete_time": True}, {"state": State.EXPIRED}])
async def test_a_cache_with_a_memory_that_is_out_of_use_is_left_out(plan, found, clock, change):
    gone = {key: clock.now() if value is True else value for key, value in change.items()}
    found[3] = replace(found[3], cube=replace(found[3].cube, **gone))
    made = await plan(cache_of(found[0].cube, found[3].cube))
    assert (told(made), made.caches) == (TEXTS, ())
    assert refused(made, "kv") == ["its memories may not enter the prompt, or do not fit"]


async def test_a_cache_with_a_memory_that_the_caller_may_not_read_is_left_out(plan, found):
    hidden = replace(found[3].cube, name=CubeName("acme", "hidden"))
    made = await plan(cache_of(found[0].cube, hidden))
    assert (told(made), made.caches, made.degraded) == (TEXTS, (), False)


async def test_with_conditions_nothing_enters_that_the_search_did_not_find(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(cache_of(cubes[0], cubes[3]), conditions=b"filter")
    assert (told(made), made.caches) == (TEXTS, ())
    assert refused(made, "kv") == ["holds memories that the conditions may leave out"]
    assert (await plan(cache_of(*cubes[:2]), conditions=b"filter")).caches


async def test_without_being_asked_a_cache_changes_nothing_but_what_is_read(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(cache_of(*cubes[:2]), wish=MemoryForm.AUTO, least=12)
    assert told(made) == [("kv", "c1"), ("kv", "c2"), ("text", "c3")]
    for caches, least, reason in [
        ([cache_of(*cubes[:2])], 13, "spares 12 tokens; it takes 13 to be worth it"),
        ([cache_of(cubes[0], cubes[3])], 1, "holds memories that were not chosen"),
    ]:
        made = await plan(*caches, wish=MemoryForm.AUTO, least=least)
        assert (told(made), made.caches, refused(made, "kv")) == (TEXTS, (), [reason])


async def test_what_has_no_room_beside_the_cache_is_left_out_the_least_wanted_first(plan, found):
    made = await plan(cache_of(found[2].cube, found[3].cube), budget=18)
    assert told(made) == [("text", "c1"), ("kv", "c3"), ("kv", "c4")]
    assert [memory.reason for memory in made.rejected] == ["no room beside the KV cache"]


async def test_a_cache_says_nothing_of_how_long_its_memories_are(plan, found):
    found[3] = replace(found[3], cube=replace(found[3].cube, payload=Plaintext("long " * 500)))
    made = await plan(cache_of(found[0].cube, found[3].cube, tokens=1))
    assert (told(made), made.caches) == (TEXTS, ())


async def test_while_the_model_cannot_be_asked_text_is_taken(plan, found):
    made = await plan(cache_of(found[0].cube), identity=None)
    assert (told(made), refused(made, "kv")) == (TEXTS, ["the model cannot be asked"])


async def test_a_plan_is_never_worse_off_for_a_cache(plan, found):
    class Away(MemoryMemories):
        async def derived(self, names, kind):
            raise DependencyUnavailable("Storage is busy.")

    made = await plan(cache_of(found[0].cube), memories=Away())
    assert (told(made), made.caches, made.degraded) == (TEXTS, (), True)


class Builder:
    """Makes payloads of fixed bytes."""

    def __init__(self):
        self.asked = []

    async def build(self, sources, *, vault):
        self.asked.append((tuple(sources), vault))
        yield Activation(BlobRef("", 7, "f" * 64, SAFETENSORS), replace(RUNNING, token_ids_sha256="i"), 12)
        yield b"seven"
        yield b"b."


async def test_the_job_reads_the_oldest_memory_first_and_ends_with_the_cube(make_job, make_candidate):
    new, old = make_candidate("new", days_ago=1, revision=3).cube, make_candidate("old", days_ago=9, revision=1).cube
    memories, builder = MemoryMemories({cube.name: cube for cube in (new, old)}), Builder()
    handler = BuildActivation(memories=memories, builder=builder)
    for _ in range(2):  # as after a crash
        *_, end = [step async for step in handler.run(make_job(BUILD_ACTIVATION, "c1,c2"))]
        assert (end.fraction, end.result) == (1.0, {"cube": "tenants/acme/cubes/j", "tokens": "12", "bytes": "7"})
    assert memories.blobs == [b"sevenb."]
    assert builder.asked == [((old, new), MAIN)]
    cube = memories.cubes[CubeName("acme", "j")]
    assert (cube.kind, cube.vault, cube.blob.name) == (Kind.ACTIVATION, MAIN, "blob-1")
    assert cube.derived_from == (RevisionRef(old.name, 1), RevisionRef(new.name, 3))


@pytest.mark.parametrize(
    "fields",
    [{"vaults": ()}, {"parameters": {}}, {"parameters": {CUBES: ","}}, {"parameters": {CUBES: "c," * 101 + "c"}}],
)
async def test_a_job_that_names_no_memories_or_too_many_fails(make_job, fields):
    if "c,c" in fields.get("parameters", {}).get(CUBES, ""):
        fields = {"parameters": {CUBES: ",".join(f"c{number}" for number in range(101))}}
    handler = BuildActivation(memories=MemoryMemories(), builder=Builder())
    with pytest.raises(InvalidField):
        await anext(handler.run(make_job(BUILD_ACTIVATION, "c1", **fields)))


READING = Speed(0.010, 0.001)
"""A millisecond a token, and ten for each pass."""


async def test_a_plan_says_what_it_is_expected_to_take(plan, found):
    made = await plan(facts={"reading": READING}, wish=MemoryForm.TEXT, conversation=Conversation(("one two",)))
    assert [memory.estimated_ms for memory in made.chosen] == [pytest.approx(6.0)] * 3
    around = PROMPT_TOKENS + 2 + TURN_TOKENS
    assert made.estimated_ms == pytest.approx(10 + around + 18)


async def test_what_a_cache_has_is_not_read_and_the_cache_has_to_come(plan, found):
    one, two, _, _ = (item.cube for item in found)
    facts = {"reading": READING, "fetching": Speed(0.002, 1e-6)}
    made = await plan(cache_of(one, two), facts=facts)
    assert [memory.estimated_ms for memory in made.chosen] == [0.0, 0.0, pytest.approx(6.0)]
    assert made.caches[0].estimated_ms == pytest.approx(3.0)
    assert made.estimated_ms == pytest.approx(10 + PROMPT_TOKENS + 6 + 3)


async def test_nothing_is_foretold_while_nobody_knows_how_fast_the_model_reads(plan):
    made = await plan(wish=MemoryForm.TEXT)
    assert (made.estimated_ms, [memory.estimated_ms for memory in made.chosen]) == (0.0, [0.0] * 3)


@pytest.mark.parametrize(
    ("fetching", "wish", "taken"),
    [
        (Speed(0.001, 1e-6), MemoryForm.AUTO, True),
        (Speed(0.100, 1e-6), MemoryForm.AUTO, False),
        (Speed(0.100, 1e-6), MemoryForm.KV, True),
    ],
)
async def test_a_cache_that_takes_longer_to_come_than_its_words_to_be_read_is_left_unless_it_is_asked_for(
    plan, found, fetching, wish, taken
):
    given = cache_of(*(item.cube for item in found[:3]))
    made = await plan(given, wish=wish, facts={"reading": READING, "fetching": fetching})
    assert bool(made.caches) is taken
    if not taken:
        assert refused(made, "kv") == ["takes 101 ms to come, and the words 18 ms to be read"]
