"""Storage's ArchiveService and the way into its blobs, as archives need them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime

from memos_api.internal.v1 import archive_service_pb2 as pb
from memos_api.internal.v1.archive_service_pb2_grpc import ArchiveServiceStub
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_interface.domain.archives import ArchivedRevision, ArchivedVector, ArchiveOptions, Seal
from memos_interface.ports import Adopted, AdoptedBatch
from memos_interface.wire.search import filter_to_proto
from memos_kernel.cube import BlobRef
from memos_kernel.embedding import Embedding
from memos_kernel.names import VaultName
from memos_wire import signatures
from memos_wire.blobs import upload_requests
from memos_wire.cubes import blob_from_proto, cube_from_proto, cube_to_proto
from memos_wire.embeddings import embedding_to_proto, token_codes
from memos_wire.errors import error_of
from memos_wire.times import to_timestamp


class ArchiveClient:
    """Implements `ports.Histories` and `ports.Notary`."""

    def __init__(self, stub: ArchiveServiceStub) -> None:
        self._stub = stub

    async def page(
        self, vault: VaultName, options: ArchiveOptions, *, as_of: datetime, after: str
    ) -> AsyncGenerator[Sequence[ArchivedRevision] | str, None]:
        """See the port."""
        asked = pb.ExportMemCubesRequest(
            vault=str(vault),
            as_of=to_timestamp(as_of),
            after=after,
            filter=filter_to_proto(options.filter),
            revisions=options.revisions,
            vectors=options.of_vectors,
            deleted=options.deleted,
        )
        async with aclosing(self._stub.ExportMemCubes(asked)) as answers:
            async for answer in answers:
                if answer.revisions:
                    yield [_revision(one) for one in answer.revisions]
                if answer.last:
                    yield answer.last

    async def adopt(self, vault: VaultName, revisions: Sequence[ArchivedRevision], *, reason: str) -> AdoptedBatch:
        """See the port."""
        asked = pb.ImportMemCubesRequest(
            vault=str(vault), revisions=[_revision_to_proto(one) for one in revisions], reason=reason
        )
        answer = await self._stub.ImportMemCubes(asked)
        return AdoptedBatch(
            tuple(
                Adopted(
                    one.name,
                    created=one.outcome == pb.IMPORT_OUTCOME_CREATED,
                    extended=one.outcome == pb.IMPORT_OUTCOME_EXTENDED,
                    error=error_of(one.error) if one.HasField("error") else None,
                )
                for one in answer.cubes
            ),
            degraded=answer.degraded,
        )

    async def sign(self, statement: bytes) -> Seal:
        """See the port."""
        answer = await self._stub.SignArchive(pb.SignArchiveRequest(statement=statement))
        return Seal(statement=statement, signature=answer.signature, public_key=answer.public_key)

    def fits(self, seal: Seal) -> bool:
        """See the port."""
        return signatures.fits(seal.statement, signature=seal.signature, public_key=seal.public_key)


class BlobUploader:
    """Implements `ports.BlobWriter`."""

    def __init__(self, stub: BlobServiceStub) -> None:
        self._stub = stub

    async def write(self, vault: VaultName, blob: BlobRef, chunks: AsyncIterator[bytes]) -> BlobRef:
        """See the port."""
        answer = await self._stub.UploadBlob(upload_requests(vault, blob, chunks))
        return blob_from_proto(answer.response.blob)


def _revision(message: pb.ArchivedRevision) -> ArchivedRevision:
    vectors = tuple(
        ArchivedVector(one.embedder, one.embedding.values, token_codes(one.embedding)) for one in message.vectors
    )
    return ArchivedRevision(cube_from_proto(message.cube), message.content_revision, vectors)


def _revision_to_proto(revision: ArchivedRevision) -> pb.ArchivedRevision:
    return pb.ArchivedRevision(
        cube=cube_to_proto(revision.cube),
        content_revision=revision.content_revision,
        vectors=[
            pb.ArchivedVector(embedder=one.embedder, embedding=embedding_to_proto(Embedding(one.values, one.tokens)))
            for one in revision.vectors
        ],
    )
