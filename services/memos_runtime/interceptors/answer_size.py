"""Refuses answers that do not fit into a message, where the reason can still be told."""

from typing import Any

from google.protobuf.message import Message

from memos_kernel.errors import LimitExceeded
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_wire.methods import Method


class AnswerSize:
    """Compares unary answers with the largest message; grpc would end the call at the other side, without a word."""

    def __init__(self, *, most: int) -> None:
        """Take the bytes of the largest message."""
        self._most = most

    def wrap(self, _: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        most = self._most

        async def measured(call: Call) -> Any:
            answer: Message | None = await proceed(call)
            if answer is not None and (size := answer.ByteSize()) > most:
                raise LimitExceeded(
                    f"The answer has {size} bytes, and a message at most {most}; ask for less, such as a smaller page.",
                    limit=str(most),
                    unit="bytes",
                )
            return answer

        return measured
