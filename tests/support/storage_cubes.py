"""Cubes, vectors, grants and catalogues for the tests of storage."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from memos_kernel.cube import BlobRef, MemCube, Parametric, Plaintext, SourceSpan, content_hash, kind_of
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.ids import uuid7
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import ROLE_ACTIONS, Action, Grant, Role
from memos_runtime.sql.engine import sqlite_url
from memos_storage.adapters.memory import (
    MemoryAuditOutbox,
    MemoryBareTexts,
    MemoryBlobKeys,
    MemoryBlobRegistry,
    MemoryCatalog,
    MemoryChangeFeed,
    MemoryHistoryReader,
    MemoryLexicalIndex,
    MemoryMemoryLinks,
    MemoryOutbox,
    MemoryTermGraph,
    MemoryTurnReader,
)
from memos_storage.adapters.sql.blob_keys import SqlBlobKeys
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
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.revisions import first_revision, next_revision
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import NewCube, Scope, Vector
from memos_storage.migrations import migrate
from postgres import new_database

NOW = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
MAIN, NOTES = VaultName("acme", "main"), VaultName("acme", "notes")
FOREIGN = VaultName("globex", "main")
BEN, EVE = PrincipalName("acme", "ben"), PrincipalName("globex", "eve")
EMBEDDER = "toy@1"
DIMENSIONS = 8


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


def grant(
    *vaults: VaultName, actions: frozenset[Action] = ROLE_ACTIONS[Role.WRITER], all_vaults: bool = False
) -> Grant:
    """Return a grant of the first vault's tenant."""
    principal = EVE if vaults and vaults[0].tenant == EVE.tenant else BEN
    return Grant(
        id="grant",
        principal=principal,
        issued_to="interface",
        vaults=frozenset(vaults),
        all_vaults=all_vaults,
        actions=actions,
        policy_epoch=1,
        expire_time=NOW + timedelta(seconds=60),
    )


def scope(*vaults: VaultName) -> Scope:
    """Return the scope of a grant for the vaults."""
    return Scope.of(grant(*vaults))


def selected(where: Scope, filter: CubeFilter | None = None, *, now: datetime = NOW, as_of: datetime | None = None):
    """Return what a read is about."""
    return Selection(scope=where, filter=filter or CubeFilter(), now=now, as_of=as_of)


def vector(seed: int, embedder: str = EMBEDDER, dimensions: int = DIMENSIONS) -> Vector:
    """Return a unit vector; the same for the same seed."""
    values = np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return Vector(embedder, values / np.linalg.norm(values))


def wanted(text: str, vault: VaultName = MAIN, *, id: str = "", **fields: object) -> MemCube:
    """Return a cube as a caller gives it."""
    payload = Plaintext(text)
    name = CubeName(vault.tenant, id or uuid7())
    return MemCube(name=name, vault=vault, kind=kind_of(payload), payload=payload, **fields)  # type: ignore[arg-type]


def stored(text: str, vault: VaultName = MAIN, *, now: datetime = NOW, **fields: object) -> MemCube:
    """Return a cube as storage makes it."""
    return first_revision(wanted(text, vault, **fields), uid=uuid7(), owner=BEN, now=now, provenance_id="p", trace=None)


def identity(**fields: str) -> CompatibilityIdentity:
    """Return the identity of a model."""
    hashes = {name: letter * 64 for name, letter in (("weights", "a"), ("tokenizer", "b"), ("chat_template", "c"))}
    values = {
        **{f"{name}_sha256": value for name, value in hashes.items()},
        "model": "tiny@1",
        "rope_config": "{}",
        "dtype": "float32",
        "quantization": "none",
        "token_ids_sha256": "",
        "adapter": "base",
        **fields,
    }
    return CompatibilityIdentity(**values)


def adapter(blob: BlobRef, vault: VaultName = MAIN, *, id: str = "", **fields: object) -> MemCube:
    """Return a cube of an adapter as a caller gives it."""
    payload = Parametric(blob, identity(), 8)
    name = CubeName(vault.tenant, id or uuid7())
    return MemCube(name=name, vault=vault, kind=kind_of(payload), payload=payload, **fields)  # type: ignore[arg-type]


def said(speaker: str, *, session: str = "", at: datetime | None = None) -> SourceSpan:
    """Return where something was said."""
    return SourceSpan(speaker=speaker, session=session, event_time=at)


def item(text: str, seed: int, vault: VaultName = MAIN, **fields: object) -> NewCube:
    """Return a cube with its vector."""
    return NewCube(wanted(text, vault, **fields), vector(seed))


def with_usage_of(cube: MemCube, other: MemCube) -> MemCube:
    """Return the cube with another's usage, for comparing the rest."""
    return replace(cube, usage=other.usage)


@dataclass
class Store:
    """One catalogue with everything that is read from it."""

    catalog: MemoryCatalog | SqlCatalog
    lexical: MemoryLexicalIndex | SqlLexicalIndex
    outbox: MemoryOutbox | SqlOutbox
    audit: MemoryAuditOutbox | SqlAuditOutbox
    feed: MemoryChangeFeed | SqlChangeFeed
    blobs: MemoryBlobRegistry | SqlBlobRegistry
    blob_keys: MemoryBlobKeys | SqlBlobKeys
    histories: MemoryHistoryReader | SqlHistoryReader
    bare: MemoryBareTexts | SqlBareTexts
    turns: MemoryTurnReader | SqlTurnReader
    links: MemoryMemoryLinks | SqlMemoryLinks
    graph: MemoryTermGraph | SqlTermGraph
    database: Database | None = None


STORES = ["memory", "sqlite", "postgresql"]


@asynccontextmanager
async def opened(kind: str, path: Path) -> AsyncIterator[Store]:
    """Yield an empty store."""
    if kind == "memory":
        catalog = MemoryCatalog()
        yield Store(
            catalog,
            MemoryLexicalIndex(catalog),
            MemoryOutbox(catalog),
            MemoryAuditOutbox(catalog),
            MemoryChangeFeed(catalog),
            MemoryBlobRegistry(catalog),
            MemoryBlobKeys(),
            MemoryHistoryReader(catalog),
            MemoryBareTexts(catalog),
            MemoryTurnReader(catalog),
            MemoryMemoryLinks(catalog),
            MemoryTermGraph(catalog),
        )
        return
    url = await asyncio.to_thread(empty_database, kind, path)
    database = Database(url, readers=2, read_queue=64, write_queue=64, group_size=16)
    database.open()
    try:
        yield Store(
            SqlCatalog(database),
            SqlLexicalIndex(database),
            SqlOutbox(database),
            SqlAuditOutbox(database),
            SqlChangeFeed(database),
            SqlBlobRegistry(database),
            SqlBlobKeys(database),
            SqlHistoryReader(database),
            SqlBareTexts(database),
            SqlTurnReader(database),
            SqlMemoryLinks(database),
            SqlTermGraph(database),
            database,
        )
    finally:
        await database.close()


@cache
def _template() -> bytes:
    """Return a migrated, empty database file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template.db"
        migrate(sqlite_url(path))
        return path.read_bytes()


def empty_database(kind: str, path: Path) -> str:
    """Make a migrated, empty database and return its URL; blocks."""
    return _sqlite(path) if kind == "sqlite" else _postgresql()


def _sqlite(path: Path) -> str:
    (path / "catalogue.db").write_bytes(_template())
    return sqlite_url(path / "catalogue.db")


def _postgresql() -> str:
    url = new_database("storage")
    migrate(url)
    return url


async def put(store, *cubes, seed=None):
    def command(tx):
        for index, cube in enumerate(cubes):
            tx.insert(cube, vector=vector(seed + index) if seed is not None else None)

    await store.catalog.write(command)


async def change(store, cube, *, content=False, seed=0):
    await store.catalog.write(lambda tx: tx.replace(cube, vector=vector(seed) if content else None, content=content))


def retold(cube, text, *, now=NOW):
    payload = Plaintext(text)
    changed = replace(cube, payload=payload, content_hash=content_hash(payload, cube.sources))
    return next_revision(changed, now=now)
