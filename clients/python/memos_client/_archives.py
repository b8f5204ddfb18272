"""Moving vaults between installations."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from memos_api.v1 import archive_service_pb2 as pb
from memos_api.v1 import memory_service_pb2
from memos_api.v1.blob_service_pb2 import BlobChunk
from memos_client._archive_files import (
    MANIFEST,
    UNFINISHED,
    Incoming,
    ListedFile,
    Signed,
    check,
    chunks,
    drop_after,
    files_of_part,
    write_file,
)
from memos_client._base import Calls
from memos_client._checks import listed
from memos_client._errors import MemosError, error_of_item
from memos_client._filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOptions:
    """What an archive holds of its vault.

    Attributes:
        filter: conditions on the cubes; without states, those in any state.
        revisions: whether what the cubes were before goes with them.
        vectors: whether vectors go with them; otherwise they are computed where it is imported.
        blobs: whether KV caches and adapters are taken.
        deleted: whether deleted texts are taken, which can be undeleted there.
        excluded_tags: sensitivity tags; what has one of them stays.
        redactions: any of `EMAIL`, `PHONE`, `CARD`, `IBAN`, `IP`: replaced in texts, labels and sources by their kind.
            Then neither vectors nor bytes are taken.
    """

    filter: Filter | memory_service_pb2.CubeFilter | None = None
    revisions: bool = True
    vectors: bool = True
    blobs: bool = True
    deleted: bool = False
    excluded_tags: Iterable[str] = ()
    redactions: Iterable[str] = ()

    def to_proto(self) -> pb.ArchiveOptions:
        """Return the message of the contract.

        Raises:
            ValueError: an unknown kind of redaction, or a value of the filter.
            TypeError: a list is one string.
        """
        return pb.ArchiveOptions(
            filter=self.filter.to_proto() if isinstance(self.filter, Filter) else self.filter,
            without_revisions=not self.revisions,
            without_vectors=not self.vectors,
            without_blobs=not self.blobs,
            deleted=self.deleted,
            excluded_tags=listed("excluded_tags", self.excluded_tags),
            redactions=[pb.Redaction.Value(f"REDACTION_{name}") for name in listed("redactions", self.redactions)],
        )


@dataclass(frozen=True, slots=True)
class ExportedPart:
    """A part of an archive that is on disk; `cubes` and `revisions` are those in it."""

    number: int
    cubes: int
    revisions: int


@dataclass(frozen=True, slots=True)
class FailedCube:
    """A cube that was not imported."""

    name: str
    error: MemosError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPart:
    """What became of the cubes of a part.

    Attributes:
        number: of the part; -1 before the first one, and the number of parts at the end.
        created, extended, unchanged: cubes that are new, have newer revisions than before, were there already.
        failures: cubes that were not imported.
        embedded: texts whose vectors were computed.
        roles: at the end: roles that were given.
        unknown_principals: at the end: principals of the archive who have no key there, and got no role.
        lineage_left_out: edges that were not recorded, of cubes that were not imported or plans of others here.
        degraded: whether the vector index was away.
    """

    number: int
    created: int = 0
    extended: int = 0
    unchanged: int = 0
    failures: tuple[FailedCube, ...] = ()
    embedded: int = 0
    roles: int = 0
    unknown_principals: tuple[str, ...] = ()
    lineage_left_out: int = 0
    degraded: bool = False


class ArchiveCalls(Calls):
    """ArchiveService. Vaults are named in full, or by their last part."""

    async def export_vault(
        self, vault: str, directory: Path, *, options: ArchiveOptions | None = None
    ) -> AsyncGenerator[ExportedPart, None]:
        """Write a vault as an archive into a directory, and yield each part once it is on disk.

        The directory is made, or is that of an export of the same vault with the same options that broke off, which
        goes on behind its last part. The archive is complete when the generator ends.

        Args:
            vault: vault to export.
            directory: where to write.
            options: what to take; None takes all that is not deleted.

        Raises:
            MemosError: NotFound (the vault), PermissionDenied, ServerFault (bytes that are damaged), Unavailable.
            FileExistsError: the directory holds something else.
            OSError: it cannot be written.
        """
        request = pb.ExportVaultRequest(
            vault=self._name("vaults", vault), options=(options or ArchiveOptions()).to_proto()
        )
        parts = await asyncio.to_thread(_begun, directory, request)
        incoming: Incoming | None = None
        try:
            async with aclosing(self.stream(request)) as answers:
                async for answer in answers:
                    kind = answer.WhichOneof("part")
                    if kind == "chunk" and incoming is not None:
                        await asyncio.to_thread(incoming.add, answer.chunk.data)
                        continue
                    if incoming is not None:
                        await asyncio.to_thread(incoming.finish)
                        incoming = None
                    if kind == "file":
                        file = ListedFile(answer.file.path, answer.file.size_bytes, answer.file.sha256)
                        incoming = await asyncio.to_thread(Incoming, directory, file)
                    elif kind == "end":
                        parts.append(answer.end.sha256)
                        await asyncio.to_thread(_note, directory, request, answer.end.resume_token, parts)
                        yield ExportedPart(answer.end.number, answer.end.cubes, answer.end.revisions)
                    elif kind == "manifest":
                        made = answer.manifest
                        signed = Signed(made.statement, made.signature, made.public_key)
                        await asyncio.to_thread(signed.write, directory)
        finally:
            if incoming is not None:
                incoming.discard()

    async def import_vault(
        self,
        directory: Path,
        vault: str,
        *,
        trusted_key: str = "",
        permissions: bool = False,
        first_part: int = 0,
        compare: bool = True,
    ) -> AsyncGenerator[ImportedPart, None]:
        """Take an archive into a vault, and yield what became of each part once it is durable.

        Every file is compared with its hash before the first one is sent. Done again, it changes nothing more.

        Args:
            directory: the archive.
            vault: vault to import into.
            trusted_key: fingerprint of the installation that made it, or its first 16 digits; empty trusts only the
                installation itself.
            permissions: whether the principals of the archive get the roles that they had.
            first_part: number of the first part to send, to go on with an import that broke off.
            compare: False leaves the comparison out, for a caller who has just made it.

        Raises:
            MemosError: RequestError (the archive is damaged, or signed by somebody who is not trusted), NotFound (the
                vault), PermissionDenied, Overloaded (the disk there is full), Unavailable.
            OSError: it cannot be read.
        """
        signed = await asyncio.to_thread(Signed.read, directory)
        if compare:
            await asyncio.to_thread(check, directory, signed)
        header = pb.ImportVaultHeader(
            vault=self._name("vaults", vault),
            manifest=pb.ArchiveManifest(
                statement=signed.statement, signature=signed.signature, public_key=signed.public_key
            ),
            trusted_key=trusted_key,
            permissions=permissions,
            first_part=first_part,
        )
        taken = asyncio.Semaphore(0)
        async with aclosing(self._transport.exchange(_requests(header, directory, signed, taken))) as answers:
            async for answer in answers:
                taken.release()
                yield _imported(answer)


def _begun(directory: Path, request: pb.ExportVaultRequest) -> list[str]:
    """Make the directory, or put into the request how far its export has come; return the parts that are complete."""
    if (directory / MANIFEST).exists():
        (directory / UNFINISHED).unlink(missing_ok=True)  # if it was cut off between the two
        raise FileExistsError(f"{directory} holds a complete archive")
    if not (directory / UNFINISHED).exists():
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise FileExistsError(f"{directory} is not empty")
        _note(directory, request, "", [])
        return []
    said = json.loads((directory / UNFINISHED).read_bytes())
    before = pb.ExportVaultRequest.FromString(b64decode(said["request"]))
    if before != request:
        raise FileExistsError(f"{directory} holds an unfinished export of {before.vault} with other options")
    parts = [str(part) for part in said["parts"]]
    drop_after(directory, len(parts))
    request.resume_token = said["resume_token"]
    request.parts.extend(parts)
    return parts


def _note(directory: Path, request: pb.ExportVaultRequest, token: str, parts: list[str]) -> None:
    """Write down how far an export has come."""
    asked = pb.ExportVaultRequest(vault=request.vault, options=request.options)
    said = {"request": b64encode(asked.SerializeToString()).decode(), "resume_token": token, "parts": parts}
    write_file(directory / UNFINISHED, json.dumps(said).encode())


async def _requests(
    header: pb.ImportVaultHeader, directory: Path, signed: Signed, taken: asyncio.Semaphore
) -> AsyncIterator[pb.ImportVaultRequest]:
    """Yield the header and the parts, each once what came before it was answered: an error meets nobody who sends."""
    yield pb.ImportVaultRequest(header=header)
    for number in range(header.first_part, len(signed.said["parts"])):
        await taken.acquire()
        for file in await asyncio.to_thread(files_of_part, directory, signed, number):
            yield pb.ImportVaultRequest(
                file=pb.ArchiveFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)
            )
            offset, source = 0, chunks(directory, file)
            while data := await asyncio.to_thread(next, source, b""):
                yield pb.ImportVaultRequest(chunk=BlobChunk(offset=offset, data=data))
                offset += len(data)


def _imported(answer: pb.ImportVaultResponse) -> ImportedPart:
    return ImportedPart(
        number=answer.part,
        created=answer.created,
        extended=answer.extended,
        unchanged=answer.unchanged,
        failures=tuple(FailedCube(one.name, error_of_item(one.error)) for one in answer.failures),
        embedded=answer.embedded,
        roles=answer.roles,
        unknown_principals=tuple(one.principal for one in answer.unknown_principals),
        lineage_left_out=answer.lineage_left_out,
        degraded=answer.degraded,
    )
