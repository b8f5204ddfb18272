"""Builds the storage service out of its parts."""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc

from memos_api.internal.v1.archive_service_pb2_grpc import add_ArchiveServiceServicer_to_server
from memos_api.internal.v1.blob_service_pb2_grpc import add_BlobServiceServicer_to_server
from memos_api.internal.v1.purge_service_pb2_grpc import add_PurgeServiceServicer_to_server
from memos_api.internal.v1.snapshot_service_pb2_grpc import add_SnapshotServiceServicer_to_server
from memos_api.internal.v1.storage_service_pb2_grpc import add_StorageServiceServicer_to_server
from memos_api.internal.v1.vector_service_pb2_grpc import add_VectorServiceServicer_to_server
from memos_kernel.errors import Capacity, MemosError
from memos_kernel.ids import uuid7
from memos_runtime.context import spawn
from memos_runtime.expiring import Remembered
from memos_runtime.paging import PageTokens
from memos_runtime.service import Service, ServiceContext
from memos_storage import migrations
from memos_storage.adapters.background import AuditLoop, CompareLoop, IndexLoop
from memos_storage.adapters.blob_loop import BlobLoop
from memos_storage.adapters.commits import LocalCommits
from memos_storage.adapters.files import FileBlobStore
from memos_storage.adapters.hot_index import HotVectorIndex
from memos_storage.adapters.ledger_client import LedgerAuditSink
from memos_storage.adapters.milvus import keep_probing
from memos_storage.adapters.milvus_lite import MilvusLiteServer
from memos_storage.adapters.ranker_file import read_ranker
from memos_storage.adapters.receipt_key import ReceiptKey
from memos_storage.adapters.safetensors_format import SafetensorsFormat
from memos_storage.adapters.sql.blobs import SqlBlobRegistry
from memos_storage.adapters.sql.catalog import Database, SqlCatalog
from memos_storage.adapters.sql.changes import SqlChangeFeed
from memos_storage.adapters.sql.histories import SqlHistoryReader
from memos_storage.adapters.sql.lexical import SqlLexicalIndex
from memos_storage.adapters.sql.memory_links import SqlMemoryLinks
from memos_storage.adapters.sql.outbox import SqlAuditOutbox, SqlOutbox
from memos_storage.adapters.sql.term_graph import SqlTermGraph
from memos_storage.adapters.sql.texts import SqlBareTexts
from memos_storage.adapters.sql.turn_reader import SqlTurnReader
from memos_storage.adapters.supersession.judge import LearnedJudge
from memos_storage.config import StorageConfig
from memos_storage.ports import VectorIndex
from memos_storage.servicer.archives import ArchiveServicer, ArchiveUseCases
from memos_storage.servicer.blobs import BlobServicer, BlobUseCases
from memos_storage.servicer.calls import Pages
from memos_storage.servicer.cubes import StorageServicer, UseCases
from memos_storage.servicer.purges import PurgeServicer, PurgeUseCases
from memos_storage.servicer.snapshots import SnapshotServicer, SnapshotUseCases
from memos_storage.servicer.vectors import VectorServicer, VectorUseCases
from memos_storage.stores import blob_store, database_url, encrypted, installation_of, vector_index
from memos_storage.usecases.age_cubes import GetVaultUsage, ListAgedCubes, RetireCube
from memos_storage.usecases.change_cubes import ApplyTransition, DeleteCube, RecordUsage, UpdateCube
from memos_storage.usecases.create_cubes import CreateCubes
from memos_storage.usecases.download_blob import DownloadBlob
from memos_storage.usecases.embed_texts import AdoptEmbedder, ListTexts, PutVectors
from memos_storage.usecases.export_cubes import ExportCubes
from memos_storage.usecases.follow_outbox import FollowOutbox
from memos_storage.usecases.import_cubes import ImportCubes
from memos_storage.usecases.keep_snapshots import CreateSnapshot, DeleteSnapshot, ReadSnapshots
from memos_storage.usecases.legs import DenseLeg, LexicalLeg, PendingLeg
from memos_storage.usecases.past_leg import PastLeg
from memos_storage.usecases.pending_rows import PendingRows
from memos_storage.usecases.plan_purge import PlanPurge
from memos_storage.usecases.ranking.defaults import default_ranking
from memos_storage.usecases.read_cubes import GetCubes, ListCubes, ListDerivedCubes, ListDueCubes
from memos_storage.usecases.read_purges import LiftPurge, ReadPurges
from memos_storage.usecases.read_revisions import DiffRevisions, ListRevisions
from memos_storage.usecases.reconcile import Reconcile
from memos_storage.usecases.resolve_paths import ResolvePaths
from memos_storage.usecases.restore_cubes import RestoreCubes
from memos_storage.usecases.roll_back_cube import RollBackCube
from memos_storage.usecases.run_purge import RunPurge
from memos_storage.usecases.search_cubes import SearchCubes
from memos_storage.usecases.ship_audit import ShipAudit
from memos_storage.usecases.sign_archive import SignArchive
from memos_storage.usecases.supersession.find_earlier import FindEarlier
from memos_storage.usecases.supersession.settle_links import ListLinks, SettleLink
from memos_storage.usecases.sweep_blobs import SweepBlobs
from memos_storage.usecases.tombstones import Tombstones
from memos_storage.usecases.undelete_cube import UndeleteCube
from memos_storage.usecases.upload_blob import UploadBlob
from memos_storage.usecases.watch_cubes import ForgetChanges, WatchCubes

_EMBEDDER_KEPT = timedelta(seconds=5)
"""For which it is remembered which embedder searches go by."""


def build(config: StorageConfig, context: ServiceContext) -> Service:
    """Return the storage service; nothing is opened before its `start`."""
    storage = _Storage(config, context)
    return Service(
        name=context.name,
        register=storage.register,
        start=storage.start,
        close=storage.close,
        ready=lambda: storage.database.is_ready,
        parts={"milvus": lambda: storage.index.healthy, "blobs": lambda: storage.blobs.healthy},
    )


def migrate(config: StorageConfig, state_dir: Path) -> None:
    """Bring the catalogue to the newest version. Blocks."""
    migrations.migrate(database_url(config, state_dir))


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Keys of the installation, which are in the catalogue, and what tells it from others."""

    installation: str
    pages: PageTokens
    tombstones: bytes
    receipts: bytes


class _Storage:
    """The parts that live as long as the service."""

    def __init__(self, config: StorageConfig, context: ServiceContext) -> None:
        spans = context.telemetry
        self._url = database_url(config, context.state_dir)
        self.database = Database(
            self._url,
            readers=config.readers,
            read_queue=config.read_queue,
            write_queue=config.write_queue,
            group_size=config.commit_group,
            writers=config.writers,
        )
        self._server = (
            MilvusLiteServer(context.state_dir / "milvus", lost=lambda: self._milvus.lost())
            if config.milvus_uri is None
            else None
        )
        self._ranker = read_ranker(config.ranker_file) if config.ranker_file is not None else None
        outbox = SqlOutbox(self.database)
        pending = PendingRows(outbox)
        self._milvus = vector_index(config, self._lite_uri, installation=lambda: self._secret.installation)
        self._hot = None
        if config.milvus_uri is None and config.hot_rows:
            self._hot = HotVectorIndex(self._milvus, outbox, rows=config.hot_rows)
        self.index: VectorIndex = self._hot or self._milvus
        self._index_loop = IndexLoop(
            follow=FollowOutbox(
                outbox=outbox,
                index=self.index,
                clock=context.clock,
                spans=spans,
                batch_rows=config.index_batch_rows,
                lease_seconds=config.index_lease_seconds,
            ),
            outbox=outbox,
            index=self.index,
            batch_rows=config.index_batch_rows,
            idle_seconds=config.index_idle_seconds,
            delay_seconds=config.index_delay_seconds,
            waiting=spans.gauge("index_waiting_rows", "Rows that wait for the vector index.").set,
            hot=self._hot,
        )
        self._reconcile = Reconcile(outbox=outbox, index=self.index)
        self._compare_loop = CompareLoop(
            reconcile=self._reconcile, index=self.index, interval_seconds=config.index_compare_seconds
        )
        self._bare_blobs = blob_store(config, context.state_dir, installation=lambda: self._secret.installation)
        self.blobs = encrypted(config, self._bare_blobs, self.database)
        self._registry = SqlBlobRegistry(self.database)
        self._sweep_blobs = SweepBlobs(blobs=self.blobs, registry=self._registry, clock=context.clock)
        self._blob_loop = BlobLoop(
            sweep=self._sweep_blobs,
            blobs=self.blobs,
            interval_seconds=config.blobs_sweep_seconds,
        )
        self._feed = SqlChangeFeed(self.database)
        self._audit_loop = AuditLoop(
            ship=ShipAudit(
                outbox=SqlAuditOutbox(self.database), sink=LedgerAuditSink(context.channels), clock=context.clock
            ),
            forget_changes=ForgetChanges(feed=self._feed, clock=context.clock),
            interval_seconds=config.audit_interval_seconds,
        )
        self._commits = LocalCommits()
        self._catalog = SqlCatalog(self.database, spans=spans, committed=self._committed)
        self._clock = context.clock
        self._tasks: list[asyncio.Task[None]] = []
        self._secrets: _Secrets | None = None
        self._tombstones = Tombstones(lambda: self._secret.tombstones)
        self._use_cases = self._make_use_cases(context, pending)
        self._snapshots = self._make_snapshots(context)
        self._purges = self._make_purges(context, outbox)
        self._archives = ArchiveUseCases(
            export=ExportCubes(histories=SqlHistoryReader(self.database), clock=context.clock),
            import_=ImportCubes(
                catalog=self._catalog,
                index=self.index,
                clock=context.clock,
                ids=uuid7,
                tombstones=self._tombstones,
            ),
            sign=SignArchive(lambda: ReceiptKey(self._secret.receipts)),
        )

    def _make_use_cases(self, context: ServiceContext, pending: PendingRows) -> UseCases:
        catalog, clock, spans = self._catalog, context.clock, context.telemetry
        words, turns = SqlLexicalIndex(self.database), SqlTurnReader(self.database)
        links, graph = SqlMemoryLinks(self.database), SqlTermGraph(self.database)
        current = Remembered(catalog.embedder, clock=clock, keep=_EMBEDDER_KEPT, failures=Capacity)
        return UseCases(
            create=CreateCubes(
                catalog=catalog,
                blobs=self._registry,
                index=self.index,
                clock=clock,
                ids=uuid7,
                tombstones=self._tombstones,
                earlier=FindEarlier(
                    catalog=catalog,
                    index=self.index,
                    pending=pending,
                    judge=LearnedJudge(),
                    spans=spans,
                ),
            ),
            get=GetCubes(catalog=catalog, clock=clock, spans=spans),
            derived=ListDerivedCubes(catalog=catalog, clock=clock),
            page=ListCubes(catalog=catalog, clock=clock),
            update=UpdateCube(catalog=catalog, clock=clock, ids=uuid7, tombstones=self._tombstones),
            delete=DeleteCube(catalog=catalog, clock=clock, ids=uuid7),
            undelete=UndeleteCube(catalog=catalog, clock=clock, ids=uuid7, tombstones=self._tombstones),
            links=ListLinks(catalog=catalog, links=links),
            settle_link=SettleLink(catalog=catalog, links=links, clock=clock, ids=uuid7),
            history=ListRevisions(catalog=catalog, clock=clock),
            diff=DiffRevisions(catalog=catalog, clock=clock),
            watch=WatchCubes(feed=self._feed, commits=self._commits, clock=clock),
            roll_back=RollBackCube(catalog=catalog, clock=clock, ids=uuid7, tombstones=self._tombstones),
            transition=ApplyTransition(catalog=catalog, clock=clock, ids=uuid7),
            use=RecordUsage(catalog=catalog, clock=clock),
            due=ListDueCubes(catalog=catalog, clock=clock),
            aged=ListAgedCubes(catalog=catalog, clock=clock),
            retire=RetireCube(catalog=catalog, clock=clock, ids=uuid7),
            usage=GetVaultUsage(catalog=catalog),
            search=SearchCubes(
                catalog=catalog,
                dense=DenseLeg(index=self.index, catalog=catalog, spans=spans, doubt=self._doubt),
                pending=PendingLeg(rows=pending, catalog=catalog, spans=spans),
                lexical=LexicalLeg(index=words, spans=spans),
                past=PastLeg(catalog=catalog, lexical=words, spans=spans),
                rank=default_ranking(
                    reader=turns, graph=graph, links=links, catalog=catalog, spans=spans, ranker=self._ranker
                ),
                graph=graph,
                resolve_paths=ResolvePaths(graph),
                current=partial(current.get, otherwise=""),
                clock=clock,
                spans=spans,
            ),
        )

    def _make_snapshots(self, context: ServiceContext) -> SnapshotUseCases:
        catalog, clock = self._catalog, context.clock
        return SnapshotUseCases(
            create=CreateSnapshot(catalog=catalog, clock=clock, ids=uuid7),
            read=ReadSnapshots(catalog=catalog),
            delete=DeleteSnapshot(catalog=catalog, clock=clock, ids=uuid7),
            restore=RestoreCubes(catalog=catalog, clock=clock, ids=uuid7, tombstones=self._tombstones),
        )

    def _make_purges(self, context: ServiceContext, outbox: SqlOutbox) -> PurgeUseCases:
        catalog, clock = self._catalog, context.clock
        return PurgeUseCases(
            plan=PlanPurge(catalog=catalog, clock=clock, ids=uuid7, tombstones=self._tombstones),
            run=RunPurge(
                catalog=catalog,
                outbox=outbox,
                index=self.index,
                blobs=self.blobs,
                registry=self._registry,
                signer=lambda: ReceiptKey(self._secret.receipts),
                clock=clock,
                ids=uuid7,
            ),
            read=ReadPurges(catalog=catalog),
            lift=LiftPurge(catalog=catalog, clock=clock, ids=uuid7),
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Serve the six services."""
        pages = Pages(lambda: self._secret.pages)
        add_StorageServiceServicer_to_server(StorageServicer(self._use_cases, pages, clock=self._clock), server)
        add_SnapshotServiceServicer_to_server(SnapshotServicer(self._snapshots, pages), server)
        add_PurgeServiceServicer_to_server(PurgeServicer(self._purges, pages), server)
        moves = BlobUseCases(
            upload=UploadBlob(
                catalog=self._catalog,
                blobs=self.blobs,
                registry=self._registry,
                format=SafetensorsFormat(),
                clock=self._clock,
            ),
            download=DownloadBlob(catalog=self._catalog, blobs=self.blobs),
        )
        add_BlobServiceServicer_to_server(BlobServicer(moves), server)
        add_ArchiveServiceServicer_to_server(ArchiveServicer(self._archives), server)
        texts = SqlBareTexts(self.database)
        vectors = VectorUseCases(
            texts=ListTexts(texts=texts),
            put=PutVectors(catalog=self._catalog, clock=self._clock),
            adopt=AdoptEmbedder(texts=texts, catalog=self._catalog),
            catalog=self._catalog,
        )
        add_VectorServiceServicer_to_server(VectorServicer(vectors), server)

    async def start(self) -> None:
        """Migrate and open the catalogue, then start what follows it. The vector index comes up by itself."""
        await asyncio.to_thread(migrations.migrate, self._url)
        self.database.open()
        self._secrets = _Secrets(
            installation=await installation_of(self._catalog),
            pages=PageTokens(await self._kept_secret("page_tokens")),
            tombstones=await self._kept_secret("tombstones"),
            receipts=await self._kept_secret("receipts"),
        )
        if isinstance(self._bare_blobs, FileBlobStore):  # which is of this process alone, and nothing is on its way
            with suppress(MemosError):  # health tells that the directory cannot be used
                await self._bare_blobs.tidy()
                await self._sweep_blobs(spare=timedelta())
        if self._server is not None:
            await self._server.start()
        self._tasks = [
            spawn(keep_probing(self._milvus), name="storage-milvus"),
            spawn(self._index_loop.run(), name="storage-index"),
            spawn(self._compare_loop.run(), name="storage-compare"),
            spawn(self._blob_loop.run(), name="storage-blobs"),
            spawn(self._audit_loop.run(), name="storage-audit"),
        ]

    async def close(self) -> None:
        """Stop in the reverse order; what waits for the index waits in the catalogue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._milvus.close()
        if self._server is not None:
            await self._server.close()
        await self.blobs.close()
        await self.database.close()

    def _doubt(self) -> str:
        return "" if self._hot is not None and self._hot.complete else self._reconcile.doubt

    def _committed(self) -> None:
        self._commits.notify()
        self._index_loop.notify()
        self._audit_loop.notify()

    @property
    def _secret(self) -> "_Secrets":
        assert self._secrets is not None, "not started"
        return self._secrets

    async def _kept_secret(self, name: str) -> bytes:
        """Return 32 random bytes that every process over the catalogue has in common."""
        return await self._catalog.meta(name, lambda: secrets.token_bytes(32))

    def _lite_uri(self) -> str:
        assert self._server is not None
        return self._server.uri
