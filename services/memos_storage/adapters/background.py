"""The loops behind the calls: one feeds the vector index, one sends audit events."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from memos_kernel.errors import MemosError
from memos_storage.adapters.hot_index import HotVectorIndex
from memos_storage.ports import Outbox, VectorIndex
from memos_storage.usecases.follow_outbox import FollowOutbox
from memos_storage.usecases.reconcile import Reconcile
from memos_storage.usecases.ship_audit import ShipAudit
from memos_storage.usecases.watch_cubes import ForgetChanges

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2
_IDLE_LOOK_SECONDS = 5.0
_AWAY_SECONDS = 0.5
_HOUSEKEEPING_SECONDS = 3600.0
_RETRY_FIRST, _RETRY_MOST = 0.5, 30.0


@dataclass(slots=True, kw_only=True)
class IndexLoop:
    """Feeds the vector index in batches: Milvus searches few large segments faster than many small ones.

    A batch goes when `batch_rows` wait, when nothing was written for `idle_seconds`, or when a row has waited for
    `delay_seconds`. Until then rows are found by the pending leg. `waiting` is told how many wait.
    """

    follow: FollowOutbox
    outbox: Outbox
    index: VectorIndex
    batch_rows: int
    idle_seconds: float
    delay_seconds: float
    waiting: Callable[[int], object]
    hot: HotVectorIndex | None = None
    _written: asyncio.Event = field(default_factory=asyncio.Event)
    _last_write: float = 0.0

    def notify(self) -> None:
        """Say that something was committed."""
        self._last_write = asyncio.get_running_loop().time()
        self._written.set()

    async def run(self) -> None:
        """Run until cancelled."""
        loaded = self.hot is None
        self._written.set()
        while True:
            try:
                if not self.index.healthy:
                    await self._size()
                    await asyncio.sleep(_AWAY_SECONDS)
                    continue
                if self.hot is not None and not loaded:
                    await self.hot.load()
                    loaded = True
                if not await self._is_written() and not await self._size():
                    continue
                await self._wait_for_batch()
                while await self.follow():
                    pass
                if await self._size():
                    self._written.set()
                    await asyncio.sleep(_AWAY_SECONDS)
            except MemosError as error:
                _LOG.warning("the vector index falls behind: %s", error.message)
                self._written.set()
                await asyncio.sleep(_AWAY_SECONDS)
            except Exception:
                _LOG.exception("the loop of the vector index failed and goes on")
                self._written.set()
                await asyncio.sleep(_RETRY_MOST)

    async def _size(self) -> int:
        size = await self.outbox.size()
        self.waiting(size)
        return size

    async def _is_written(self) -> bool:
        """Wait for a commit, and give up after a while to look after the index, and for what nobody told of.

        Nobody tells of a row whose caller left during the commit, or that another process left behind.
        """
        try:
            async with asyncio.timeout(_IDLE_LOOK_SECONDS):
                await self._written.wait()
        except TimeoutError:
            return False
        self._written.clear()
        return True

    async def _wait_for_batch(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while (  # noqa: ASYNC110 - for the first of three things
            loop.time() - self._last_write < self.idle_seconds
            and loop.time() - started < self.delay_seconds
            and await self._size() < self.batch_rows
        ):
            await asyncio.sleep(_LOOK_SECONDS)


@dataclass(slots=True, kw_only=True)
class CompareLoop:
    """Compares the vector index with the catalogue now and then, and whenever it was away: it may come back empty."""

    reconcile: Reconcile
    index: VectorIndex
    interval_seconds: float

    async def run(self) -> None:
        """Run until cancelled."""
        loop = asyncio.get_running_loop()
        compared_at = 0.0
        while True:
            try:
                due = self.reconcile.doubt or loop.time() - compared_at >= self.interval_seconds
                if self.index.healthy and due:
                    await self._compare()
                    compared_at = loop.time()
                await asyncio.sleep(_LOOK_SECONDS)
            except MemosError as error:
                _LOG.warning("the vector index could not be compared with the catalogue: %s", error.message)
                await asyncio.sleep(_AWAY_SECONDS)
            except Exception:
                _LOG.exception("the comparison of the vector index failed and goes on")
                await asyncio.sleep(_RETRY_MOST)

    async def _compare(self) -> None:
        drift = await self.reconcile()
        if drift:
            _LOG.warning("the vector index lacked %d points and had %d too many; mended", drift.missing, drift.extra)


@dataclass(slots=True, kw_only=True)
class AuditLoop:
    """Sends audit events soon after they were committed, and tidies up once an hour."""

    ship: ShipAudit
    forget_changes: ForgetChanges
    interval_seconds: float
    _written: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        """Say that something was committed."""
        self._written.set()

    async def run(self) -> None:
        """Run until cancelled; while governance is away the pause between two tries doubles."""
        pause, tidied = _RETRY_FIRST, -_HOUSEKEEPING_SECONDS
        self._written.set()
        while True:
            try:
                if asyncio.get_running_loop().time() - tidied >= _HOUSEKEEPING_SECONDS:
                    await self.ship.forget_requests()
                    await self.forget_changes()
                    tidied = asyncio.get_running_loop().time()
                with suppress(TimeoutError):  # then look all the same, as the other loop does
                    async with asyncio.timeout(_IDLE_LOOK_SECONDS):
                        await self._written.wait()
                self._written.clear()
                while await self.ship():
                    pass
                pause = _RETRY_FIRST
                await asyncio.sleep(self.interval_seconds)
            except MemosError as error:
                level = logging.WARNING if pause == _RETRY_FIRST else logging.DEBUG  # once an outage
                _LOG.log(level, "audit events wait for governance: %s", error.message)
                pause = await self._pause(pause)
            except Exception:
                _LOG.exception("the loop of the audit log failed and goes on")
                pause = await self._pause(_RETRY_MOST)

    async def _pause(self, seconds: float) -> float:
        self._written.set()
        await asyncio.sleep(seconds)
        return min(_RETRY_MOST, 2 * seconds)
