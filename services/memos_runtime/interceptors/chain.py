"""Composes the interceptors around each handler, once a method, and gives errors their status on the wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NoReturn, cast

import grpc

from memos_kernel.errors import MemosError
from memos_kernel.ids import Clock
from memos_runtime.context import Call, enter_call
from memos_runtime.gate import Gate
from memos_runtime.interceptors.admission import Admission
from memos_runtime.interceptors.answer_size import AnswerSize
from memos_runtime.interceptors.authentication import ApiKeyAuthentication, PeerAuthentication
from memos_runtime.interceptors.authorization import EdgeAuthorization, GrantAuthorization
from memos_runtime.interceptors.base import Interceptor, Proceed
from memos_runtime.interceptors.deadline import Deadline
from memos_runtime.interceptors.decoding import Decoding
from memos_runtime.interceptors.error_map import ErrorMap
from memos_runtime.interceptors.metrics import CallMetrics
from memos_runtime.interceptors.request_id import RequestId
from memos_runtime.interceptors.required_fields import RequiredFields
from memos_runtime.interceptors.trace import Trace
from memos_runtime.service import EdgePolicy
from memos_runtime.telemetry import Telemetry
from memos_wire.errors import CODES, status_of
from memos_wire.grants import GrantVerifier
from memos_wire.methods import METHODS, Method

_DETAILS = "grpc-status-details-bin"
_HEAR_SECONDS = 2.0
_SILENCE_SECONDS = 0.1
_STATUS_BYTES = 3_072
"""Largest encoded status; it travels next to its message in trailers, which end at 8 KiB."""


class Chain(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """The interceptors of one server.

    What the method table does not know passes untouched: on the public server that is reflection.
    """

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        """Take the interceptors, outermost first."""
        self.interceptors = tuple(interceptors)
        self._handlers: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Return the wrapped handler of a method."""
        name: str = handler_call_details.method
        wrapped = self._handlers.get(name)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        method = METHODS.get(name)
        if handler is None or method is None:
            return handler
        self._handlers[name] = self._wrap(method, handler)
        return self._handlers[name]

    def _wrap(self, method: Method, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        takes, gives = (
            "stream" if streams else "unary" for streams in (handler.request_streaming, handler.response_streaming)
        )
        behavior = getattr(handler, f"{takes}_{gives}")
        proceed = _stream(behavior) if handler.response_streaming else _unary(behavior)
        for interceptor in reversed(self.interceptors):
            proceed = interceptor.wrap(method, proceed)

        async def handle(body: bytes | AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> Any:
            call = Call(method, body, context, dict(context.invocation_metadata() or ()))
            enter_call(call)
            try:
                return await proceed(call)
            except MemosError as error:
                if not isinstance(body, bytes):
                    await _hear_out(body)
                await _abort(context, error)

        make = getattr(grpc, f"{takes}_{gives}_rpc_method_handler")
        # without a deserializer grpc hands over the bytes, and Decoding reads them
        return make(handle, None, handler.response_serializer)


def public_chain(
    *, telemetry: Telemetry, gates: Mapping[str, Gate], max_calls: int, max_message_bytes: int, edge: EdgePolicy
) -> tuple[Interceptor, ...]:
    """Return the interceptors of the public server."""
    return (
        Trace(telemetry),
        CallMetrics(telemetry),
        ErrorMap(),
        AnswerSize(most=max_message_bytes),
        Admission(gates, max_calls=max_calls),
        Deadline(),
        ApiKeyAuthentication(edge),
        Decoding(),
        RequiredFields(),
        EdgeAuthorization(edge),
        RequestId(),
    )


def internal_chain(
    *,
    telemetry: Telemetry,
    gates: Mapping[str, Gate],
    max_message_bytes: int,
    verifier: GrantVerifier,
    clock: Clock,
    peer_token: str | None,
) -> tuple[Interceptor, ...]:
    """Return the interceptors of the internal server; without a token, peers are known by certificate."""
    return (
        Trace(telemetry),
        CallMetrics(telemetry),
        ErrorMap(),
        AnswerSize(most=max_message_bytes),
        Admission(gates),
        Deadline(),
        PeerAuthentication(peer_token),
        Decoding(),
        RequiredFields(),
        GrantAuthorization(verifier, clock=clock),
    )


def _unary(behavior: Callable[[Any, Any], Awaitable[Any]]) -> Proceed:
    async def proceed(call: Call) -> Any:
        return await behavior(call.requests or call.request, call.context)

    return proceed


def _stream(behavior: Callable[[Any, Any], AsyncIterator[Any]]) -> Proceed:
    async def proceed(call: Call) -> None:
        write = call.context.write
        # closed here, so that the handler's clean-up runs before the call ends, whatever ends it
        async with aclosing(cast(Any, behavior(call.requests or call.request, call.context))) as items:
            async for item in items:
                await write(item)

    return proceed


async def _hear_out(requests: AsyncIterator[bytes]) -> None:
    """Let a client that is sending pause before the call ends.

    One of grpc.aio whose write meets the end of the call is told of an internal error, and not of ours (grpc issue
    36066).
    """
    with suppress(TimeoutError, grpc.aio.BaseError, asyncio.InvalidStateError):
        async with asyncio.timeout(_HEAR_SECONDS):
            while True:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    if await anext(requests, None) is None:
                        return


async def _abort(context: grpc.aio.ServicerContext, error: MemosError) -> NoReturn:
    status = status_of(error)
    if status.ByteSize() > _STATUS_BYTES:
        status = status_of(type(error)(error.message[:200], retry_after=error.retry_after))
    await context.abort(CODES[type(error)], status.message, ((_DETAILS, status.SerializeToString()),))
    raise AssertionError("abort raises")
