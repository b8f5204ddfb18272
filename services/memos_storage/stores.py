"""Where the storage keeps things, as its configuration says."""

from collections.abc import Callable
from pathlib import Path

from memos_runtime.sql.engine import sqlite_url
from memos_storage.adapters.files import FileBlobStore
from memos_storage.adapters.s3 import S3BlobStore
from memos_storage.config import StorageConfig


def database_url(config: StorageConfig, state_dir: Path) -> str:
    """Return the SQLAlchemy URL of the catalogue."""
    if config.database_url is not None:
        return config.database_url.get_secret_value()
    return sqlite_url(state_dir / "catalogue.db")


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
    )
