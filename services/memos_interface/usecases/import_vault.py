"""Takes an archive into a vault."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from memos_interface.domain import audit
from memos_interface.domain.archives import (
    BLOB_SUFFIX,
    LIST,
    LIST_BYTES,
    REVISIONS,
    TABLE_BYTES,
    ArchivedRevision,
    ArchivedVector,
    ArchiveFile,
    ImportFailure,
    ImportTally,
    Manifest,
    Seal,
    around,
    files_of,
    histories,
    invalid,
    manifest_of,
    moved,
    moved_graph,
    part_directory,
)
from memos_interface.ports import (
    ArchiveTables,
    AuditTrail,
    BlobWriter,
    Delegation,
    Embedder,
    Histories,
    Lineage,
    Notary,
    VaultDirectory,
)
from memos_interface.usecases.archive_files import Incoming, IncomingFiles
from memos_interface.usecases.patience import patiently
from memos_kernel import limits
from memos_kernel.cube import Plaintext
from memos_kernel.embedding import embedded_text
from memos_kernel.errors import ArchiveInvalid, InvalidField, MissingField, NotFound, Precondition, RequestError
from memos_kernel.lineage import Graph
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Principal, Role

IMPORT_ACTIONS = frozenset(
    {
        Action.VAULT_ADMIN,
        Action.VAULT_READ,
        Action.CUBE_READ,
        Action.CUBE_WRITE,
        Action.MODEL_USE,
        Action.LINEAGE_WRITE,
    }
)

_MESSAGE_BYTES = 3 * 1024 * 1024
_HEADER_BYTES = 4 * 1024
_LINEAGE_ITEMS = 500
_TEXTS = 64
_KEY = re.compile(r"[0-9a-f]{16,64}")
_WHOSE = b'{"form":"memos.archive-key.v1"}'

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportHeader:
    """What an import is about to bring; see the contract's ImportVaultHeader."""

    vault: VaultName
    seal: Seal
    trusted_key: str = ""
    permissions: bool = False
    first_part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportVault:
    """Applies part after part, each once all of it has come and fits the manifest."""

    histories: Histories
    blobs: BlobWriter
    lineage: Lineage
    vaults: VaultDirectory
    notary: Notary
    tables: ArchiveTables
    embedder: Embedder
    delegation: Delegation
    audit_trail: AuditTrail

    async def __call__(
        self, header: ImportHeader, incoming: Incoming, *, caller: Principal
    ) -> AsyncGenerator[ImportTally, None]:
        """Yield that the archive is taken, then what became of each part, and at the end of the roles.

        Raises:
            ArchiveInvalid: nobody who is trusted has signed it, or a file is missing, cut off or changed.
            InvalidField: a value of the header.
            VaultNotFound, PermissionDenied, StoreFull: from the services behind; what was answered is stored.
        """
        manifest = await self._taken(header, caller)
        self.audit_trail.note(caller.name, audit.IMPORT, [str(header.vault)])
        yield ImportTally(-1)
        files = IncomingFiles(incoming)
        reason = f"archive of {manifest.vault} as of {manifest.as_of}, key {header.seal.key[:16]}"
        for number in range(header.first_part, len(manifest.parts)):
            tally = ImportTally(number)
            await self._part(tally, files, manifest.parts[number], header.vault, reason, caller)
            yield tally
        await files.end()
        yield await self._given(manifest, header, caller)

    async def _taken(self, header: ImportHeader, caller: Principal) -> Manifest:
        """Return the manifest, if somebody has signed it who is trusted."""
        seal = header.seal
        if not seal.statement:
            raise MissingField("header.manifest has no statement.", field="header.manifest.statement")
        if header.trusted_key and not _KEY.fullmatch(header.trusted_key):
            raise InvalidField(
                "header.trusted_key is no fingerprint; give 16 to 64 lower-case hex digits.", field="header.trusted_key"
            )
        if not self.notary.fits(seal):
            raise invalid("manifest.json", "does not fit its signature")
        manifest = manifest_of(seal.statement)
        if not header.trusted_key:
            async with self.delegation.acting(caller, IMPORT_ACTIONS, (header.vault,)):
                own = (await self.notary.sign(_WHOSE)).key
        if not seal.key.startswith(header.trusted_key or own):
            raise ArchiveInvalid(
                f"The archive is signed by the installation {seal.key[:16]}; if you know it, name it as trusted_key.",
                file="manifest.json",
                key=seal.key,
            )
        if not 0 <= header.first_part <= len(manifest.parts):
            raise InvalidField(
                f"header.first_part is {header.first_part}; the archive has {len(manifest.parts)} parts.",
                field="header.first_part",
            )
        return manifest

    async def _part(
        self, tally: ImportTally, files: IncomingFiles, sha256: str, vault: VaultName, reason: str, caller: Principal
    ) -> None:
        directory = part_directory(tally.part)
        listed = await files.expect(f"{directory}/{LIST}")
        if listed.sha256 != sha256:
            raise invalid(listed.path, "is not the one that the manifest names")
        wanted, revisions = files_of(await files.read(listed, most=LIST_BYTES), number=tally.part)
        tables = [file for file in wanted if not file.path.endswith(BLOB_SUFFIX)]
        read: dict[str, bytes] = {}
        for file in tables:
            placed = replace(file, path=f"{directory}/{file.path}")
            read[file.path] = await files.read(await files.expect(placed), most=TABLE_BYTES)
        part = await asyncio.to_thread(self.tables.read, read, directory=directory)
        if len(part.revisions) != revisions:
            raise invalid(f"{directory}/{REVISIONS}", "has another number of rows than its list says")
        here = [moved(item, vault) for item in part.revisions]
        await self._texts(tally, here, vault, reason, caller)
        await self._with_bytes(
            tally, here, [file for file in wanted if file not in tables], files, vault, reason, caller
        )
        names = {str(item.cube.name) for item in here} - {failure.name for failure in tally.failures}
        await self._recorded(tally, moved_graph(part.lineage, vault.tenant), names, vault, caller)

    async def _texts(
        self,
        tally: ImportTally,
        revisions: Sequence[ArchivedRevision],
        vault: VaultName,
        reason: str,
        caller: Principal,
    ) -> None:
        texts = [item for item in revisions if isinstance(item.cube.payload, Plaintext)]
        ready = await self._with_vectors(texts, tally, vault, caller)
        await self._adopt_all(tally, ready, vault, reason, caller)

    async def _with_vectors(
        self, texts: Sequence[ArchivedRevision], tally: ImportTally, vault: VaultName, caller: Principal
    ) -> list[ArchivedRevision]:
        """Return the texts with vectors of the embedder that runs here, and of no other."""
        here = await self._patiently(self.embedder.describe_embedder, vault, caller)
        ready = [
            replace(
                item,
                vectors=tuple(
                    one for one in item.vectors if one.embedder == here.id and len(one.values) == here.dimensions
                ),
            )
            for item in texts
        ]
        bare = [
            index
            for index, item in enumerate(ready)
            if not item.vectors and item.content_revision == item.cube.revision
        ]
        for start in range(0, len(bare), _TEXTS):
            some = bare[start : start + _TEXTS]
            made = await self._patiently(
                partial(self.embedder.embed, [embedded_text(ready[index].cube) for index in some]), vault, caller
            )
            for index, one in zip(some, made.values, strict=True):
                vector = ArchivedVector(made.embedder, one.values, one.tokens)
                ready[index] = replace(ready[index], vectors=(vector,))
        tally.embedded = len(bare)
        return ready

    async def _with_bytes(
        self,
        tally: ImportTally,
        revisions: Sequence[ArchivedRevision],
        wanted: Sequence[ArchiveFile],
        files: IncomingFiles,
        vault: VaultName,
        reason: str,
        caller: Principal,
    ) -> None:
        """Store the cubes that have bytes, each as soon as its bytes have come."""
        directory = part_directory(tally.part)
        waiting = {
            history[-1].cube.uid: history for history in histories(revisions) if history[-1].cube.blob is not None
        }
        for file in wanted:
            placed = await files.expect(replace(file, path=f"{directory}/{file.path}"))
            history = waiting.pop(file.path.removeprefix("blobs/").removesuffix(BLOB_SUFFIX), None)
            blob = history[-1].cube.blob if history is not None else None
            if history is None or blob is None or (blob.sha256, blob.size_bytes) != (file.sha256, file.size_bytes):
                raise invalid(placed.path, "are not the bytes of a cube of its part")
            async with self.delegation.acting(caller, IMPORT_ACTIONS, (vault,)):
                stored = await self.blobs.write(vault, blob, files.chunks(placed))
            await self._adopt_all(
                tally, [replace(item, cube=item.cube.with_blob(stored)) for item in history], vault, reason, caller
            )
        gone = "Its bytes are not in the archive: it was deleted while that was made."
        tally.failures += [
            ImportFailure(str(history[-1].cube.name), ArchiveInvalid(gone)) for history in waiting.values()
        ]

    async def _adopt_all(
        self,
        tally: ImportTally,
        revisions: Sequence[ArchivedRevision],
        vault: VaultName,
        reason: str,
        caller: Principal,
    ) -> None:
        failed: set[str] = set()
        for message, goes_on in _messages(revisions):
            if goes_on and str(message[0].cube.name) in failed:
                continue
            done = await self._patiently(partial(self.histories.adopt, vault, message, reason=reason), vault, caller)
            tally.degraded |= done.degraded
            for one in done.cubes:
                if one.error is not None:
                    failed.add(one.name)
                    tally.failures.append(ImportFailure(one.name, one.error))
                elif not goes_on:
                    tally.created += one.created
                    tally.extended += one.extended
                    tally.unchanged += not (one.created or one.extended)

    async def _recorded(
        self, tally: ImportTally, told: Graph, cubes: Set[str], vault: VaultName, caller: Principal
    ) -> None:
        """Record lineage of cubes that are here now; plans and answers become those of whoever imports them.

        An archive may say anything of cubes that are not in it, and plans may be another principal's here.
        """
        graph = around(told, cubes)
        recorded = 0
        for start in range(0, max(len(graph.nodes), len(graph.edges)), _LINEAGE_ITEMS):
            some = slice(start, start + _LINEAGE_ITEMS)
            part = Graph(graph.nodes[some], graph.edges[some])
            try:
                await self._patiently(partial(self.lineage.record, part), vault, caller)
                recorded += len(part.edges)
            except (NotFound, RequestError):
                continue
        tally.lineage_left_out = len(told.edges) - recorded

    async def _given(self, manifest: Manifest, header: ImportHeader, caller: Principal) -> ImportTally:
        """Give the roles of the archive, but none to the caller, who has his."""
        tally = ImportTally(len(manifest.parts))
        if not header.permissions:
            return tally
        present = (await self._patiently(partial(self.vaults.record, header.vault), header.vault, caller)).roles
        for principal, role in manifest.roles.items():
            here = PrincipalName(header.vault.tenant, principal.id)
            if here == caller.name or present.get(here, Role.NONE) >= role:
                continue
            try:
                await self._patiently(partial(self.vaults.give, header.vault, here, role), header.vault, caller)
                tally.roles += 1
            except (NotFound, RequestError, Precondition):
                tally.unknown_principals.append(here)
        return tally

    async def _patiently(self, work: Callable[[], Awaitable[T]], vault: VaultName, caller: Principal) -> T:
        return await patiently(work, delegation=self.delegation, caller=caller, actions=IMPORT_ACTIONS, vault=vault)


def _messages(revisions: Sequence[ArchivedRevision]) -> Iterator[tuple[list[ArchivedRevision], bool]]:
    """Yield histories in messages that are not too large, and whether a message goes on with the history before it.

    One that goes on begins with the revision that was last, by which storage knows that they belong together.
    """
    message: list[ArchivedRevision] = []
    size = 0
    for history in histories(revisions):
        own = sum(map(_size, history))
        if message and (size + own > _MESSAGE_BYTES or len(message) + len(history) > limits.ARCHIVE_REVISIONS):
            yield message, False
            message, size = [], 0
        goes_on = False
        for item in history:
            full = size + _size(item) > _MESSAGE_BYTES or len(message) == limits.ARCHIVE_REVISIONS
            if full and message and message[-1].cube.uid == item.cube.uid:
                yield message, goes_on
                message, goes_on = [message[-1]], True
                size = _size(message[0])
            message.append(item)
            size += _size(item)
        if goes_on:
            yield message, True
            message, size = [], 0
    if message:
        yield message, False


def _size(item: ArchivedRevision) -> int:
    return item.size + _HEADER_BYTES
