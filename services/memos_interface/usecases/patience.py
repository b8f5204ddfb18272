"""Waiting for a part that is busy or away, with a grant that is fresh at each attempt."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memos_interface.ports import Delegation
from memos_kernel.errors import Capacity, Draining, StoreFull
from memos_kernel.names import VaultName
from memos_kernel.permission import Action, Principal

T = TypeVar("T")

_PAUSE_SECONDS = 0.5


async def patiently(
    work: Callable[[], Awaitable[T]],
    *,
    delegation: Delegation,
    caller: Principal,
    actions: frozenset[Action],
    vault: VaultName,
) -> T:
    """Do something for the caller, and wait as long as a part is busy: that is how fast it can go.

    Raises:
        StoreFull, Draining: waiting does not help.
        VaultNotFound, PermissionDenied: the caller may not, or may not any more.
    """
    while True:
        try:
            async with delegation.acting(caller, actions, (vault,)):
                return await work()
        except (StoreFull, Draining):
            raise
        except Capacity as error:
            await asyncio.sleep(error.retry_after or _PAUSE_SECONDS)
