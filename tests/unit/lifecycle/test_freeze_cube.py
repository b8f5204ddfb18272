"""Freezing and unfreezing."""

import pytest

from memos_kernel.cube import State
from memos_kernel.errors import CubeNotFound, EtagMismatch, IllegalTransition, RequestIdReused
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey
from memos_lifecycle.adapters.memory import MemoryCubeStore
from memos_lifecycle.usecases.freeze_cube import FreezeCube, UnfreezeCube

NAME = CubeName("acme", "a")
NO_KEY = RequestKey()
KEY = RequestKey("r-1", "/memos.v1.MemoryService/FreezeMemory", "0f")


async def freeze(store, *, etag="", reason="", request=NO_KEY):
    return await FreezeCube(store=store)(NAME, etag=etag, reason=reason, request=request)


async def unfreeze(store, *, etag="", reason="", request=NO_KEY):
    return await UnfreezeCube(store=store)(NAME, etag=etag, reason=reason, request=request)


async def test_a_cube_is_frozen_and_unfrozen_in_its_state_with_the_reasons_recorded(make_cube):
    store = MemoryCubeStore([make_cube("a", state=State.ACTIVATED)])

    frozen = await freeze(store, etag="r1", reason="Evidence.")
    thawed = await unfreeze(store, etag="r2")

    assert (frozen.frozen, frozen.state, frozen.revision) == (True, State.ACTIVATED, 2)
    assert (thawed.frozen, thawed.state, thawed.revision) == (False, State.ACTIVATED, 3)
    assert store.reasons[NAME] == ["Evidence.", "Unfrozen by request."]


@pytest.mark.parametrize("fields", [{"state": State.EXPIRED}, {"state": State.STALE}, {"frozen": True}])
async def test_a_cube_that_cannot_be_frozen_stays_as_it_is(fields, make_cube):
    store = MemoryCubeStore([make_cube("a", **fields)])

    with pytest.raises(IllegalTransition):
        await freeze(store)
    assert store.cubes[NAME] == make_cube("a", **fields)


async def test_a_cube_that_is_not_frozen_is_not_unfrozen(make_cube):
    with pytest.raises(IllegalTransition):
        await unfreeze(MemoryCubeStore([make_cube("a")]))


@pytest.mark.parametrize("decide", [freeze, unfreeze])
async def test_a_stale_etag_and_an_unknown_cube_are_refused(decide, make_cube):
    with pytest.raises(EtagMismatch):
        await decide(MemoryCubeStore([make_cube("a", etag="r2")]), etag="r1")
    with pytest.raises(CubeNotFound):
        await decide(MemoryCubeStore())


async def test_the_same_request_has_the_same_answer_even_after_an_unfreeze(make_cube):
    store = MemoryCubeStore([make_cube("a")])

    first = await freeze(store, etag="r1", request=KEY)
    assert await freeze(store, etag="r1", request=KEY) == first
    thawed = await unfreeze(store)
    assert await freeze(store, etag="r1", request=KEY) == first

    assert store.cubes[NAME] == thawed


async def test_a_second_request_is_refused_and_so_is_another_body(make_cube):
    store = MemoryCubeStore([make_cube("a")])
    frozen = await freeze(store, request=KEY)

    with pytest.raises(IllegalTransition):
        await freeze(store, request=RequestKey("r-2", KEY.method, KEY.body_sha256))
    with pytest.raises(RequestIdReused):
        await freeze(store, request=RequestKey(KEY.request_id, KEY.method, "ff"))
    assert store.cubes[NAME] == frozen
