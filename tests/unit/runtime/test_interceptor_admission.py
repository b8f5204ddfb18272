import asyncio

import pytest

from memos_kernel.errors import CubeNotFound, DependencyUnavailable, Draining, Overloaded
from memos_runtime.gate import Gate
from memos_runtime.interceptors.admission import Admission

GET = "/memos.v1.MemoryService/GetMemory"


@pytest.fixture
def gate():
    return Gate("interface")


async def test_a_service_that_starts_says_when_to_come_back(run, gate):
    with pytest.raises(DependencyUnavailable) as caught:
        await run(Admission({"interface": gate}), GET)
    assert caught.value.retry_after == 1


async def test_a_service_that_drains_refuses_new_calls_and_finishes_those_inside(run, gate):
    gate.open()
    admission, inside, go_on = Admission({"interface": gate}), asyncio.Event(), asyncio.Event()

    async def endpoint(call):
        inside.set()
        await go_on.wait()
        return "finished"

    running = asyncio.create_task(run(admission, GET, endpoint=endpoint))
    await inside.wait()
    gate.drain()
    with pytest.raises(Draining):
        await run(admission, GET)
    assert not await gate.wait_empty(0.01)
    go_on.set()
    assert await running == "finished"
    assert await gate.wait_empty(1)


async def test_one_call_too_many_at_the_edge_is_told_to_come_back(run, gate):
    gate.open()
    proceed = Admission({"interface": gate}, max_calls=1)
    wrapped_once = []

    async def endpoint(call):
        if not wrapped_once:
            wrapped_once.append(call)
            return await run(proceed, GET)
        return call

    with pytest.raises(Overloaded) as caught:
        await run(proceed, GET, endpoint=endpoint)
    assert caught.value.retry_after == 1


async def test_a_failed_call_gives_its_place_back(run, gate):
    gate.open()
    admission = Admission({"interface": gate}, max_calls=1)

    async def endpoint(call):
        raise CubeNotFound("no")

    for _ in range(2):
        with pytest.raises(CubeNotFound):
            await run(admission, GET, endpoint=endpoint)
