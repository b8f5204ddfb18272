import asyncio
import gc
import signal
import threading
import time
from concurrent.futures import CancelledError

import pytest

from memos_client._portal import Portal


async def echo(value):
    return value


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "memos-client"]


def test_it_runs_what_it_is_given_until_it_is_closed():
    portal = Portal()
    assert portal.run(echo(7)) == 7
    portal.close()
    portal.close()
    assert portal.closed
    with pytest.raises(RuntimeError, match="closed"):
        portal.run(echo(7))


def test_a_call_that_runs_while_another_thread_closes_ends():
    portal, ended = Portal(), []

    def wait():
        try:
            portal.run(asyncio.sleep(60))
        except CancelledError as error:
            ended.append(error)

    caller = threading.Thread(target=wait)
    caller.start()
    time.sleep(0.05)
    portal.close()
    caller.join(5)
    assert len(ended) == 1


def test_one_that_is_forgotten_takes_its_thread_with_it():
    before = len(threads())
    portal = Portal()
    assert portal.run(echo(7)) == 7
    thread = threads()[-1]
    del portal
    gc.collect()
    thread.join(5)
    assert len(threads()) == before


def test_many_threads_share_it_while_it_closes_and_none_hangs():
    portal = Portal()

    def call():
        try:
            while True:
                portal.run(echo(1))
        except (RuntimeError, CancelledError):
            pass

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    time.sleep(0.05)
    portal.close()
    for caller in callers:
        caller.join(5)
    assert not any(caller.is_alive() for caller in callers)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_step_of_a_generator_ends_before_the_generator_is_closed():
    ended = []

    async def items():
        try:
            await asyncio.sleep(0.2)  # until the main thread waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            await asyncio.sleep(60)
            yield
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    portal = Portal()
    with pytest.raises(KeyboardInterrupt):
        next(portal.iterate(items()))
    portal.close()
    assert ended == [True]
