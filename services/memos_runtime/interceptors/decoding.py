"""Reads the request message, after the caller is known: bytes of strangers are not looked at."""

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from memos_kernel.errors import InvalidField
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_wire.methods import Method


class Decoding:
    """Refuses bytes that are not the method's request; grpc itself would call that an internal error."""

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        kind = _request_class(method)
        refusal = (
            f"The request is not a {kind.DESCRIPTOR.full_name}; generate the client from this server's contract, "
            "and write strings as UTF-8."
        )

        async def decoded(call: Call) -> Any:
            try:
                call.request = kind.FromString(call.body)
            except DecodeError as error:
                raise InvalidField(refusal) from error
            return await proceed(call)

        return decoded


def _request_class(method: Method) -> type[Message]:
    service, _, name = method.name[1:].partition("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    return GetMessageClass(descriptor.input_type)
