"""Collects audit events of reads and writes them to the ledger within a second, without delaying the reads."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from memos_interface.domain.audit import AuditEvent
from memos_interface.ports import AuditLog
from memos_kernel.errors import MemosError
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import PrincipalName
from memos_runtime.context import spawn

_BATCH = 1_000
"""Most events in one call of AppendAudit."""

_TOLD_EVERY = timedelta(minutes=1)
"""Time between two lines of the log about events that were lost."""

_log = logging.getLogger(__name__)


class AuditBuffer:
    """The port AuditTrail.

    An event that cannot be written stays in the buffer and is sent again; its id keeps it single. What does
    not fit into a full buffer, or is left when the service closes, is lost: counted at once, and logged as a sum
    from time to time, so that reads do not write a line each.
    """

    def __init__(
        self,
        log: AuditLog,
        *,
        clock: Clock,
        new_id: IdFactory,
        trace_id: Callable[[], str],
        count_lost: Callable[[int], None],
        interval: float,
        capacity: int,
    ) -> None:
        """Take the ledger; `interval` is the seconds between two writes, `capacity` the most events that wait."""
        self._ledger = log
        self._clock = clock
        self._new_id = new_id
        self._trace_id = trace_id
        self._count_lost = count_lost
        self._interval = interval
        self._capacity = capacity
        self._waiting: deque[AuditEvent] = deque()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._untold = 0
        self._told: datetime | None = None

    @property
    def healthy(self) -> bool:
        """Whether the newest write went well and the next one will come."""
        return not self._failing and (self._task is None or not self._task.done())

    def note(self, principal: PrincipalName, action: str, resources: Iterable[str]) -> None:
        """See the port."""
        now, trace_id = self._clock.now(), self._trace_id()
        for resource in resources:
            if len(self._waiting) >= self._capacity:
                self._lose(1)
                continue
            self._waiting.append(
                AuditEvent(
                    id=self._new_id(),
                    time=now,
                    principal=principal,
                    action=action,
                    resource=resource,
                    trace_id=trace_id,
                )
            )

    async def start(self) -> None:
        """Begin to write in the background."""
        if self._task is None:
            self._task = spawn(self._run(), name="interface-audit")

    async def close(self) -> None:
        """Write what waits and stop; what cannot be written is lost."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.flush()
        if self._waiting:
            self._lose(len(self._waiting))
            self._waiting.clear()
        self._tell()

    async def flush(self) -> None:
        """Write what waits; stop at the first failure."""
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(_BATCH, len(self._waiting)))]
            try:
                await self._ledger.append(batch)
            except MemosError as error:
                if not self._failing:
                    _log.warning("audit events wait: the ledger refuses them (%s)", error.reason)
                self._failing = True
                return
            self._failing = False
            for _ in batch:
                self._waiting.popleft()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.flush()
            if self._told is None or self._clock.now() - self._told >= _TOLD_EVERY:
                self._tell()

    def _lose(self, count: int) -> None:
        self._count_lost(count)
        self._untold += count

    def _tell(self) -> None:
        if self._untold:
            _log.error("audit events lost: %d", self._untold)
            self._untold, self._told = 0, self._clock.now()
