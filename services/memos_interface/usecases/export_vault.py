"""Writes a vault, or a part of it, as an archive."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from memos_interface.domain import audit
from memos_interface.domain.archives import (
    LIST,
    PART_BYTES,
    PART_CUBES,
    TABLE_BYTES,
    TABLE_ROWS,
    TABLES,
    ArchivedRevision,
    ArchiveFile,
    ArchiveOptions,
    Part,
    PartEnd,
    Seal,
    Tally,
    blob_path,
    described,
    histories,
    list_of,
    part_directory,
    statement_of,
    told,
)
from memos_interface.domain.redaction import Redaction, redacted, without
from memos_interface.ports import (
    ArchiveTables,
    AuditTrail,
    BlobReader,
    Delegation,
    Histories,
    Lineage,
    Notary,
    VaultDirectory,
)
from memos_interface.usecases.download_blob import DownloadBlob
from memos_interface.usecases.patience import patiently
from memos_kernel.cube import Kind, State
from memos_kernel.errors import CubeNotFound, LimitExceeded, PageTokenMismatch
from memos_kernel.ids import Clock
from memos_kernel.lineage import Edge, Graph, Node
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Action, Principal

EXPORT_ACTIONS = frozenset({Action.VAULT_ADMIN, Action.VAULT_READ, Action.CUBE_READ, Action.LINEAGE_READ})

_PROGRESS = "memos.archive-progress.v1"
_CHUNK = 1024 * 1024
_NAMES = 100
_STEPS = 2
"""From a memory to the plan that chose it, and to the answer; and back from the record of a turn."""

Event = datetime | ArchiveFile | bytes | PartEnd | Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    """How far an export has come; it travels in the token.

    Attributes:
        after: place of the last page of storage.
        chain: hash over the hashes of the parts, so that nobody can put another part into the manifest.
    """

    as_of: datetime
    number: int = 0
    after: str = ""
    chain: str = ""
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportVault:
    """Reads page after page, each under a fresh grant, so that an export ends when the permission does."""

    histories: Histories
    blobs: BlobReader
    lineage: Lineage
    vaults: VaultDirectory
    notary: Notary
    tables: ArchiveTables
    delegation: Delegation
    audit_trail: AuditTrail
    clock: Clock
    part_cubes: int = PART_CUBES
    part_bytes: int = PART_BYTES

    async def __call__(
        self, vault: VaultName, options: ArchiveOptions, *, resume_token: str, parts: Sequence[str], caller: Principal
    ) -> AsyncGenerator[Event, None]:
        """Yield the moment of the archive, then its files with their bytes part by part, then the manifest.

        Raises:
            PageTokenMismatch: the token is not of this export, or the parts are not those that it has made.
            DataCorrupted: the bytes of a cube differ from their hash.
            VaultNotFound, PermissionDenied, Capacity: from the services behind.
        """
        progress = await self._begun(vault, options, resume_token, parts, caller)
        self.audit_trail.note(caller.name, audit.EXPORT, [str(vault)])
        yield progress.as_of
        lists = list(parts)
        while not progress.number or progress.after:
            found, after = await self._part(vault, options, progress, caller)
            if not found and not progress.number:
                break
            async with aclosing(self._told(vault, options, found, replace(progress, after=after), caller)) as events:
                async for event in events:
                    if isinstance(event, _Progress):
                        progress = event
                        continue
                    if isinstance(event, PartEnd):
                        lists.append(event.sha256)
                    yield event
        yield await self._sealed(vault, options, progress, lists, caller)

    async def _part(
        self, vault: VaultName, options: ArchiveOptions, progress: _Progress, caller: Principal
    ) -> tuple[list[ArchivedRevision], str]:
        """Return the cubes of the next part, and the place behind them; none at the end."""
        found: list[ArchivedRevision] = []
        cubes = size = 0
        after = progress.after
        while cubes < self.part_cubes and size < self.part_bytes:
            page, after = await patiently(
                partial(self._page, vault, options, progress.as_of, after),
                delegation=self.delegation,
                caller=caller,
                actions=EXPORT_ACTIONS,
                vault=vault,
            )
            kept = await asyncio.to_thread(_kept_of, page, options)
            found += kept
            cubes += len({item.cube.uid for item in kept})
            size += sum(item.size for item in kept)
            if not after:
                break
        return found, after

    async def _page(
        self, vault: VaultName, options: ArchiveOptions, as_of: datetime, after: str
    ) -> tuple[list[ArchivedRevision], str]:
        page: list[ArchivedRevision] = []
        last = ""
        async with aclosing(self.histories.page(vault, options, as_of=as_of, after=after)) as parts:
            async for part in parts:
                if isinstance(part, str):
                    last = part
                else:
                    page += part
        return page, last

    async def _told(
        self,
        vault: VaultName,
        options: ArchiveOptions,
        found: Sequence[ArchivedRevision],
        progress: _Progress,
        caller: Principal,
    ) -> AsyncGenerator[Event | _Progress, None]:
        """Yield the files of a part, its end, and how far the export has come with it."""
        directory = part_directory(progress.number)
        cubes = {item.cube.uid: item.cube for item in found}
        names = [str(cube.name) for cube in cubes.values()]
        graph = await self._lineage(vault, names, options.redactions, caller)
        made = await asyncio.to_thread(self.tables.written, Part(revisions=found, lineage=graph))
        files: list[ArchiveFile] = []
        if sum(map(len, made.values())) > TABLE_BYTES or len(found) > TABLE_ROWS:
            longest = max(histories(found), key=len)[-1].cube
            raise LimitExceeded(
                f"{longest.name} has a history that is too long for an archive; leave out what the cubes were before.",
                field="options.without_revisions",
                limit=str(TABLE_BYTES),
                unit="bytes",
            )
        for name in TABLES:
            files.append(ArchiveFile.of(name, made[name]))
            for event in _file(f"{directory}/{name}", made[name]):
                yield event
        for cube in (cube for cube in cubes.values() if cube.blob is not None):
            begun: ArchiveFile | None = None
            try:
                async with aclosing(self._bytes(directory, cube.name, cube.uid, caller)) as events:
                    async for event in events:
                        if isinstance(event, ArchiveFile):
                            begun = event
                        yield event
            except CubeNotFound:
                if begun is not None:  # half of it is sent; the next attempt begins the part anew
                    raise
            if begun is not None:  # else it was purged or deleted meanwhile, and an import leaves it out
                files.append(replace(begun, path=blob_path(cube.uid)))
        listed = list_of(progress.number, files, cubes=len(cubes), revisions=len(found))
        for event in _file(f"{directory}/{LIST}", listed):
            yield event
        sha256 = hashlib.sha256(listed).hexdigest()
        done = replace(
            progress,
            number=progress.number + 1,
            chain=_chained(progress.chain, sha256),
            tally=progress.tally.plus(len(cubes), len(found), len(files) - len(TABLES)),
        )
        token = await self._token(vault, options, done, caller)
        yield PartEnd(number=progress.number, sha256=sha256, resume_token=token, cubes=len(cubes), revisions=len(found))
        yield done

    async def _bytes(
        self, directory: str, name: CubeName, uid: str, caller: Principal
    ) -> AsyncGenerator[ArchiveFile | bytes, None]:
        download = DownloadBlob(blobs=self.blobs, delegation=self.delegation, audit_trail=self.audit_trail)
        async with aclosing(download(name, offset=0, limit=0, caller=caller)) as parts:
            async for part in parts:
                if isinstance(part, bytes):
                    yield part
                else:
                    yield ArchiveFile(f"{directory}/{blob_path(uid)}", part.size_bytes, part.sha256)

    async def _lineage(
        self, vault: VaultName, names: Sequence[str], redactions: frozenset[Redaction], caller: Principal
    ) -> Graph:
        """Return what is recorded around cubes; where that is too much at once, around each of them."""
        nodes: dict[str, Node] = {}
        edges: dict[Edge, None] = {}
        waiting = [names[start : start + _NAMES] for start in range(0, len(names), _NAMES)]
        while waiting:
            some = waiting.pop()
            graph = await patiently(
                partial(self.lineage.around, *some, depth=_STEPS),
                delegation=self.delegation,
                caller=caller,
                actions=EXPORT_ACTIONS,
                vault=vault,
            )
            if graph.truncated and len(some) > 1:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
                continue
            nodes |= {node.name: node for node in graph.nodes}
            edges |= dict.fromkeys(graph.edges)
        return Graph(
            tuple(replace(node, summary=without(node.summary, redactions)) for node in nodes.values()),
            tuple(replace(edge, detail=without(edge.detail, redactions)) for edge in edges),
        )

    async def _sealed(
        self, vault: VaultName, options: ArchiveOptions, progress: _Progress, lists: Sequence[str], caller: Principal
    ) -> Seal:
        async with self.delegation.acting(caller, EXPORT_ACTIONS, (vault,)):
            record = await self.vaults.record(vault)
            statement = statement_of(
                record,
                options=options,
                as_of=progress.as_of,
                exported=self.clock.now(),
                by=caller.name,
                tally=progress.tally,
                parts=lists,
            )
            return await self.notary.sign(statement)

    async def _token(self, vault: VaultName, options: ArchiveOptions, progress: _Progress, caller: Principal) -> str:
        statement = _statement(vault, options, progress)
        async with self.delegation.acting(caller, EXPORT_ACTIONS, (vault,)):
            seal = await self.notary.sign(statement)
        return ".".join(base64.urlsafe_b64encode(one).decode() for one in (statement, seal.signature))

    async def _begun(
        self, vault: VaultName, options: ArchiveOptions, token: str, parts: Sequence[str], caller: Principal
    ) -> _Progress:
        """Return how far an export has come; a token is one that this installation has signed for it."""
        if not token:
            if parts:
                raise _mismatch()
            return _Progress(as_of=self.clock.now())
        try:
            statement, signature = (base64.urlsafe_b64decode(one.encode()) for one in token.split("."))
            said = json.loads(statement)
            progress = _Progress(
                as_of=datetime.fromisoformat(said["as_of"]),
                number=said["number"],
                after=said["after"],
                chain=said["chain"],
                tally=Tally(**said["counts"]),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise _mismatch() from error
        async with self.delegation.acting(caller, EXPORT_ACTIONS, (vault,)):
            expected = await self.notary.sign(_statement(vault, options, progress))
        if expected.statement != statement or not hmac.compare_digest(expected.signature, signature):
            raise _mismatch()
        chain = ""
        for one in parts:
            chain = _chained(chain, one)
        if len(parts) != progress.number or chain != progress.chain:
            raise _mismatch()
        return progress


def _kept_of(page: Sequence[ArchivedRevision], options: ArchiveOptions) -> list[ArchivedRevision]:
    return [item for history in histories(page) for item in _kept(history, options)]


def _kept(history: Sequence[ArchivedRevision], options: ArchiveOptions) -> list[ArchivedRevision]:
    """Return what goes of a cube: all of it or nothing, and redacted."""
    newest = history[-1].cube
    if newest.blob is not None and not options.of_bytes:
        return []
    if newest.kind is not Kind.PLAINTEXT and newest.derived_from and newest.state is State.STALE:
        return []  # it is of no use, and holds what its sources told before
    if any(options.excluded_tags & set(item.cube.sensitivity_tags) for item in history):
        return []
    return [replace(item, cube=redacted(item.cube, options.redactions)) for item in history]


def _file(path: str, data: bytes) -> list[ArchiveFile | bytes]:
    return [ArchiveFile.of(path, data), *(data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))]


def _chained(chain: str, sha256: str) -> str:
    return hashlib.sha256(f"{chain}\n{sha256}".encode()).hexdigest()


def _statement(vault: VaultName, options: ArchiveOptions, progress: _Progress) -> bytes:
    said = {
        "form": _PROGRESS,
        "vault": str(vault),
        "options": described(options),
        "as_of": told(progress.as_of),
        "number": progress.number,
        "after": progress.after,
        "chain": progress.chain,
        "counts": {"cubes": progress.tally.cubes, "revisions": progress.tally.revisions, "blobs": progress.tally.blobs},
    }
    return json.dumps(said, sort_keys=True).encode()


def _mismatch() -> PageTokenMismatch:
    return PageTokenMismatch(
        "resume_token is not of an export of this vault with these options and parts; begin anew without it.",
        field="resume_token",
    )
