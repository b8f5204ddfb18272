"""The loop that compares the blob store with the catalogue."""

import asyncio
import logging
from dataclasses import dataclass

from memos_kernel.errors import MemosError
from memos_storage.usecases.sweep_blobs import SweepBlobs

_LOG = logging.getLogger(__name__)
_AWAY_SECONDS = 5.0
_NAMED = 20


@dataclass(slots=True, kw_only=True)
class BlobLoop:
    """Sweeps now and then. While the store is away it asks again soon, so that its health is known."""

    sweep: SweepBlobs
    interval_seconds: float

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self._sweep()
                pause = self.interval_seconds
            except MemosError as error:
                _LOG.warning("the blobs could not be compared with the catalogue: %s", error.message)
                pause = min(_AWAY_SECONDS, self.interval_seconds)
            except Exception:
                _LOG.exception("the comparison of the blobs failed and goes on")
                pause = self.interval_seconds
            await asyncio.sleep(pause)

    async def _sweep(self) -> None:
        drift = await self.sweep()
        if drift.lost:
            names = ", ".join(f"{blob.vault}: {blob.name}" for blob in drift.lost[:_NAMED])
            _LOG.error("the blob store has lost %d blobs, such as %s", len(drift.lost), names)
        if drift.removed:
            _LOG.info("%d blobs without a cube were removed from the store", drift.removed)
