"""Moves through the states."""

import pytest

from memos_kernel.cube import State
from memos_kernel.errors import CubeFrozen, CubeNotFound, EtagMismatch, IllegalTransition, RequestIdReused
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey
from memos_kernel.states import TRANSITIONS
from memos_lifecycle.adapters.memory import MemoryCubeStore
from memos_lifecycle.usecases.transition_cube import TransitionCube

NAME = CubeName("acme", "a")
NO_KEY = RequestKey()
KEY = RequestKey("r-1", "/memos.v1.MemoryService/Archive", "0f")


async def move(store, target, *, etag="", reason="", request=NO_KEY):
    return await TransitionCube(store=store)(NAME, target, etag=etag, reason=reason, request=request)


@pytest.mark.parametrize("target", State)
@pytest.mark.parametrize("start", State)
async def test_exactly_the_moves_of_the_table_are_allowed(start, target, make_cube):
    store = MemoryCubeStore([make_cube("a", state=start)])

    if target in TRANSITIONS[start]:
        assert (await move(store, target)).state is target
    else:
        with pytest.raises(IllegalTransition) as refused:
            await move(store, target)
        assert dict(refused.value.metadata) == {"current": start.name, "target": target.name}
        assert store.cubes[NAME].state is start


async def test_the_reason_is_recorded(make_cube):
    store = MemoryCubeStore([make_cube("a")])

    await move(store, State.ARCHIVED, reason="Not needed this year.")

    assert store.reasons[NAME] == ["Not needed this year."]


async def test_a_frozen_cube_may_only_be_used(make_cube):
    store = MemoryCubeStore([make_cube("a", frozen=True)])

    with pytest.raises(CubeFrozen):
        await move(store, State.ARCHIVED)
    assert (await move(store, State.ACTIVATED)).state is State.ACTIVATED


async def test_a_stale_etag_is_refused(make_cube):
    store = MemoryCubeStore([make_cube("a", etag="r2")])

    with pytest.raises(EtagMismatch):
        await move(store, State.ARCHIVED, etag="r1")


async def test_an_unknown_cube_is_not_found():
    with pytest.raises(CubeNotFound):
        await move(MemoryCubeStore(), State.ARCHIVED)


async def test_the_same_request_has_the_same_answer(make_cube):
    store = MemoryCubeStore([make_cube("a")])

    first = await move(store, State.ARCHIVED, etag="r1", request=KEY)
    again = await move(store, State.ARCHIVED, etag="r1", request=KEY)

    assert again == first
    assert len(store.reasons[NAME]) == 1


async def test_a_request_id_with_another_body_is_refused(make_cube):
    store = MemoryCubeStore([make_cube("a")])
    await move(store, State.ARCHIVED, request=KEY)

    with pytest.raises(RequestIdReused):
        await move(store, State.ARCHIVED, request=RequestKey(KEY.request_id, KEY.method, "ff"))


async def test_a_new_request_for_a_move_already_made_is_refused_and_changes_nothing(make_cube):
    store = MemoryCubeStore([make_cube("a")])
    moved = await move(store, State.ARCHIVED)

    with pytest.raises(IllegalTransition):
        await move(store, State.ARCHIVED, request=KEY)
    assert store.cubes[NAME] == moved
