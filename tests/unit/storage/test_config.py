"""What the configuration of storage refuses."""

import pytest
from pydantic import ValidationError

from memos_storage.config import StorageConfig

POSTGRESQL = "postgresql+psycopg://memos:secret@db/memos"


def test_a_shared_catalogue_needs_a_shared_index_and_shared_blobs():
    with pytest.raises(ValidationError, match="milvus_uri is needed too") as refused:
        StorageConfig(database_url=POSTGRESQL)
    assert "secret@" not in str(refused.value)
    with pytest.raises(ValidationError, match="blobs_url is needed too"):
        StorageConfig(database_url=POSTGRESQL, milvus_uri="http://milvus:19530")
    StorageConfig(database_url=POSTGRESQL, milvus_uri="http://milvus:19530", blobs_url="http://minio:9000/memos")
    StorageConfig(database_url="sqlite+pysqlite:////var/lib/memos/catalogue.db")
