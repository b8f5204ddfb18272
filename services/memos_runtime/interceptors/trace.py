"""Opens the server span of a call, or passes the caller's trace on where nothing is recorded."""

from typing import Any

from memos_kernel.errors import MemosError
from memos_runtime import semconv
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_runtime.telemetry import Telemetry, UnrecordedSpan, enter_span
from memos_wire.errors import CODES
from memos_wire.methods import Method


class Trace:
    """One server span a call, under the name of the service that serves it."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        telemetry = self._telemetry.for_service(method.service)
        if not telemetry.tracing:
            return _passing(proceed)
        name = method.name[1:]
        service, rpc = name.split("/")
        attributes = {semconv.RPC_SYSTEM: "grpc", semconv.RPC_SERVICE: service, semconv.RPC_METHOD: rpc}

        async def traced(call: Call) -> Any:
            with telemetry.span(name, kind="server", attributes=attributes, parent=_traceparent(call)) as span:
                try:
                    answer = await proceed(call)
                except MemosError as error:
                    span.set_attribute(semconv.RPC_STATUS, CODES[type(error)].value[0])
                    span.set_attribute(semconv.MEMOS_REASON, error.reason)
                    raise
                span.set_attribute(semconv.RPC_STATUS, 0)
                return answer

        return traced


def _passing(proceed: Proceed) -> Proceed:
    async def passed(call: Call) -> Any:
        incoming = _traceparent(call)
        if incoming:
            enter_span(UnrecordedSpan(incoming))  # the call's task ends with the call, so nothing is reset
        return await proceed(call)

    return passed


def _traceparent(call: Call) -> str:
    value = call.metadata.get(semconv.TRACEPARENT, "")
    return value if isinstance(value, str) else ""
