"""Where the storage keeps things, as its configuration says."""

import secrets
from collections.abc import Callable
from pathlib import Path

from memos_runtime.sql.engine import sqlite_url
from memos_storage.adapters.blob_cipher import store_keys
from memos_storage.adapters.encrypted_blobs import EncryptedBlobStore
from memos_storage.adapters.files import FileBlobStore
from memos_storage.adapters.milvus import MilvusVectorIndex
from memos_storage.adapters.s3 import S3BlobStore
from memos_storage.adapters.sql.blob_keys import SqlBlobKeys
from memos_storage.adapters.sql.catalog import Database
from memos_storage.config import StorageConfig
from memos_storage.ports import BlobStore, Catalog


def database_url(config: StorageConfig, state_dir: Path) -> str:
    """Return the SQLAlchemy URL of the catalogue."""
    if config.database_url is not None:
        return config.database_url.get_secret_value()
    return sqlite_url(state_dir / "catalogue.db")


async def installation_of(catalog: Catalog) -> str:
    """Return what tells this installation from others that share its servers; it is made on first use."""
    return (await catalog.meta("installation", lambda: secrets.token_bytes(32))).hex()[:12]


def vector_index(
    config: StorageConfig, lite_uri: Callable[[], str], *, installation: Callable[[], str]
) -> MilvusVectorIndex:
    """Return the index of the vectors, on a server or on Milvus Lite at an address; nothing is opened yet."""
    return MilvusVectorIndex(
        lambda: config.milvus_uri or lite_uri(),
        installation=installation,
        token=config.milvus_token.get_secret_value(),
        embedded=config.milvus_uri is None,
        timeout_seconds=config.milvus_timeout_seconds,
        search_seconds=config.milvus_search_seconds,
        forget_seconds=config.milvus_forget_seconds,
    )


def blob_store(
    config: StorageConfig, state_dir: Path, *, installation: Callable[[], str]
) -> FileBlobStore | S3BlobStore:
    """Return the store of the blobs; nothing is opened yet."""
    if config.blobs_url is None:
        return FileBlobStore(lambda: state_dir / "blobs" / installation())
    return S3BlobStore(
        config.blobs_url,
        access_key=config.blobs_access_key.get_secret_value(),
        secret_key=config.blobs_secret_key.get_secret_value(),
        installation=installation,
        region=config.blobs_region,
        timeout_seconds=config.blobs_timeout_seconds,
        direct=config.blobs_direct,
    )


def encrypted(config: StorageConfig, blobs: BlobStore, database: Database) -> EncryptedBlobStore:
    """Return the store that encrypts what goes to another where that is configured, and reads what was encrypted."""
    return EncryptedBlobStore(blobs, SqlBlobKeys(database), store_keys(config.blobs_key.get_secret_value()))
