"""Refuses calls that cannot be served now: the service starts or drains, or the public edge is full."""

from collections.abc import Mapping
from typing import Any

from memos_kernel.errors import Overloaded
from memos_runtime.context import Call
from memos_runtime.gate import Gate
from memos_runtime.interceptors.base import Proceed
from memos_wire.methods import Method

_RETRY_SECONDS = 1.0


class Admission:
    """Gates of the services, and a limit of calls at the same time.

    Only the public edge has a limit: nested calls that waited for each other's places would never end.
    """

    def __init__(self, gates: Mapping[str, Gate], *, max_calls: int | None = None) -> None:
        self._gates = gates
        self._max_calls = max_calls
        self._running = 0

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        gate = self._gates[method.service]
        limit = self._max_calls

        async def gated(call: Call) -> Any:
            gate.enter()
            try:
                return await proceed(call)
            finally:
                gate.leave()

        async def counted(call: Call) -> Any:
            if limit is not None and self._running >= limit:
                raise Overloaded(f"{limit} calls run already; try again.", retry_after=_RETRY_SECONDS, limit=str(limit))
            self._running += 1
            try:
                return await gated(call)
            finally:
                self._running -= 1

        return gated if limit is None else counted
