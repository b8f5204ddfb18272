"""Loads a model in the background, again and again while that may help."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from memos_kernel.errors import DependencyUnavailable, MemosError

M = TypeVar("M")

THREAD = "load-model"
"""Name of the thread that loads."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds between the first two tries, which double from there, and the most that they grow to."""

CLOSE_SECONDS = 5.0
"""How long the end of the service waits for a load: enough for one from disk, whose thread is best not left behind."""

_log = logging.getLogger(__name__)


class ModelLoader(Generic[M]):
    """Tries to load a model until it is there.

    An error with `retry_after` may mend itself, such as a hub that is away: another try follows, after growing pauses.
    Any other one stays until a restart. Callers wait for the end of the first try; later on they get the newest reason.
    """

    def __init__(self, load: Callable[[], M], *, first_pause: float = FIRST_PAUSE) -> None:
        """Take what loads the model; it runs in a thread that keeps no process from ending."""
        self._load = load
        self._pause = first_pause
        self._model: M | None = None
        self._obstacle = DependencyUnavailable("The model is not loaded yet; try again.", retry_after=1.0)
        self._tried = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        """Whether the model is there."""
        return self._model is not None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="load-model")

    async def close(self) -> None:
        """Try no more. A load that is under way gets a few seconds and is then left alone: nothing can stop it."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self.loaded:
            self._obstacle = DependencyUnavailable("The model is not loaded, and the service is going down.")
        self._tried.set()

    async def model(self) -> M:
        """Return the model, once the first try has ended.

        Raises:
            DependencyUnavailable: it is not there; `retry_after` is set if it may be later.
        """
        if self._task is not None:
            await self._tried.wait()
        if self._model is None:
            known = self._obstacle
            raise DependencyUnavailable(known.message, retry_after=known.retry_after, dependency="model")
        return self._model

    async def _run(self) -> None:
        while not self.loaded and not self._closing.is_set():
            try:
                self._model = await _in_thread(self._load)
            except Exception as error:
                self._obstacle = _obstacle(error, pause=self._pause)
            self._tried.set()
            if not self.loaded and not await self._tries_again():
                return

    async def _tries_again(self) -> bool:
        """Log why the last try failed; wait for the next one and return True, or False if there is none."""
        if self._obstacle.retry_after is None:
            _log.error("the model is not available: %s", self._obstacle.message)
            return False
        _log.warning("the model is not available: %s Next try in %g s.", self._obstacle.message, self._pause)
        try:
            async with asyncio.timeout(self._pause):
                await self._closing.wait()
        except TimeoutError:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return True


def _obstacle(error: Exception, *, pause: float) -> DependencyUnavailable:
    """Return what callers are told, with the time of the next try or what must be done before there is one."""
    if isinstance(error, MemosError) and error.retry_after is not None:
        return DependencyUnavailable(error.message, retry_after=pause)
    if isinstance(error, MemosError):
        return DependencyUnavailable(f"{error.message} Then restart inference.")
    _log.error("the model cannot be loaded", exc_info=error)
    return DependencyUnavailable(
        f"The model cannot be loaded ({type(error).__name__}; see the log). "
        "Check inference.model, then restart inference."
    )


def _in_thread(work: Callable[[], M]) -> asyncio.Future[M]:
    """Run work in a thread that ends with the process, which those of asyncio do not: they are waited for."""
    done: Future[M] = Future()

    def run() -> None:
        done.set_running_or_notify_cancel()
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name=THREAD, daemon=True).start()
    return asyncio.wrap_future(done)
