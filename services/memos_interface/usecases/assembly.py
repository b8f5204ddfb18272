"""Builds the use cases on a set of ports: the real ones in wiring, twins in tests."""

from collections.abc import Callable
from dataclasses import dataclass

from memos_interface.ports import (
    ArchiveTables,
    AuditTrail,
    BlobReader,
    BlobWriter,
    Delegation,
    Embedder,
    Generator,
    Histories,
    Lifecycle,
    Lineage,
    MemoryStore,
    Notary,
    Planner,
    Spans,
    VaultDirectory,
)
from memos_interface.usecases.add_memories import AddMemories
from memos_interface.usecases.change_memories import DeleteMemory, UndeleteMemory, UpdateMemory
from memos_interface.usecases.chat import Chat
from memos_interface.usecases.create_memory import CreateMemory
from memos_interface.usecases.download_blob import DownloadBlob
from memos_interface.usecases.export_vault import ExportVault
from memos_interface.usecases.extract_facts import ExtractFacts
from memos_interface.usecases.finishing import Finishing
from memos_interface.usecases.freeze_memory import FreezeMemory, UnfreezeMemory
from memos_interface.usecases.get_provenance import GetProvenance
from memos_interface.usecases.import_memories import ImportMemories
from memos_interface.usecases.import_vault import ImportVault
from memos_interface.usecases.read_memories import ReadMemories
from memos_interface.usecases.read_revisions import ReadRevisions
from memos_interface.usecases.record_turn import RecordTurn
from memos_interface.usecases.roll_back_memory import RollBackMemory
from memos_interface.usecases.search_memories import SearchMemories
from memos_interface.usecases.settle_links import ListLinks, SettleLink
from memos_interface.usecases.watch_memories import WatchMemories
from memos_kernel.ids import Clock, IdFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the use cases need from outside.

    Attributes:
        allow: gives what runs in the same context at least so many seconds more than its caller has left.
    """

    embedder: Embedder
    generator: Generator
    store: MemoryStore
    blobs: BlobReader
    blob_writer: BlobWriter
    histories: Histories
    notary: Notary
    tables: ArchiveTables
    vaults: VaultDirectory
    planner: Planner
    lifecycle: Lifecycle
    lineage: Lineage
    audit_trail: AuditTrail
    delegation: Delegation
    spans: Spans
    clock: Clock
    new_id: IdFactory
    allow: Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What the interface does."""

    add: AddMemories
    create: CreateMemory
    import_: ImportMemories
    read: ReadMemories
    update: UpdateMemory
    delete: DeleteMemory
    undelete: UndeleteMemory
    links: ListLinks
    settle_link: SettleLink
    revisions: ReadRevisions
    watch: WatchMemories
    download_blob: DownloadBlob
    export: ExportVault
    import_vault: ImportVault
    roll_back: RollBackMemory
    freeze: FreezeMemory
    unfreeze: UnfreezeMemory
    search: SearchMemories
    provenance: GetProvenance
    chat: Chat
    finishing: Finishing


def assemble(ports: Ports, *, embed_timeout: float) -> UseCases:
    """Return the use cases; `embed_timeout` is the seconds that a search waits for its vector."""
    store, embedder, spans, clock, new_id = ports.store, ports.embedder, ports.spans, ports.clock, ports.new_id
    finishing = Finishing(ports.allow)
    record_turn = RecordTurn(
        embedder=embedder,
        store=store,
        lifecycle=ports.lifecycle,
        lineage=ports.lineage,
        delegation=ports.delegation,
        new_id=new_id,
        spans=spans,
    )
    return UseCases(
        add=AddMemories(
            embedder=embedder,
            store=store,
            extract_facts=ExtractFacts(generator=ports.generator, delegation=ports.delegation),
            delegation=ports.delegation,
            clock=clock,
            new_id=new_id,
            spans=spans,
        ),
        create=CreateMemory(embedder=embedder, store=store, clock=clock, spans=spans),
        import_=ImportMemories(
            embedder=embedder,
            store=store,
            delegation=ports.delegation,
            clock=clock,
            spans=spans,
        ),
        read=ReadMemories(store=store, audit_trail=ports.audit_trail, spans=spans),
        update=UpdateMemory(embedder=embedder, store=store, clock=clock, spans=spans),
        delete=DeleteMemory(store=store, spans=spans),
        undelete=UndeleteMemory(store=store, spans=spans),
        links=ListLinks(store=store, spans=spans),
        settle_link=SettleLink(store=store, spans=spans),
        revisions=ReadRevisions(store=store, audit_trail=ports.audit_trail),
        watch=WatchMemories(store=store, delegation=ports.delegation, audit_trail=ports.audit_trail),
        download_blob=DownloadBlob(blobs=ports.blobs, delegation=ports.delegation, audit_trail=ports.audit_trail),
        export=ExportVault(
            histories=ports.histories,
            blobs=ports.blobs,
            lineage=ports.lineage,
            vaults=ports.vaults,
            notary=ports.notary,
            tables=ports.tables,
            delegation=ports.delegation,
            audit_trail=ports.audit_trail,
            clock=clock,
        ),
        import_vault=ImportVault(
            histories=ports.histories,
            blobs=ports.blob_writer,
            lineage=ports.lineage,
            vaults=ports.vaults,
            notary=ports.notary,
            tables=ports.tables,
            embedder=embedder,
            delegation=ports.delegation,
            audit_trail=ports.audit_trail,
        ),
        roll_back=RollBackMemory(embedder=embedder, store=store, spans=spans),
        freeze=FreezeMemory(lifecycle=ports.lifecycle, spans=spans),
        unfreeze=UnfreezeMemory(lifecycle=ports.lifecycle, spans=spans),
        search=SearchMemories(
            embedder=embedder, store=store, audit_trail=ports.audit_trail, spans=spans, embed_timeout=embed_timeout
        ),
        provenance=GetProvenance(store=store, lineage=ports.lineage, audit_trail=ports.audit_trail),
        chat=Chat(
            planner=ports.planner,
            generator=ports.generator,
            record_turn=record_turn,
            delegation=ports.delegation,
            audit_trail=ports.audit_trail,
            spans=spans,
            clock=clock,
            new_id=new_id,
            finishing=finishing,
        ),
        finishing=finishing,
    )
