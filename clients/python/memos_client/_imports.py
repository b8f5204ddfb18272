"""Importing many memories."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice

from memos_api.v1 import memcube_pb2
from memos_api.v1 import memory_service_pb2 as pb
from memos_client._base import Calls
from memos_client._errors import LimitExceeded, MemosError, error_of_item
from memos_client._filters import semantic_type, timestamp

_BATCH = 256
_MESSAGE_BYTES = 4 * 1024 * 1024
_FRAME_BYTES = 1024
"""More than what is around one item in a message."""
_BATCH_BYTES = _MESSAGE_BYTES * 3 // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """One memory to import.

    Attributes:
        text: the text.
        name: a name of your own for the cube; one is made if it is left out.
        vector: vector of the text, float32, of length 1, by the embedder that the import names; None has it computed.
        labels, semantic_type, valid_from, valid_until, expire_time, priority: as for `create`.
        speaker, session, message_id, time: where and when it was said.
    """

    text: str
    name: str = ""
    vector: Sequence[float] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    semantic_type: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    expire_time: datetime | None = None
    priority: int = 0
    speaker: str = ""
    session: str = ""
    message_id: str = ""
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one item: the name of the cube that holds it, or the error. `index` is its number, from 0."""

    index: int
    name: str = ""
    created: bool = False
    error: MemosError | None = None


@dataclass(frozen=True, slots=True)
class ImportAnswer:
    """Results of items, in order. `resume_token` goes on behind them; `next` is the number of the next item.

    The first answer has no results, and the id of the embedder that runs there.
    """

    results: tuple[Imported, ...]
    next: int
    resume_token: str
    degraded: bool
    embedder: str = ""


class ImportCalls(Calls):
    """MemoryService/ImportMemories. Vaults and cubes are named in full, or by their last part."""

    async def import_memories(
        self, vault: str, items: Iterable[NewMemory], *, embedder: str = "", resume_token: str = ""
    ) -> AsyncGenerator[ImportAnswer, None]:
        """Store many memories, and yield what became of each batch once it is durable.

        Items are taken from `items` as fast as they are stored. If it breaks off, call again with the same items and
        the newest resume token, and what was answered is left out; without a token nothing is stored twice either.

        Args:
            vault: vault to write to.
            items: what to store.
            embedder: id of the embedder that made the vectors; empty if the items have none.
            resume_token: token of an answer.

        Raises:
            MemosError: RequestError (another embedder than the one that runs), LimitExceeded (an item does not fit into
                a message; `.field` says which), NotFound (the vault), Unavailable.
            ValueError: an item has a value of the wrong type.
        """
        begin: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        header = pb.ImportHeader(vault=self._name("vaults", vault), embedder=embedder, resume_token=resume_token)
        answers = self._transport.exchange(self._requests(header, items, begin))
        try:
            async with aclosing(answers):
                async for answer in answers:
                    if not begin.done():
                        begin.set_result(answer.start)
                    yield _answer(answer)
        finally:
            begin.cancel()

    async def _requests(
        self, header: pb.ImportHeader, items: Iterable[NewMemory], begin: "asyncio.Future[int]"
    ) -> AsyncIterator[pb.ImportMemoriesRequest]:
        yield pb.ImportMemoriesRequest(header=header)
        # In threads: to read the items may take long, and may need this very client.
        batches = _batches(map(self._message, count(), items), await begin)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            yield pb.ImportMemoriesRequest(batch=batch)

    def _message(self, index: int, item: NewMemory) -> pb.ImportItem:
        try:
            made = self._item(item)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ValueError(f"items[{index}] cannot be sent: {error}") from error
        if (size := made.ByteSize()) > _MESSAGE_BYTES - _FRAME_BYTES:
            raise LimitExceeded(
                f"items[{index}] has {size} bytes, and a message at most {_MESSAGE_BYTES}; split it.",
                reason="LIMIT_EXCEEDED",
                metadata={"field": f"items[{index}]", "limit": str(_MESSAGE_BYTES), "unit": "bytes"},
            )
        return made

    def _item(self, item: NewMemory) -> pb.ImportItem:
        cube = memcube_pb2.MemCube(
            name=self._name("cubes", item.name),
            labels=item.labels,
            semantic_type=semantic_type(item.semantic_type),
            valid_from=timestamp(item.valid_from),
            valid_until=timestamp(item.valid_until),
            expire_time=timestamp(item.expire_time),
            priority=item.priority,
            plaintext=memcube_pb2.PlaintextPayload(text=item.text),
        )
        if item.speaker or item.session or item.message_id or item.time is not None:
            cube.sources.add(
                speaker=item.speaker, session=item.session, message_id=item.message_id, event_time=timestamp(item.time)
            )
        # Of an array, the message would read each element as an object of its own kind.
        whole = getattr(item.vector, "tolist", None)
        return pb.ImportItem(cube=cube, embedding=item.vector if whole is None else whole())


def _batches(items: Iterable[pb.ImportItem], begin: int) -> Iterator[pb.ImportBatch]:
    """Yield items from a place on, in messages that are not too large."""
    batch, size = pb.ImportBatch(), 0
    for item in islice(items, begin, None):
        own = item.ByteSize()
        if batch.items and (len(batch.items) == _BATCH or size + own > _BATCH_BYTES):
            yield batch
            batch, size = pb.ImportBatch(), 0
        batch.items.append(item)
        size += own
    if batch.items:
        yield batch


def _answer(answer: pb.ImportMemoriesResponse) -> ImportAnswer:
    results = tuple(_imported(answer.start + number, result) for number, result in enumerate(answer.results))
    return ImportAnswer(results, answer.start + len(results), answer.resume_token, answer.degraded, answer.embedder)


def _imported(index: int, result: pb.ImportResult) -> Imported:
    if result.HasField("error"):
        return Imported(index, error=error_of_item(result.error))
    return Imported(index, result.name, result.created)
