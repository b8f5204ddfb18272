"""What an operator does with the storage of this machine, beside the service."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from memos_kernel.errors import DependencyUnavailable
from memos_kernel.ids import SystemClock
from memos_kernel.names import VaultName
from memos_storage import migrations
from memos_storage.adapters.milvus import MilvusVectorIndex
from memos_storage.adapters.milvus_lite import MilvusLiteServer
from memos_storage.adapters.sql.blobs import SqlBlobRegistry
from memos_storage.adapters.sql.catalog import Database, SqlCatalog
from memos_storage.adapters.sql.outbox import SqlOutbox
from memos_storage.config import StorageConfig
from memos_storage.domain.blobs import BlobDrift, StoredBlob
from memos_storage.domain.values import Drift
from memos_storage.stores import blob_store, database_url, encrypted, installation_of, vector_index
from memos_storage.usecases.reconcile import Reconcile
from memos_storage.usecases.sweep_blobs import SweepBlobs
from memos_storage.usecases.verify_blobs import VerifyBlobs

_START_SECONDS = 120.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Comparison:
    """What catalogue, vector index and blob store say of each other.

    Attributes:
        index: points that the index lacked, and had too many.
        blobs: blobs that are lost, and how many no cube has or can have any more.
        verified: how many blobs were read to compare them with their hash.
        damaged: those that are lost or differ from it.
    """

    index: Drift
    blobs: BlobDrift
    verified: int
    damaged: tuple[StoredBlob, ...]


async def compare(config: StorageConfig, state_dir: Path, *, repair: bool, stopped: bool) -> Comparison:
    """Compare the tiers in all directions, and mend what can be mended if asked.

    `stopped`: nothing serves from the state directory, as it has to be on Milvus Lite and a directory; only then is the
    catalogue brought to the newest version before it is mended.

    Raises:
        DependencyUnavailable: a part does not answer.
    """
    url = database_url(config, state_dir)
    if repair and stopped:
        await asyncio.to_thread(migrations.migrate, url)
    database = Database(url, readers=1, read_queue=16, write_queue=16, group_size=1, writers=1)
    database.open()
    try:
        installation = await installation_of(SqlCatalog(database))
        async with _index(config, state_dir, installation) as index:
            drift = await Reconcile(outbox=SqlOutbox(database), index=index)(repair=repair)
        bare, registry = blob_store(config, state_dir, installation=lambda: installation), SqlBlobRegistry(database)
        blobs = encrypted(config, bare, database)
        try:
            swept = await SweepBlobs(blobs=blobs, registry=registry, clock=SystemClock())(repair=repair)
            verified, damaged = await VerifyBlobs(blobs=blobs, registry=registry)()
        finally:
            await blobs.close()
        return Comparison(drift, swept, verified, damaged)
    finally:
        await database.close()


def blobs_of(catalogue: Path) -> list[StoredBlob]:
    """Return the blobs that a catalogue in a file names, or none if it is of a version before blobs; blocks."""
    with closing(sqlite3.connect(f"file:{catalogue}?mode=ro", uri=True)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'blobs'").fetchone() is None:
            return []
        found = connection.execute(
            "SELECT vaults.tenant, vaults.vault, blobs.name FROM blobs"
            " JOIN vaults ON vaults.key = blobs.vault_key WHERE NOT blobs.gone ORDER BY blobs.name"
        ).fetchall()
    return [StoredBlob(VaultName(tenant, vault), name) for tenant, vault, name in found]


@asynccontextmanager
async def _index(config: StorageConfig, state_dir: Path, installation: str) -> AsyncIterator[MilvusVectorIndex]:
    server = MilvusLiteServer(state_dir / "milvus") if config.milvus_uri is None else None
    index = vector_index(config, lambda: server.uri if server else "", installation=lambda: installation)
    if server is not None:
        await server.start()
    try:
        await _answering(index)
        yield index
    finally:
        await index.close()
        if server is not None:
            await server.close()


async def _answering(index: MilvusVectorIndex) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + _START_SECONDS
    await index.probe()
    while not index.healthy:
        if loop.time() > end:
            raise DependencyUnavailable("The vector index does not answer.", dependency="milvus")
        await asyncio.sleep(_LOOK_SECONDS)
        await index.probe()
