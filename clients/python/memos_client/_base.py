"""What the groups of calls share."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

from collections.abc import AsyncGenerator, Iterable
from typing import Any

from google.protobuf.message import Message as ProtoMessage

from memos_client._checks import check_words, listed
from memos_client._transport import Transport


class Calls:
    """Base of the groups of calls: names and the way to the server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def call(self, request: ProtoMessage, *, timeout: float | None = None) -> Any:
        """Send any request of the contract (`memos_api.v1`) and return its answer.

        Args:
            request: message of a method that gives one answer.
            timeout: seconds for all attempts together; None takes that of the client.

        Raises:
            MemosError: see the tree in `memos_client.MemosError`.
        """
        return await self._transport.call(request, timeout=timeout)

    async def stream(self, request: ProtoMessage, *, timeout: float | None = None) -> AsyncGenerator[Any, None]:
        """Send any request of the contract whose answer is a stream, and yield its messages.

        Args:
            request: message of a streaming method.
            timeout: seconds for the whole stream; None takes that of the server.

        Raises:
            MemosError: see the tree in `memos_client.MemosError`.
        """
        async for answer in self._transport.stream(request, timeout=timeout):
            yield answer

    def _name(self, collection: str, value: str) -> str:
        check_words(**{f"a name of {collection}": value})
        return self._transport.settings.name(collection, value)

    def _cubes(self, values: Iterable[str]) -> list[str]:
        return [self._name("cubes", value) for value in listed("names", values)]

    def _vaults(self, values: Iterable[str]) -> list[str]:
        return [self._name("vaults", value) for value in listed("vaults", values)]


async def pages(calls: Calls, request: Any, field: str) -> AsyncGenerator[Any, None]:
    """Yield the items of every page of a list; `field` is the repeated field that holds them."""
    while True:
        answer = await calls.call(request)
        for item in getattr(answer, field):
            yield item
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token
