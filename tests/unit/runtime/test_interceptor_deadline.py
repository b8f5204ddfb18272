import asyncio

import pytest

from memos_kernel.errors import DeadlineExceeded
from memos_runtime.context import remaining
from memos_runtime.interceptors.deadline import Deadline

GET = "/memos.v1.MemoryService/GetMemory"  # ten seconds


async def time_left(call):
    return remaining()


@pytest.mark.parametrize(("callers", "effective"), [(None, 10), (3.0, 3), (600.0, 10)])
async def test_the_earlier_of_the_two_deadlines_counts(run, callers, effective):
    left = await run(Deadline(), GET, endpoint=time_left, seconds_left=callers)
    assert left == pytest.approx(effective, abs=0.2)


async def test_a_call_that_comes_too_late_is_not_begun(run):
    with pytest.raises(DeadlineExceeded):
        await run(Deadline(), GET, seconds_left=0.0)


async def test_the_handler_is_stopped_when_the_deadline_passes(run):
    stopped = []

    async def endpoint(call):
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(True)

    with pytest.raises(DeadlineExceeded):
        await run(Deadline(), GET, endpoint=endpoint, seconds_left=0.01)
    assert stopped


async def test_a_timeout_of_the_handlers_own_is_not_taken_for_the_deadline(run):
    async def endpoint(call):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await run(Deadline(), GET, endpoint=endpoint)
