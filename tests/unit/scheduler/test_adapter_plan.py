"""When an adapter stands in for memories, and the job that has one trained."""

from dataclasses import replace
from datetime import timedelta

import pytest

from derived_cubes import MAIN, RUNNING, adapter_of, cache_of, refused, told
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import BlobRef, Kind, Parametric, RevisionRef, State
from memos_kernel.errors import AdapterRejected, DependencyUnavailable, InvalidField
from memos_kernel.forms import MemoryForm
from memos_kernel.jobs import CUBES
from memos_kernel.names import CubeName, TenantName
from memos_scheduler.adapters.memory import TWIN_FACTS, MemoryEngine, MemoryMemories
from memos_scheduler.domain.jobs import TRAIN_ADAPTER
from memos_scheduler.domain.plan import MemoryCall
from memos_scheduler.ports import Trained
from memos_scheduler.usecases.train_adapter import TrainAdapter

TEXTS = [("text", "c1"), ("text", "c2"), ("text", "c3")]


@pytest.fixture
def found(make_candidate):
    """Three memories that a question finds, and one that it does not."""
    return [make_candidate(f"{word} {word}") for word in ("one", "two", "three", "four")]


@pytest.fixture
def plan(make_planner, found):
    async def make(*adapters, wish=MemoryForm.LORA, memories=None, identity=RUNNING, **options):
        held = {cube.name: cube for cube in (*(one.cube for one in found), *adapters)}
        planner = make_planner(
            found[:3],
            engine=MemoryEngine(facts=replace(TWIN_FACTS, identity=identity)),
            memories=memories or MemoryMemories(held),
        )
        return await planner(MemoryCall("?"), tenant=TenantName("acme"), wish=wish, **options)

    return make


@pytest.mark.parametrize("others", [0, 1])
async def test_an_adapter_stands_in_for_the_memories_that_it_knows(plan, found, others):
    cubes = [item.cube for item in found]
    made = await plan(adapter_of(*cubes[:2], *cubes[3 : 3 + others]))
    assert told(made) == [("lora", "c1"), ("lora", "c2"), ("text", "c3")]
    assert (made.adapter.cube.name.id, made.adapter.form, made.caches) == ("lora", "lora", ())
    assert made.adapter.reason == f"knows 2 of the memories found, among {2 + others}"


async def test_a_cache_serves_beside_an_activated_adapter_for_what_that_does_not_know(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(adapter_of(*cubes[:2], activated=True), cache_of(cubes[2]))
    assert told(made) == [("lora", "c1"), ("lora", "c2"), ("kv", "c3")]
    assert [cache.cube.name.id for cache in made.caches] == ["kv"]
    assert made.adapter.cube.name.id == "lora"


@pytest.mark.parametrize("held", [slice(1, 3), slice(2, 4)])
async def test_beside_an_adapter_no_cache_is_taken_that_holds_more_than_is_read(plan, found, held):
    cubes = [item.cube for item in found]
    made = await plan(adapter_of(*cubes[:2], activated=True), cache_of(*cubes[held]))
    assert told(made) == [("lora", "c1"), ("lora", "c2"), ("text", "c3")]
    assert refused(made, "kv") == ["holds memories that were not chosen"]


async def test_an_adapter_that_works_on_memories_leaves_no_place_for_a_cache(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(adapter_of(*cubes[:2]), cache_of(cubes[2]))
    assert (told(made)[2], made.caches) == (("text", "c3"), ())


@pytest.mark.parametrize("wish", [MemoryForm.AUTO, MemoryForm.TEXT, MemoryForm.KV])
async def test_an_adapter_is_never_taken_unasked(plan, found, wish):
    made = await plan(adapter_of(*(item.cube for item in found[:3])), wish=wish)
    assert (told(made), made.adapter) == (TEXTS, None)


async def test_the_adapter_that_knows_most_is_taken(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(adapter_of(cubes[0], id="small"), adapter_of(*cubes[:3], id="large"))
    assert made.adapter.cube.name.id == "large"
    assert refused(made, "lora") == ["another adapter knows more of what was found"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": State.STALE}, "not injectable: stale"),
        ({"identity": replace(RUNNING, weights_sha256="other")}, "made with another weights_sha256"),
        ({"seal": ""}, "not computed by this system"),
    ],
)
async def test_an_adapter_that_will_not_do_is_left_out_with_its_reason(plan, found, changes, reason):
    made = await plan(adapter_of(found[0].cube, **changes))
    assert (told(made), made.adapter, refused(made, "lora")) == (TEXTS, None, [reason])


@pytest.mark.parametrize("change", ["delete_time", "expire_time"])
async def test_an_adapter_that_knows_what_is_out_of_use_is_left_out(plan, found, clock, change):
    gone = replace(found[3].cube, **{change: clock.now() - timedelta(seconds=1)})
    found[3] = replace(found[3], cube=gone)
    made = await plan(adapter_of(found[0].cube, gone))
    assert (told(made), refused(made, "lora")) == (TEXTS, ["it knows a memory that may not be used"])


async def test_an_adapter_that_knows_what_the_caller_may_not_read_is_left_out(plan, found):
    hidden = replace(found[3].cube, name=CubeName("acme", "hidden"))
    made = await plan(adapter_of(found[0].cube, hidden))
    assert (told(made), made.adapter, made.degraded) == (TEXTS, None, False)


async def test_with_conditions_no_adapter_is_taken_that_knows_more(plan, found):
    cubes = [item.cube for item in found]
    made = await plan(adapter_of(cubes[0], cubes[3]), conditions=b"filter")
    assert (told(made), refused(made, "lora")) == (TEXTS, ["knows memories that the conditions may leave out"])
    assert (await plan(adapter_of(*cubes[:2]), conditions=b"filter")).adapter is not None


async def test_a_plan_is_never_worse_off_for_an_adapter(plan, found):
    class Away(MemoryMemories):
        async def derived(self, names, kind):
            raise DependencyUnavailable("Storage is busy.")

    made = await plan(adapter_of(found[0].cube), memories=Away())
    assert (told(made), made.adapter, made.degraded) == (TEXTS, None, True)


class Trainer:
    """Trains in two steps, or fails after the first."""

    def __init__(self, failure=None):
        self.asked, self.failure = [], failure

    async def train(self, sources, *, vault):
        self.asked.append((tuple(sources), vault))
        yield 0.5
        if self.failure is not None:
            raise self.failure
        yield 1.0
        payload = Parametric(BlobRef("", 7, "f" * 64, SAFETENSORS), RUNNING, 16)
        yield Trained(payload, (0,), {"facts": "2", "recall": "1.0"})
        yield b"seven"
        yield b"b."


async def test_the_job_tells_how_far_it_is_and_ends_with_the_cube_and_its_marks(make_job, found):
    cubes = [item.cube for item in found[:2]]
    memories, trainer = MemoryMemories({cube.name: cube for cube in cubes}), Trainer()
    handler = TrainAdapter(memories=memories, trainer=trainer)
    steps = [step async for step in handler.run(make_job(TRAIN_ADAPTER, "c1,c2"))]
    assert [step.fraction for step in steps] == [0.45, 0.9, 0.93, 0.96, 1.0]
    kept = {"cube": "tenants/acme/cubes/j", "rank": "16", "bytes": "7"}
    assert steps[-1].result == {**kept, "facts": "2", "recall": "1.0"}
    (again,) = [step async for step in handler.run(make_job(TRAIN_ADAPTER, "c1,c2"))]
    assert again.result == kept
    assert len(trainer.asked) == 1
    cube = memories.cubes[CubeName("acme", "j")]
    assert (cube.kind, cube.vault, cube.blob.name) == (Kind.PARAMETRIC, MAIN, "blob-1")
    first = trainer.asked[0][0][0]
    assert cube.derived_from == (RevisionRef(first.name, first.revision),)
    assert memories.blobs == [b"sevenb."]


async def test_an_adapter_that_fails_its_exam_leaves_nothing(make_job, found):
    memories = MemoryMemories({item.cube.name: item.cube for item in found})
    handler = TrainAdapter(memories=memories, trainer=Trainer(AdapterRejected("It answers wrongly.")))
    with pytest.raises(AdapterRejected):
        _ = [step async for step in handler.run(make_job(TRAIN_ADAPTER, "c1"))]
    assert (len(memories.cubes), memories.blobs) == (4, [])


@pytest.mark.parametrize("fields", [{"vaults": ()}, {"parameters": {}}, {"parameters": {CUBES: ","}}])
async def test_a_job_that_names_no_memories_fails(make_job, fields):
    handler = TrainAdapter(memories=MemoryMemories(), trainer=Trainer())
    with pytest.raises(InvalidField):
        await anext(handler.run(make_job(TRAIN_ADAPTER, "c1", **fields)))
