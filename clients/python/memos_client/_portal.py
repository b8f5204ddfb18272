"""An event loop in a thread, for callers that have none."""

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """Runs coroutines to their end on a loop of its own. May be used from several threads.

    One that is forgotten without `close` takes its thread with it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        # the thread knows the loop alone, or nobody could forget the portal
        self._thread = threading.Thread(target=_serve, args=(self._loop,), name="memos-client", daemon=True)
        self._thread.start()
        self._stop = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    @property
    def closed(self) -> bool:
        """Whether it takes no more work."""
        return not self._stop.alive

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns; an interrupted caller cancels it.

        Raises:
            RuntimeError: the portal is closed.
            concurrent.futures.CancelledError: it was closed meanwhile.
        """
        with self._lock:
            if self.closed:
                work.close()
                raise RuntimeError("the client is closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what the generator yields; leaving the loop early closes it."""
        step = asyncio.Lock()  # one that was interrupted has to end before the generator can be closed
        try:
            while True:
                try:
                    item = self.run(_next(items, step))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if not self.closed:
                self.run(_close(items, step))

    def close(self) -> None:
        """Stop the loop and its thread; what still runs is cancelled. Idempotent."""
        with self._lock:
            self._stop()
        self._thread.join()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    # what was handed over before the stop has become a task by now
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _next(items: AsyncGenerator[T, None], step: asyncio.Lock) -> T:
    async with step:
        return await anext(items)


async def _close(items: AsyncGenerator[T, None], step: asyncio.Lock) -> None:
    async with step:
        await items.aclose()
