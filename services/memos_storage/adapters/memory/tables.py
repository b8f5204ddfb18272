"""What the twins in memory share: the tables."""

import copy
from dataclasses import dataclass, field
from datetime import datetime

from memos_kernel.changes import Change
from memos_kernel.cube import BlobRef
from memos_kernel.names import PurgeName, SnapshotName, VaultName
from memos_kernel.quotas import VaultUsage
from memos_kernel.states import COLD
from memos_storage.domain.memory_links import StoredLink
from memos_storage.domain.purges import Doomed, Purge
from memos_storage.domain.quotas import text_bytes
from memos_storage.domain.snapshots import Snapshot
from memos_storage.domain.values import AuditEvent, PointId, Remembered, RequestOwner, StoredCube, Vector


@dataclass(slots=True)
class Entry:
    """A row of the outbox."""

    sequence: int
    uid: str
    embedder: str
    due: datetime
    gone: int | None = None
    attempts: int = 0
    token: int = 0
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob that the catalogue knows."""

    vault: VaultName
    blob: BlobRef
    recorded: datetime
    uid: str = ""
    gone: bool = False
    purge: PurgeName | None = None

    @property
    def free(self) -> bool:
        """Whether a cube may take it."""
        return not self.uid and not self.gone


@dataclass(slots=True)
class Tables:
    """Everything that is stored."""

    cubes: dict[str, StoredCube] = field(default_factory=dict)  # by uid, deleted ones too
    history: dict[str, tuple[StoredCube, ...]] = field(default_factory=dict)  # by uid, oldest first
    vectors: dict[tuple[str, int], dict[str, Vector]] = field(default_factory=dict)  # by text, then by embedder
    embedder: str = ""
    outbox: dict[int, Entry] = field(default_factory=dict)
    links: dict[tuple[str, str], StoredLink] = field(default_factory=dict)  # by the uids of newer and older
    snapshots: dict[SnapshotName, Snapshot] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    purges: dict[PurgeName, Purge] = field(default_factory=dict)
    purge_cubes: dict[PurgeName, dict[str, Doomed]] = field(default_factory=dict)  # by uid, until the purge is done
    purge_points: dict[PurgeName, tuple[tuple[str, PointId], ...]] = field(default_factory=dict)
    tombstones: dict[PurgeName, frozenset[bytes]] = field(default_factory=dict)
    blobs: dict[str, BlobRow] = field(default_factory=dict)
    audit: list[AuditEvent] = field(default_factory=list)
    answers: dict[RequestOwner, tuple[Remembered, datetime]] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    meta: dict[str, bytes] = field(default_factory=dict)
    last_sequence: int = 0
    fence: int = 0


def copied(tables: Tables) -> Tables:
    """Return tables that can be changed without changing these."""
    fresh = copy.copy(tables)
    for name in (
        *("cubes", "history", "vectors", "snapshots", "audit", "answers", "dimensions"),
        *("links", "changes", "purges", "purge_cubes", "purge_points", "tombstones", "blobs"),
    ):
        setattr(fresh, name, copy.copy(getattr(tables, name)))
    fresh.outbox = {sequence: copy.copy(entry) for sequence, entry in tables.outbox.items()}
    return fresh


def usage_of(tables: Tables, vault: VaultName) -> VaultUsage:
    """Return all that is counted of a vault."""
    cubes = [row.cube for row in tables.cubes.values() if row.cube.vault == vault]
    blobs = [row.blob for row in tables.blobs.values() if row.vault == vault and not row.gone]
    return VaultUsage(
        cubes=len(cubes),
        bytes=sum(map(text_bytes, cubes)) + sum(blob.size_bytes for blob in blobs),
        cold_cubes=sum(cube.state in COLD for cube in cubes),
        deleted_cubes=sum(cube.delete_time is not None for cube in cubes),
    )


def vectors_of(tables: Tables, uid: str, content_revision: int) -> list[Vector]:
    """Return the vectors of a text, deleted or not, that of the current embedder first."""
    found = tables.vectors.get((uid, content_revision), {}).values()
    return sorted(found, key=lambda vector: (vector.embedder != tables.embedder, vector.embedder))


def current_vectors(tables: Tables, uid: str) -> dict[str, Vector]:
    """Return the vectors of a cube's newest text, deleted or not, by embedder."""
    row = tables.cubes.get(uid)
    found = [] if row is None else vectors_of(tables, uid, row.content_revision)
    return {vector.embedder: vector for vector in found}


def enqueue(tables: Tables, uid: str, embedder: str, now: datetime | None, *, gone: int | None = None) -> None:
    """Add an outbox entry; `gone` is the revision whose vector has to leave."""
    assert now is not None
    tables.last_sequence += 1
    entry = Entry(tables.last_sequence, uid, embedder, due=now, gone=gone)
    tables.outbox[entry.sequence] = entry
