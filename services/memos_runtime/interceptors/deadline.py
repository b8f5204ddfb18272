"""Bounds a call by the earlier of the caller's deadline and the method table's, and stops it when that passes."""

import asyncio
from typing import Any

from memos_kernel.errors import DeadlineExceeded
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_wire.methods import Method


class Deadline:
    """Sets the deadline that calls to other services inherit."""

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        most = method.deadline

        async def bounded(call: Call) -> Any:
            left = call.context.time_remaining()
            seconds = most if left is None else min(left, most)
            if seconds <= 0:
                raise _passed(most)
            call.deadline = asyncio.get_running_loop().time() + seconds
            try:
                async with asyncio.timeout_at(call.deadline) as scope:
                    return await proceed(call)
            except TimeoutError as error:
                if scope.expired():
                    raise _passed(most) from error
                raise  # a timeout of the handler's own

        return bounded


def _passed(most: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The deadline passed; give the call more time, up to {most:g} seconds.", most_seconds=f"{most:g}"
    )
