import asyncio
import threading
from contextvars import ContextVar

import pytest

from memos_kernel.errors import Overloaded
from memos_runtime.workers import Worker

VARIABLE = ContextVar("variable", default="outside")


@pytest.fixture
async def worker():
    made = Worker("test", threads=1, queue=1)
    yield made
    await made.close()


async def test_work_runs_in_a_thread_of_its_own_with_the_callers_context(worker):
    VARIABLE.set("inside")
    name, value = await worker.run(lambda: (threading.current_thread().name, VARIABLE.get()))
    assert name.startswith("test")
    assert value == "inside"


async def test_errors_come_back_to_the_caller_and_leave_no_trace_in_the_queue(worker):
    for _ in range(3):  # one more than it takes at a time
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 / 0)


async def test_a_full_queue_says_when_to_come_back(worker):
    go_on = threading.Event()
    running = [asyncio.create_task(worker.run(go_on.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await worker.run(go_on.wait)
    assert 0 < caught.value.retry_after <= 30
    go_on.set()
    await asyncio.gather(*running)
    assert await worker.run(lambda: "room again") == "room again"


async def test_a_call_that_is_cancelled_while_it_waits_never_runs(worker):
    go_on, ran = threading.Event(), []
    first = asyncio.create_task(worker.run(go_on.wait))
    await asyncio.sleep(0)
    second = asyncio.create_task(worker.run(ran.append, 1))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.create_task(worker.run(ran.append, 3))  # there is room for it again
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, third)
    assert ran == [3]


async def test_the_loop_goes_on_while_a_thread_is_busy(worker):
    go_on = threading.Event()
    busy = asyncio.create_task(worker.run(go_on.wait))
    await asyncio.sleep(0.01)
    assert not busy.done()
    go_on.set()
    assert await busy


async def test_a_closed_worker_takes_nothing():
    closed = Worker("closed", queue=0)
    await closed.close()
    await closed.close()
    for _ in range(2):  # what it refuses takes no place in its queue
        with pytest.raises(RuntimeError):
            await closed.run(print)
