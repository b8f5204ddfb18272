"""Files that are of use for a while only."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from memos_kernel.ids import Clock

_SWEEP_SECONDS = 60.0

_log = logging.getLogger(__name__)


class OldFiles:
    """Removes what nobody has written to for a while from a folder, so early that it is gone when the limit says so."""

    def __init__(self, folder: Path, *, keep: timedelta, clock: Clock) -> None:
        """Take the folder, which is made, and for how long a file is kept."""
        self._folder = folder
        self._keep = keep
        self._clock = clock
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        await self.sweep()
        self._sweeper = asyncio.create_task(self._sweep_now_and_then(), name="old_files.sweep")

    async def close(self) -> None:
        """Stop; what is not old stays."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper

    async def sweep(self) -> None:
        """Remove what is old."""
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        long_ago = self._clock.now().timestamp() - self._keep.total_seconds() + 2 * _SWEEP_SECONDS
        for path in self._folder.iterdir():
            if path.stat().st_mtime < long_ago:
                path.unlink(missing_ok=True)

    async def _sweep_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self.sweep()
            except OSError:  # a disk that fails now may not fail the next time
                _log.exception("old files cannot be removed")
