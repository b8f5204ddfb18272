"""Freezing and unfreezing a memory, and what a frozen one still does."""

import pytest

from memos_interface.domain.cubes import CubeChange
from memos_interface.domain.search import SearchQuery
from memos_interface.usecases.add_memories import AddRequest
from memos_kernel.errors import CubeFrozen, CubeNotFound, EtagMismatch, IllegalTransition
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey

NO_KEY = RequestKey()


@pytest.fixture
async def cube(desk):
    answer = await desk.do.add(
        AddRequest(vault=desk.vault, texts=("The gate code is 4711.",)), caller=desk.caller, key=NO_KEY
    )
    desk.spans.operations.clear()
    return answer.added[0].cube


async def test_a_frozen_memory_refuses_new_content_and_is_still_read_and_found(desk, cube):
    header = await desk.do.freeze(cube.name, etag=cube.etag, key=NO_KEY)
    change = CubeChange(name=cube.name, paths=("plaintext.text",), text="The gate code is 9032.")
    with pytest.raises(CubeFrozen):
        await desk.do.update(change, key=NO_KEY)
    read = await desk.do.read.get(cube.name, full=True, caller=desk.caller)
    found = await desk.do.search(SearchQuery(query="gate code"), caller=desk.caller)
    assert (header.frozen, header.payload) == (True, None)
    assert read.text == found.hits[0].cube.text == "The gate code is 4711."
    await desk.do.unfreeze(cube.name, etag=header.etag, key=NO_KEY)
    assert (await desk.do.update(change, key=NO_KEY)).text == change.text


async def test_what_is_frozen_is_said_by_the_span(desk, cube):
    await desk.do.freeze(cube.name, etag="", key=NO_KEY)
    await desk.do.unfreeze(cube.name, etag="", key=NO_KEY)
    assert desk.spans.operations == ["update_memory", "update_memory"]


async def test_a_memory_is_frozen_once_and_unfrozen_once(desk, cube):
    with pytest.raises(IllegalTransition):
        await desk.do.unfreeze(cube.name, etag="", key=NO_KEY)
    await desk.do.freeze(cube.name, etag="", key=NO_KEY)
    with pytest.raises(IllegalTransition):
        await desk.do.freeze(cube.name, etag="", key=NO_KEY)


async def test_an_old_etag_and_an_unknown_memory_are_refused(desk, cube):
    with pytest.raises(EtagMismatch):
        await desk.do.freeze(cube.name, etag="r0", key=NO_KEY)
    with pytest.raises(CubeNotFound):
        await desk.do.freeze(CubeName("t", "none"), etag="", key=NO_KEY)
