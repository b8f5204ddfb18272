"""Use of cubes in prompts."""

from dataclasses import replace

import pytest

from memos_kernel.cube import RevisionRef, State
from memos_kernel.errors import LimitExceeded
from memos_kernel.names import CubeName
from memos_lifecycle.adapters.memory import MemoryCubeStore
from memos_lifecycle.usecases.record_use import RecordUse

PLAN = "tenants/acme/plans/p"


def ref(name: str) -> RevisionRef:
    return RevisionRef(CubeName("acme", name), 1)


def record_use(store, clock) -> RecordUse:
    return RecordUse(store=store, clock=clock, in_flight=4)


async def test_the_first_use_activates_a_cube_and_says_why(make_cube, clock):
    store = MemoryCubeStore([make_cube("a")])

    [used] = await record_use(store, clock)([ref("a")], plan=PLAN)

    assert used.state is State.ACTIVATED
    assert used.usage.hits == 1
    assert store.reasons[used.name] == [f"It entered a prompt by {PLAN}."]


async def test_a_later_use_warms_the_cube_and_makes_no_revision(make_cube, clock):
    store = MemoryCubeStore([make_cube("a", state=State.ACTIVATED, revision=2)])

    [used] = await record_use(store, clock)([ref("a")], plan=PLAN)

    assert (used.usage.hits, used.revision) == (1, 2)


async def test_a_cube_named_twice_is_used_once(make_cube, clock):
    store = MemoryCubeStore([make_cube("a")])

    [used] = await record_use(store, clock)([ref("a"), ref("a")], plan=PLAN)

    assert used.usage.hits == 1


async def test_a_cube_that_is_gone_is_left_out(make_cube, clock):
    store = MemoryCubeStore([make_cube("a")])

    used = await record_use(store, clock)([ref("a"), ref("gone")], plan=PLAN)

    assert [cube.name.id for cube in used] == ["a"]


async def test_a_frozen_cube_is_activated_by_use(make_cube, clock):
    store = MemoryCubeStore([make_cube("a", frozen=True)])

    [used] = await record_use(store, clock)([ref("a")], plan=PLAN)

    assert used.state is State.ACTIVATED


class Contended(MemoryCubeStore):
    """Somebody else changes the cube right before each of the first writes."""

    def __init__(self, cubes, *, times: int, state: State) -> None:
        super().__init__(cubes)
        self.times = times
        self.state = state

    async def apply(self, cube, *, expected_revision, reason, request=None):
        if self.times:
            self.times -= 1
            stored = self.cubes[cube.name]
            self.cubes[cube.name] = replace(stored, revision=stored.revision + 1, state=self.state)
        return await super().apply(cube, expected_revision=expected_revision, reason=reason)


async def test_a_cube_changed_meanwhile_is_read_again_and_activated(make_cube, clock):
    store = Contended([make_cube("a")], times=1, state=State.GENERATED)

    [used] = await record_use(store, clock)([ref("a")], plan=PLAN)

    assert (used.state, used.revision) == (State.ACTIVATED, 3)


async def test_a_cube_that_somebody_else_activated_is_left_as_it_is(make_cube, clock):
    store = Contended([make_cube("a")], times=1, state=State.ACTIVATED)

    [used] = await record_use(store, clock)([ref("a")], plan=PLAN)

    assert (used.state, used.revision) == (State.ACTIVATED, 2)
    assert store.reasons == {}


async def test_a_cube_changed_again_and_again_keeps_its_use_and_its_state(make_cube, clock):
    store = Contended([make_cube("a")], times=5, state=State.GENERATED)

    [used] = await record_use(store, clock)([ref("a")], plan=PLAN)

    assert (used.state, used.usage.hits) == (State.GENERATED, 1)


async def test_too_many_cubes_are_refused(clock):
    with pytest.raises(LimitExceeded) as caught:
        await record_use(MemoryCubeStore(), clock)([ref(f"c{index}") for index in range(257)], plan=PLAN)
    assert caught.value.metadata["limit"] == "256"


async def test_a_cube_that_went_cold_comes_back_and_a_record_stays_one(make_cube, clock):
    cold = make_cube("cold", state=State.ARCHIVED, revision=2, etag="r2")
    store = MemoryCubeStore([cold, make_cube("answer", state=State.ARCHIVED)])

    used = await record_use(store, clock)([ref("cold"), ref("answer")], plan=PLAN)

    assert {cube.name.id: cube.state for cube in used} == {"cold": State.ACTIVATED, "answer": State.ARCHIVED}
    assert [cube.usage.hits for cube in used] == [1, 1]
