"""Does something again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from memos_kernel.errors import Capacity

_LOG = logging.getLogger(__name__)


async def repeat(work: Callable[[], Awaitable[None]], *, every: timedelta, name: str) -> None:
    """Do the work now and at each interval until cancelled; a failure is logged under its name and does not end it."""
    while True:
        try:
            await work()
        except Capacity as error:  # another service starts or is away, and comes back
            _LOG.warning("%s has to wait: %s Next try in %s.", name, error.message, every)
        except Exception:
            _LOG.exception("%s failed; next try in %s", name, every)
        await asyncio.sleep(every.total_seconds())
