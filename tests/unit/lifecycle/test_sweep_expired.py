"""The sweep of expired cubes."""

from datetime import timedelta

import pytest

from memos_kernel.cube import State
from memos_kernel.errors import EtagMismatch, LimitExceeded
from memos_kernel.names import CubeName
from memos_lifecycle.adapters.memory import MemoryCubeStore
from memos_lifecycle.usecases.sweep_expired import SweepExpired

AGO = -timedelta(hours=1)
LATER = timedelta(hours=1)


def sweep(store, clock) -> SweepExpired:
    return SweepExpired(store=store, clock=clock, in_flight=4)


async def test_cubes_past_their_time_expire_and_the_others_stay(make_cube, clock):
    store = MemoryCubeStore(
        [make_cube("old", expires_in=AGO), make_cube("young", expires_in=LATER), make_cube("eternal")]
    )

    done = await sweep(store, clock)(limit=0)

    assert (done.expired, done.skipped, done.more, done.time) == (1, 0, False, clock.now())
    assert {cube.name.id for cube in store.cubes.values() if cube.state is State.EXPIRED} == {"old"}
    assert store.reasons[CubeName("acme", "old")] == ["Its expire time 2026-03-02T11:00:00+00:00 has come."]


async def test_a_cube_expires_at_its_expire_time(make_cube, clock):
    store = MemoryCubeStore([make_cube("now", expires_in=timedelta(0))])

    assert (await sweep(store, clock)(limit=0)).expired == 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.EXPIRED])
async def test_a_cube_expires_from_every_state(state, make_cube, clock):
    store = MemoryCubeStore([make_cube("old", state=state, expires_in=AGO)])

    assert (await sweep(store, clock)(limit=0)).expired == 1


async def test_an_expired_cube_is_not_expired_again(make_cube, clock):
    store = MemoryCubeStore([make_cube("old", state=State.EXPIRED, expires_in=AGO)])

    assert (await sweep(store, clock)(limit=0)).expired == 0


async def test_a_frozen_cube_does_not_expire(make_cube, clock):
    store = MemoryCubeStore([make_cube("old", frozen=True, expires_in=AGO)])

    assert (await sweep(store, clock)(limit=0)).expired == 0


async def test_a_full_batch_asks_for_another_sweep(make_cube, clock):
    store = MemoryCubeStore([make_cube(f"c{index}", expires_in=AGO) for index in range(3)])

    first = await sweep(store, clock)(limit=2)
    second = await sweep(store, clock)(limit=2)

    assert (first.expired, first.more) == (2, True)
    assert (second.expired, second.more) == (1, False)


async def test_a_cube_that_somebody_changed_meanwhile_is_skipped(make_cube, clock):
    class Contended(MemoryCubeStore):
        async def apply(self, cube, **options):
            raise EtagMismatch("It was changed meanwhile.")

    done = await sweep(Contended([make_cube("old", expires_in=AGO)]), clock)(limit=0)

    assert (done.expired, done.skipped) == (0, 1)


@pytest.mark.parametrize("limit", [-1, 1_001])
async def test_a_limit_out_of_range_is_refused(limit, clock):
    with pytest.raises(LimitExceeded):
        await sweep(MemoryCubeStore(), clock)(limit=limit)
