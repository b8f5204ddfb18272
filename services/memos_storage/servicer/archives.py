"""ArchiveService: convert, call a use case, convert."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from memos_api.internal.v1 import archive_service_pb2 as pb
from memos_api.internal.v1.archive_service_pb2_grpc import ArchiveServiceServicer
from memos_kernel.cube import MemCube, State
from memos_kernel.embedding import Embedding
from memos_kernel.errors import InvalidField, MemosError
from memos_kernel.moments import micros, moment
from memos_kernel.names import VaultName
from memos_kernel.token_codes import from_bytes, no_tokens
from memos_runtime.context import current_grant, current_trace
from memos_storage.domain.archives import ArchivedRevision
from memos_storage.domain.values import Vector
from memos_storage.servicer import messages
from memos_storage.servicer.messages import vector_of
from memos_storage.usecases.export_cubes import ExportCubes, ExportRequest, Place
from memos_storage.usecases.import_cubes import Adopted, ImportCubes
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.sign_archive import SignArchive
from memos_wire.cubes import cube_from_proto, cube_to_proto
from memos_wire.embeddings import embedding_to_proto
from memos_wire.errors import status_of

_MESSAGE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveUseCases:
    """What the servicer calls."""

    export: ExportCubes
    import_: ImportCubes
    sign: SignArchive


class ArchiveServicer(ArchiveServiceServicer):
    """Serves memos.internal.v1.ArchiveService."""

    def __init__(self, use_cases: ArchiveUseCases) -> None:
        self._do = use_cases

    async def ExportMemCubes(
        self, request: pb.ExportMemCubesRequest, context: Any
    ) -> AsyncIterator[pb.ExportMemCubesResponse]:
        """Stream a page."""
        wanted = messages.cube_filter(request.filter)
        if not request.filter.states:
            wanted = replace(wanted, states=frozenset(State))
        asked = ExportRequest(
            vault=VaultName.parse(request.vault, field="vault"),
            as_of=messages.required_time(request, "as_of", field="as_of"),
            after=_opened(request.after),
            filter=wanted,
            revisions=request.revisions,
            vectors=request.vectors,
            deleted=request.deleted,
        )
        async with aclosing(self._do.export(asked, grant=current_grant())) as parts:
            async for part in parts:
                if isinstance(part, tuple):
                    yield pb.ExportMemCubesResponse(last=_sealed(part))
                    continue
                for message in _messages(part):
                    yield message

    async def ImportMemCubes(self, request: pb.ImportMemCubesRequest, context: Any) -> pb.ImportMemCubesResponse:
        """Store histories."""
        vault = VaultName.parse(request.vault, field="vault")
        given = [_revision(item, f"revisions[{index}]") for index, item in enumerate(request.revisions)]
        mutation = Mutation(grant=current_grant(), trace=current_trace())
        done = await self._do.import_(vault, given, reason=request.reason, mutation=mutation)
        return pb.ImportMemCubesResponse(
            cubes=[_outcome(cube, outcome) for cube, outcome in done.cubes], degraded=done.degraded
        )

    async def SignArchive(self, request: pb.SignArchiveRequest, context: Any) -> pb.SignArchiveResponse:
        """Sign."""
        signature, public_key = self._do.sign(request.statement)
        return pb.SignArchiveResponse(signature=signature, public_key=public_key)


def _messages(revisions: Sequence[ArchivedRevision]) -> Iterator[pb.ExportMemCubesResponse]:
    """Yield revisions in messages that are not too large."""
    message, size = pb.ExportMemCubesResponse(), 0
    for revision in revisions:
        item = _revision_to_proto(revision)
        if message.revisions and size + item.ByteSize() > _MESSAGE_BYTES:
            yield message
            message, size = pb.ExportMemCubesResponse(), 0
        message.revisions.append(item)
        size += item.ByteSize()
    yield message


def _revision_to_proto(revision: ArchivedRevision) -> pb.ArchivedRevision:
    return pb.ArchivedRevision(
        cube=cube_to_proto(revision.cube),
        content_revision=revision.content_revision,
        vectors=[
            pb.ArchivedVector(embedder=vector.embedder, embedding=embedding_to_proto(_embedding(vector)))
            for vector in revision.vectors
        ],
    )


def _embedding(vector: Vector) -> Embedding:
    if vector.tokens is None:
        return Embedding(vector.values.tolist())
    return Embedding(vector.values.tolist(), from_bytes(vector.tokens) if vector.tokens else no_tokens())


def _revision(message: pb.ArchivedRevision, field: str) -> ArchivedRevision:
    return ArchivedRevision(
        cube_from_proto(message.cube, field=f"{field}.cube"),
        message.content_revision,
        tuple(
            vector_of(vector.embedding, embedder=vector.embedder, field=f"{field}.vectors[{index}].embedding")
            for index, vector in enumerate(message.vectors)
        ),
    )


def _outcome(cube: MemCube, outcome: Adopted) -> pb.ImportedCube:
    if isinstance(outcome, MemosError):
        return pb.ImportedCube(name=str(cube.name), error=status_of(outcome))
    return pb.ImportedCube(name=str(cube.name), outcome=pb.ImportOutcome.ValueType(outcome))


def _sealed(place: Place) -> str:
    return f"{micros(place[0])}/{place[1]}"


def _opened(after: str) -> Place | None:
    if not after:
        return None
    time, _, uid = after.partition("/")
    try:
        return moment(int(time)), uid
    except (ValueError, OverflowError) as error:
        raise InvalidField("after is no place that was answered.", field="after") from error
