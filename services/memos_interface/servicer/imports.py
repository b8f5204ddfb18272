"""Imports between the domain and the wire."""

import base64
import json
from collections.abc import AsyncIterator

from memos_api.v1 import memcube_pb2
from memos_api.v1 import memory_service_pb2 as pb
from memos_interface.domain.imports import ImportItem, ImportPage
from memos_interface.servicer.convert import new_cube_from_proto
from memos_kernel.errors import InvalidField, MemosError, PageTokenMismatch
from memos_kernel.ids import IdFactory
from memos_kernel.names import VaultName
from memos_wire.errors import attempt, status_of


async def batches_from_proto(
    requests: AsyncIterator[pb.ImportMemoriesRequest], *, vault: VaultName, new_id: IdFactory
) -> AsyncIterator[list[ImportItem | MemosError]]:
    """Yield the batches that follow the header; an item that cannot be read is its error.

    Raises:
        InvalidField: a message that is no batch.
    """
    async for request in requests:
        if not request.HasField("batch"):
            raise InvalidField("Only the first message has a header; the others have batches.", field="batch")
        yield [attempt(_item, item, vault, new_id) for item in request.batch.items]


def page_to_proto(page: ImportPage, vault: VaultName) -> pb.ImportMemoriesResponse:
    """Return the answer of a batch."""
    results = [
        pb.ImportResult(error=status_of(outcome.error))
        if outcome.error is not None
        else pb.ImportResult(name=outcome.name, created=outcome.created)
        for outcome in page.outcomes
    ]
    token = _token(vault, page.start + len(page.outcomes))
    return pb.ImportMemoriesResponse(
        start=page.start, results=results, resume_token=token, degraded=page.degraded, embedder=page.embedder
    )


def open_token(token: str, vault: VaultName) -> int:
    """Return the number of the item that comes next. A token is no secret: it only says how far its owner came.

    Raises:
        PageTokenMismatch: it is none, or of another vault.
    """
    if not token:
        return 0
    try:
        said = json.loads(base64.urlsafe_b64decode(token.encode()))
        if said["vault"] == str(vault) and isinstance(said["next"], int) and 0 <= said["next"] < 2**62:
            return int(said["next"])
    except (ValueError, TypeError, KeyError):
        pass
    raise PageTokenMismatch(
        "header.resume_token is not of an import into this vault; begin anew without it.", field="header.resume_token"
    )


def _token(vault: VaultName, place: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"vault": str(vault), "next": place}).encode()).decode()


def _item(item: pb.ImportItem, vault: VaultName, new_id: IdFactory) -> ImportItem:
    message = memcube_pb2.MemCube()
    message.CopyFrom(item.cube)
    message.vault = message.vault or str(vault)
    return ImportItem(new_cube_from_proto(message, new_id=new_id), tuple(item.embedding))
