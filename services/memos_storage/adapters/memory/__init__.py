"""Twins of the ports in memory, for tests and for embedding; they pass the same contract suites as the real ones."""

from memos_storage.adapters.memory.blob_keys import MemoryBlobKeys
from memos_storage.adapters.memory.blob_store import MemoryBlobStore
from memos_storage.adapters.memory.blobs import MemoryBlobRegistry
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.memory.changes import MemoryChangeFeed
from memos_storage.adapters.memory.histories import MemoryHistoryReader
from memos_storage.adapters.memory.indexes import MemoryLexicalIndex, MemoryVectorIndex
from memos_storage.adapters.memory.memory_links import MemoryMemoryLinks
from memos_storage.adapters.memory.outbox import MemoryAuditOutbox, MemoryOutbox
from memos_storage.adapters.memory.spans import MemorySpan, MemorySpans
from memos_storage.adapters.memory.term_graph import MemoryTermGraph
from memos_storage.adapters.memory.texts import MemoryBareTexts
from memos_storage.adapters.memory.turns import MemoryTurnReader

__all__ = [
    "MemoryAuditOutbox",
    "MemoryBareTexts",
    "MemoryBlobKeys",
    "MemoryBlobRegistry",
    "MemoryBlobStore",
    "MemoryCatalog",
    "MemoryChangeFeed",
    "MemoryHistoryReader",
    "MemoryLexicalIndex",
    "MemoryMemoryLinks",
    "MemoryOutbox",
    "MemorySpan",
    "MemorySpans",
    "MemoryTermGraph",
    "MemoryTurnReader",
    "MemoryVectorIndex",
]
