"""The use cases of storage over the twins in memory."""

from dataclasses import dataclass, field, replace

from memos_kernel.ids import uuid7
from memos_kernel.permission import Grant
from memos_kernel.requests import RequestKey
from memos_storage.adapters.commits import LocalCommits
from memos_storage.adapters.memory import (
    MemoryAuditOutbox,
    MemoryBlobRegistry,
    MemoryBlobStore,
    MemoryCatalog,
    MemoryChangeFeed,
    MemoryLexicalIndex,
    MemoryMemoryLinks,
    MemoryOutbox,
    MemorySpans,
    MemoryTermGraph,
    MemoryTurnReader,
    MemoryVectorIndex,
)
from memos_storage.adapters.receipt_key import ReceiptKey
from memos_storage.adapters.safetensors_format import SafetensorsFormat
from memos_storage.usecases.age_cubes import GetVaultUsage, ListAgedCubes, RetireCube
from memos_storage.usecases.change_cubes import ApplyTransition, DeleteCube, RecordUsage, UpdateCube
from memos_storage.usecases.create_cubes import CreateCubes
from memos_storage.usecases.download_blob import DownloadBlob
from memos_storage.usecases.follow_outbox import FollowOutbox
from memos_storage.usecases.keep_snapshots import CreateSnapshot, DeleteSnapshot, ReadSnapshots
from memos_storage.usecases.legs import DenseLeg, LexicalLeg, PendingLeg
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.past_leg import PastLeg
from memos_storage.usecases.pending_rows import PendingRows
from memos_storage.usecases.plan_purge import PlanPurge
from memos_storage.usecases.ranking.defaults import default_ranking
from memos_storage.usecases.read_cubes import GetCubes, ListCubes, ListDueCubes
from memos_storage.usecases.read_purges import LiftPurge, ReadPurges
from memos_storage.usecases.read_revisions import DiffRevisions, ListRevisions
from memos_storage.usecases.reconcile import Reconcile
from memos_storage.usecases.resolve_paths import ResolvePaths
from memos_storage.usecases.restore_cubes import RestoreCubes
from memos_storage.usecases.roll_back_cube import RollBackCube
from memos_storage.usecases.run_purge import RunPurge
from memos_storage.usecases.search_cubes import Query, SearchCubes
from memos_storage.usecases.supersession.find_earlier import FindEarlier
from memos_storage.usecases.supersession.settle_links import ListLinks, SettleLink
from memos_storage.usecases.sweep_blobs import SweepBlobs
from memos_storage.usecases.tombstones import Tombstones
from memos_storage.usecases.undelete_cube import UndeleteCube
from memos_storage.usecases.upload_blob import UploadBlob
from memos_storage.usecases.watch_cubes import WatchCubes
from storage_cubes import MAIN, Clock, grant, item

TOMBSTONES = Tombstones(lambda: b"secret")
KEY = ReceiptKey(bytes(32))


def mutation(by: Grant | None = None, *, request_id: str = "", body: str = "aa", trace=None) -> Mutation:
    return Mutation(grant=by or grant(MAIN), request=RequestKey(request_id, "/memos.v1.X/Y", body), trace=trace)


@dataclass
class ToldJudge:
    """Implements `ports.Judge`: both are told by the texts of the newer statement and the older one."""

    evidence: dict[tuple[str, str], float]
    restated: dict[tuple[str, str], float]

    def __call__(self, newer, older, cosine):
        return self.evidence.get((newer.text, older.text), 0.0)

    def restates(self, newer, older, cosine):
        return self.restated.get((newer.text, older.text), 0.0)


def find_earlier(catalog, index, pending, evidence, restated=None):
    """Return what compares statements as it is told."""
    return FindEarlier(
        catalog=catalog,
        index=index,
        pending=pending,
        judge=ToldJudge(evidence, {} if restated is None else restated),
        spans=MemorySpans(),
    )


@dataclass
class World:
    """Storage without transport."""

    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    index: MemoryVectorIndex = field(default_factory=MemoryVectorIndex)
    spans: MemorySpans = field(default_factory=MemorySpans)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self):
        catalog, clock, spans = self.catalog, self.clock, self.spans
        self.outbox = MemoryOutbox(catalog)
        self.pending = PendingRows(self.outbox)
        self.audit = MemoryAuditOutbox(catalog)
        self.blobs, self.registry = MemoryBlobStore(), MemoryBlobRegistry(catalog)
        self.upload = UploadBlob(
            catalog=catalog, blobs=self.blobs, registry=self.registry, format=SafetensorsFormat(), clock=clock
        )
        self.download = DownloadBlob(catalog=catalog, blobs=self.blobs)
        self.sweep_blobs = SweepBlobs(blobs=self.blobs, registry=self.registry, clock=clock)
        reader, self.memory_links = MemoryTurnReader(catalog), MemoryMemoryLinks(catalog)
        self.evidence, self.restated = {}, {}
        self.create = CreateCubes(
            catalog=catalog,
            blobs=self.registry,
            index=self.index,
            clock=clock,
            ids=uuid7,
            tombstones=TOMBSTONES,
            earlier=find_earlier(catalog, self.index, self.pending, self.evidence, self.restated),
        )
        self.links = ListLinks(catalog=catalog, links=self.memory_links)
        self.settle_link = SettleLink(catalog=catalog, links=self.memory_links, clock=clock, ids=uuid7)
        self.get = GetCubes(catalog=catalog, clock=clock, spans=spans)
        self.page = ListCubes(catalog=catalog, clock=clock)
        self.due = ListDueCubes(catalog=catalog, clock=clock)
        self.aged = ListAgedCubes(catalog=catalog, clock=clock)
        self.retire = RetireCube(catalog=catalog, clock=clock, ids=uuid7)
        self.usage = GetVaultUsage(catalog=catalog)
        self.update = UpdateCube(catalog=catalog, clock=clock, ids=uuid7, tombstones=TOMBSTONES)
        self.delete = DeleteCube(catalog=catalog, clock=clock, ids=uuid7)
        self.undelete = UndeleteCube(catalog=catalog, clock=clock, ids=uuid7, tombstones=TOMBSTONES)
        self.history = ListRevisions(catalog=catalog, clock=clock)
        self.diff = DiffRevisions(catalog=catalog, clock=clock)
        self.create_snapshot = CreateSnapshot(catalog=catalog, clock=clock, ids=uuid7)
        self.snapshots = ReadSnapshots(catalog=catalog)
        self.delete_snapshot = DeleteSnapshot(catalog=catalog, clock=clock, ids=uuid7)
        self.restore = RestoreCubes(catalog=catalog, clock=clock, ids=uuid7, tombstones=TOMBSTONES)
        self.roll_back = RollBackCube(catalog=catalog, clock=clock, ids=uuid7, tombstones=TOMBSTONES)
        self.plan_purge = PlanPurge(catalog=catalog, clock=clock, ids=uuid7, tombstones=TOMBSTONES)
        self.run_purge = RunPurge(
            catalog=catalog,
            outbox=self.outbox,
            index=self.index,
            blobs=self.blobs,
            registry=self.registry,
            signer=lambda: KEY,
            clock=clock,
            ids=uuid7,
        )
        self.purges = ReadPurges(catalog=catalog)
        self.lift_purge = LiftPurge(catalog=catalog, clock=clock, ids=uuid7)
        self.feed = MemoryChangeFeed(catalog)
        self.commits = LocalCommits()
        self.watch = WatchCubes(feed=self.feed, commits=self.commits, clock=clock)
        self.transition = ApplyTransition(catalog=catalog, clock=clock, ids=uuid7)
        self.use = RecordUsage(catalog=catalog, clock=clock)
        self.reconcile = Reconcile(outbox=self.outbox, index=self.index, window=2)
        self.doubt = ""
        words, graph = MemoryLexicalIndex(catalog), MemoryTermGraph(catalog)
        self.search_cubes = SearchCubes(
            catalog=catalog,
            dense=DenseLeg(index=self.index, catalog=catalog, spans=spans, doubt=lambda: self.doubt),
            pending=PendingLeg(rows=self.pending, catalog=catalog, spans=spans),
            lexical=LexicalLeg(index=words, spans=spans),
            current=catalog.embedder,
            past=PastLeg(catalog=catalog, lexical=words, spans=spans),
            rank=default_ranking(reader=reader, graph=graph, links=self.memory_links, catalog=catalog, spans=spans),
            graph=graph,
            resolve_paths=ResolvePaths(graph),
            clock=clock,
            spans=spans,
        )
        self.follow = FollowOutbox(
            outbox=self.outbox,
            index=self.index,
            clock=clock,
            spans=spans,
            batch_rows=100,
            lease_seconds=10,
        )

    async def add(self, text, *, seed=None, vector=None, vault=MAIN, trace=None, by=None, **fields):
        """Store one cube and return it."""
        new = item(text, seed if seed is not None else abs(hash(text)) % 1000, vault, **fields)
        if vector is not None:
            new = replace(new, vector=vector)
        made = await self.create([new], return_existing=False, mutation=mutation(by or grant(vault), trace=trace))
        (outcome,) = made.answer.outcomes
        if outcome.error:
            raise outcome.error
        return outcome.cube

    async def create_crowd(self, count):
        """Store cubes that fill every list of candidates."""
        items = [item(f"crowd {number}", number) for number in range(count)]
        made = await self.create(items, return_existing=False, mutation=mutation())
        assert all(outcome.created for outcome in made.answer.outcomes)

    async def find(self, cube, by=None):
        (outcome,) = await self.get([cube.name], grant=by or grant(MAIN))
        if outcome.error:
            raise outcome.error
        return outcome.cube

    async def search(self, text="", *, vector=None, by=None, **members):
        query = Query(text=text or "?", vector=vector, **members)
        return await self.search_cubes(query, grant=by or grant(MAIN))
