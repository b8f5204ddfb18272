"""Computes the identity of a public mutation from its request id and body."""

from typing import Any

from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_wire.methods import Method
from memos_wire.requests import request_key_of


class RequestId:
    """Leaves calls without a request id, and methods that change nothing, alone: they pay nothing."""

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        if not method.mutating:
            return proceed
        name = method.name

        async def identified(call: Call) -> Any:
            if getattr(call.request, "request_id", ""):
                call.request_key = request_key_of(call.request, method=name)
            return await proceed(call)

        return identified
