"""ArchiveService: convert, call a use case, convert."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime

from memos_api.v1 import archive_service_pb2 as pb
from memos_api.v1 import archive_service_pb2_grpc as pb_grpc
from memos_api.v1.blob_service_pb2 import BlobChunk
from memos_interface.domain.archives import ArchiveFile, ArchiveOptions, ImportTally, PartEnd, Seal
from memos_interface.domain.redaction import Redaction
from memos_interface.usecases.export_vault import Event, ExportVault
from memos_interface.usecases.import_vault import ImportHeader, ImportVault
from memos_interface.wire.search import filter_from_proto
from memos_kernel.checks import check_tags
from memos_kernel.errors import InvalidField, MissingField
from memos_kernel.names import VaultName
from memos_runtime.context import current_principal
from memos_wire.cubes import enums_from_proto
from memos_wire.errors import status_of
from memos_wire.times import to_timestamp


class ArchiveServicer(pb_grpc.ArchiveServiceServicer):
    """Moves vaults between installations."""

    def __init__(self, export: ExportVault, import_: ImportVault) -> None:
        self._export = export
        self._import = import_

    async def ExportVault(
        self, request: pb.ExportVaultRequest, context: object
    ) -> AsyncIterator[pb.ExportVaultResponse]:
        """Stream an archive."""
        events = self._export(
            VaultName.parse(request.vault, field="vault"),
            _options(request.options),
            resume_token=request.resume_token,
            parts=request.parts,
            caller=current_principal(),
        )
        offset = 0
        async with aclosing(events):
            async for event in events:
                yield _answer(event, offset)
                offset = offset + len(event) if isinstance(event, bytes) else 0

    async def ImportVault(
        self, requests: AsyncIterator[pb.ImportVaultRequest], context: object
    ) -> AsyncIterator[pb.ImportVaultResponse]:
        """Take an archive in."""
        header = _header(await anext(requests))
        tallies = self._import(header, _incoming(requests), caller=current_principal())
        async with aclosing(tallies):
            async for tally in tallies:
                yield _tally(tally)


def _options(message: pb.ArchiveOptions) -> ArchiveOptions:
    check_tags(tuple(message.excluded_tags), field="options.excluded_tags")
    return ArchiveOptions(
        filter=filter_from_proto(message.filter, field="options.filter") if message.HasField("filter") else None,
        revisions=not message.without_revisions,
        vectors=not message.without_vectors,
        blobs=not message.without_blobs,
        deleted=message.deleted,
        excluded_tags=frozenset(message.excluded_tags),
        redactions=enums_from_proto(Redaction, message.redactions, field="options.redactions"),
    )


def _answer(event: Event, offset: int) -> pb.ExportVaultResponse:
    match event:
        case datetime():
            return pb.ExportVaultResponse(as_of=to_timestamp(event))
        case ArchiveFile():
            file = pb.ArchiveFile(path=event.path, size_bytes=event.size_bytes, sha256=event.sha256)
            return pb.ExportVaultResponse(file=file)
        case bytes():
            return pb.ExportVaultResponse(chunk=BlobChunk(offset=offset, data=event))
        case PartEnd():
            end = pb.ArchivePart(
                number=event.number,
                sha256=event.sha256,
                resume_token=event.resume_token,
                cubes=event.cubes,
                revisions=event.revisions,
            )
            return pb.ExportVaultResponse(end=end)
        case Seal():
            manifest = pb.ArchiveManifest(
                statement=event.statement, signature=event.signature, public_key=event.public_key
            )
            return pb.ExportVaultResponse(manifest=manifest)


def _header(request: pb.ImportVaultRequest) -> ImportHeader:
    if not request.HasField("header"):
        raise MissingField("The first message has no header; it says what comes.", field="header")
    header, manifest = request.header, request.header.manifest
    return ImportHeader(
        vault=VaultName.parse(header.vault, field="header.vault"),
        seal=Seal(statement=manifest.statement, signature=manifest.signature, public_key=manifest.public_key),
        trusted_key=header.trusted_key,
        permissions=header.permissions,
        first_part=header.first_part,
    )


async def _incoming(requests: AsyncIterator[pb.ImportVaultRequest]) -> AsyncIterator[ArchiveFile | bytes]:
    """Yield files and their bytes.

    Raises:
        InvalidField: a message that is neither, or bytes out of order.
    """
    offset = 0
    async for request in requests:
        match request.WhichOneof("part"):
            case "file":
                offset = 0
                yield ArchiveFile(request.file.path, request.file.size_bytes, request.file.sha256)
            case "chunk":
                if request.chunk.offset != offset:
                    raise InvalidField(
                        f"chunk.offset is {request.chunk.offset}; {offset} bytes came so far.", field="chunk.offset"
                    )
                offset += len(request.chunk.data)
                yield request.chunk.data
            case _:
                raise InvalidField("Only the first message has a header; the others have files.", field="file")


def _tally(tally: ImportTally) -> pb.ImportVaultResponse:
    return pb.ImportVaultResponse(
        part=tally.part,
        created=tally.created,
        extended=tally.extended,
        unchanged=tally.unchanged,
        failures=[pb.ImportFailure(name=one.name, error=status_of(one.error)) for one in tally.failures],
        embedded=tally.embedded,
        roles=tally.roles,
        unknown_principals=[pb.UnknownPrincipal(principal=str(one)) for one in tally.unknown_principals],
        degraded=tally.degraded,
        lineage_left_out=tally.lineage_left_out,
    )
