"""The loop that compares the blob store with the catalogue."""

import asyncio
import logging
import math
from dataclasses import dataclass

from memos_kernel.errors import MemosError
from memos_storage.ports import BlobStore
from memos_storage.usecases.sweep_blobs import SweepBlobs

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 5.0
_NAMED = 20


@dataclass(slots=True, kw_only=True)
class BlobLoop:
    """Sweeps now and then, and at once when the store was away: only who asks it again knows that it is back."""

    sweep: SweepBlobs
    blobs: BlobStore
    interval_seconds: float

    async def run(self) -> None:
        """Run until cancelled."""
        loop, swept = asyncio.get_running_loop(), -math.inf
        while True:
            try:
                if loop.time() - swept >= self.interval_seconds or not self.blobs.healthy:
                    await self._sweep()
                    swept = loop.time()
            except MemosError as error:
                _LOG.warning("the blobs could not be compared with the catalogue: %s", error.message)
            except Exception:
                _LOG.exception("the comparison of the blobs failed and goes on")
                swept = loop.time()
            await asyncio.sleep(min(_LOOK_SECONDS, self.interval_seconds))

    async def _sweep(self) -> None:
        drift = await self.sweep()
        if drift.lost:
            names = ", ".join(f"{blob.vault}: {blob.name}" for blob in drift.lost[:_NAMED])
            _LOG.error("the blob store has lost %d blobs, such as %s", len(drift.lost), names)
        if drift.removed:
            _LOG.info("%d blobs without a cube were removed from the store", drift.removed)
