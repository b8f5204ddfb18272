"""Reads request messages, after the caller is known: bytes of strangers are not looked at."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from memos_kernel import limits
from memos_kernel.errors import DeadlineExceeded, InvalidField, MissingField
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_wire.methods import Method

_Decode = Callable[[bytes], Message]


class Decoding:
    """Refuses bytes that are not the method's request; grpc itself would call that an internal error."""

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        descriptor = _descriptor(method)
        decode = _decoder(descriptor)

        async def decoded(call: Call) -> Any:
            assert isinstance(call.body, bytes)
            call.request = decode(call.body)
            return await proceed(call)

        async def decoded_stream(call: Call) -> Any:
            assert not isinstance(call.body, bytes)
            messages = _messages(call.body, decode)
            first = await anext(messages, None)
            if first is None:
                raise MissingField(f"{method.name} got no message; send at least the first.")
            call.request, call.requests = first, _together(first, messages)
            return await proceed(call)

        return decoded_stream if descriptor.client_streaming else decoded


async def _messages(stream: AsyncIterator[bytes], decode: _Decode) -> AsyncIterator[Message]:
    """Return the messages of a stream; one that is silent would hold its place at the edge for long."""
    seconds = limits.STREAM_SILENCE.total_seconds()
    while True:
        try:
            async with asyncio.timeout(seconds) as scope:
                body = await anext(stream, None)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlineExceeded(
                f"The stream was silent for {seconds:g} seconds; send on, or call again.", most_seconds=f"{seconds:g}"
            ) from error
        if body is None:
            return
        yield decode(body)


async def _together(first: Message, others: AsyncIterator[Message]) -> AsyncIterator[Message]:
    yield first
    async for other in others:
        yield other


def _decoder(descriptor: MethodDescriptor) -> _Decode:
    kind = GetMessageClass(descriptor.input_type)
    refusal = (
        f"The request is not a {kind.DESCRIPTOR.full_name}; generate the client from this server's contract, "
        "and write strings as UTF-8."
    )

    def decode(body: bytes) -> Message:
        try:
            return kind.FromString(body)
        except DecodeError as error:
            raise InvalidField(refusal) from error

    return decode


def _descriptor(method: Method) -> MethodDescriptor:
    service, _, name = method.name[1:].partition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
