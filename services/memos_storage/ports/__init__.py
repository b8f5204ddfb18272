"""What the use cases need, as protocols. Every adapter of a port passes the same suite in tests/contract."""

from memos_storage.ports.archives import HistoryReader
from memos_storage.ports.blobs import BlobFormat, BlobKeys, BlobLedger, BlobRegistry, BlobStore
from memos_storage.ports.catalog import Catalog, Transaction
from memos_storage.ports.feed import ChangeFeed, Commit, Commits
from memos_storage.ports.indexes import BareTexts, DerivedTier, LexicalIndex, Outbox, VectorIndex
from memos_storage.ports.purges import PurgeLedger, Signer
from memos_storage.ports.ranking import Asked, Ranker, Stage, TermGraph, TurnReader
from memos_storage.ports.records import AuditOutbox, AuditSink, Span, Spans
from memos_storage.ports.supersession import Judge, LinkLedger, MemoryLinks, Told

__all__ = [
    "Asked",
    "AuditOutbox",
    "AuditSink",
    "BareTexts",
    "BlobFormat",
    "BlobKeys",
    "BlobLedger",
    "BlobRegistry",
    "BlobStore",
    "Catalog",
    "ChangeFeed",
    "Commit",
    "Commits",
    "DerivedTier",
    "HistoryReader",
    "Judge",
    "LexicalIndex",
    "LinkLedger",
    "MemoryLinks",
    "Outbox",
    "PurgeLedger",
    "Ranker",
    "Signer",
    "Span",
    "Spans",
    "Stage",
    "TermGraph",
    "Told",
    "Transaction",
    "TurnReader",
    "VectorIndex",
]
