"""The sweep that carries out the policy of a vault."""

from datetime import timedelta

import pytest

from memos_kernel.cube import State, Usage
from memos_kernel.errors import LimitExceeded
from memos_kernel.names import CubeName, VaultName
from memos_kernel.states import COOLING
from memos_lifecycle.adapters.memory import MemoryCubeStore
from memos_lifecycle.domain import VaultSweep
from memos_lifecycle.usecases.sweep_vault import SweepVault

MAIN = VaultName("acme", "main")
DAY = timedelta(days=1)


@pytest.fixture
def make(make_cube, clock):
    def aged(name, days, *, used=None, **fields):
        time = clock.now() - days * DAY
        if used is not None:
            fields["usage"] = Usage(1, clock.now() - used * DAY, 1.0)
        return make_cube(name, create_time=time, update_time=time, **fields)

    return aged


def sweep(store, clock, *, cold=None, delete=None, limit=0):
    run = SweepVault(store=store, clock=clock, in_flight=4)
    return run(
        MAIN,
        cold_after=cold * DAY if cold is not None else None,
        delete_after=delete * DAY if delete is not None else None,
        limit=limit,
    )


async def test_what_nobody_used_goes_into_the_archive(make, clock):
    store = MemoryCubeStore([make("idle", 9), make("used", 9, used=1), make("new", 1)])
    assert await sweep(store, clock, cold=3) == VaultSweep(archived=1, deleted=0, skipped=0, more=False)
    assert {name.id for name, cube in store.cubes.items() if cube.state is State.ARCHIVED} == {"idle"}
    assert store.reasons[CubeName("acme", "idle")] == ["Nobody changed or used it for 3 days, 0:00:00."]


@pytest.mark.parametrize("state", State)
async def test_only_what_is_in_use_goes_cold(state, make, clock):
    store = MemoryCubeStore([make("idle", 9, state=state)])
    done = await sweep(store, clock, cold=3)
    assert done.archived == (state in COOLING)


async def test_what_is_too_old_is_deleted_even_if_it_is_used(make, clock):
    store = MemoryCubeStore([make("old", 9, used=0), make("archived", 9, state=State.ARCHIVED), make("new", 1)])
    assert (await sweep(store, clock, delete=3)).deleted == 2
    assert {name.id for name in store.cubes} == {"new"}


async def test_frozen_cubes_stay_as_they_are(make, clock):
    store = MemoryCubeStore([make("held", 9, frozen=True)])
    assert await sweep(store, clock, cold=1, delete=1) == VaultSweep(archived=0, deleted=0, skipped=0, more=False)


async def test_what_is_to_be_deleted_is_not_archived_first(make, clock):
    store = MemoryCubeStore([make("old", 9)])
    assert await sweep(store, clock, cold=1, delete=1) == VaultSweep(archived=0, deleted=1, skipped=0, more=False)


async def test_a_full_batch_means_that_there_may_be_more(make, clock):
    store = MemoryCubeStore([make(f"c{number}", 9) for number in range(3)])
    assert (await sweep(store, clock, cold=1, limit=2)).more
    assert not (await sweep(store, clock, cold=1, limit=2)).more


async def test_what_somebody_changed_meanwhile_is_skipped_and_does_not_go_round_in_circles(make, clock):
    class Overtaken(MemoryCubeStore):
        async def list_idle(self, vault, *, since, limit):
            found = await super().list_idle(vault, since=since, limit=limit)
            for cube in found:
                await super().apply(cube, expected_revision=cube.revision, reason="somebody")
            return found

    store = Overtaken([make("idle", 9)])
    assert await sweep(store, clock, cold=3, limit=1) == VaultSweep(archived=0, deleted=0, skipped=1, more=False)


async def test_too_many_at_once_are_refused(clock):
    with pytest.raises(LimitExceeded):
        await sweep(MemoryCubeStore(), clock, cold=3, limit=1_001)
