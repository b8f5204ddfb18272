"""Does something again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

_LOG = logging.getLogger(__name__)


async def repeat(work: Callable[[], Awaitable[None]], *, every: timedelta) -> None:
    """Do the work now and at each interval until cancelled; a failure is logged and does not end it."""
    while True:
        try:
            await work()
        except Exception:
            _LOG.exception("periodic work failed; next try in %s", every)
        await asyncio.sleep(every.total_seconds())
