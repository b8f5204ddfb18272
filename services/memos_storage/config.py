"""Configuration of the storage service."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from memos_runtime.config import Section


class StorageConfig(Section):
    """The catalogue, the vector index and the blobs. The defaults work on one machine, offline."""

    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the catalogue; unset: an SQLite file in the state directory"
    )
    readers: int = Field(3, ge=1, le=64, description="threads that read the catalogue")
    read_queue: int = Field(256, ge=1, description="reads that may wait; more are refused with OVERLOADED")
    write_queue: int = Field(512, ge=1, description="writes that may wait; more are refused with OVERLOADED")
    commit_group: int = Field(64, ge=1, description="most writes to SQLite that share one transaction and one fsync")
    writers: int = Field(4, ge=1, le=64, description="threads that write to PostgreSQL; to SQLite one writes")
    milvus_uri: str | None = Field(
        None, description="URI of a Milvus server, such as http://milvus:19530; unset: Milvus Lite as a child process"
    )
    milvus_token: SecretStr = Field(SecretStr(""), description="token of the Milvus server, user:password or API key")
    milvus_timeout_seconds: float = Field(10.0, gt=0, description="seconds after which a call to the index has failed")
    milvus_search_seconds: float = Field(
        2.0, gt=0, description="seconds that a search waits for the index before it answers without it"
    )
    milvus_forget_seconds: float = Field(
        259_200.0,
        ge=0,
        description="seconds after which a Milvus server has dropped what was compacted away, for deletion receipts:"
        " its garbage collection and the retention of its message log",
    )
    blobs_url: str | None = Field(
        None, description="address and bucket of an S3 store, such as http://minio:9000/memos; unset: a directory"
    )
    blobs_access_key: SecretStr = Field(SecretStr(""), description="access key of the S3 store")
    blobs_secret_key: SecretStr = Field(SecretStr(""), description="secret key of the S3 store")
    blobs_region: str = Field("us-east-1", description="region of the S3 store")
    blobs_timeout_seconds: float = Field(
        30.0, gt=0, description="seconds without an answer after which a call to the S3 store has failed"
    )
    blobs_direct: bool = Field(
        True,
        description="whether inference reads KV caches and adapters from the S3 store itself, by addresses that hold"
        " for ten minutes; it reaches the store as storage does, or they come through storage",
    )
    blobs_key: SecretStr = Field(
        SecretStr(""),
        description="keys that wrap those of blobs, 32 bytes as base64 each (`openssl rand -base64 32`), the newest"
        " first and commas between them: new blobs are encrypted; empty: they are not",
    )
    blobs_sweep_seconds: float = Field(
        3600.0, gt=0, description="seconds between two comparisons of the blob store with the catalogue"
    )
    hot_rows: int = Field(
        20_000, ge=0, description="most rows of Milvus Lite that are searched in memory; 0 turns the copy off"
    )
    index_batch_rows: int = Field(
        1_000, ge=1, le=5_000, description="rows that wait before they are sent to the vector index at once"
    )
    index_idle_seconds: float = Field(
        2.0, ge=0, description="seconds without a write after which fewer rows are sent, too"
    )
    index_delay_seconds: float = Field(15.0, ge=0, description="most seconds that a row waits for the index")
    index_lease_seconds: float = Field(
        60.0, gt=0, description="seconds after which another worker may take over what one has taken"
    )
    index_compare_seconds: float = Field(
        3600.0, gt=0, description="seconds between two comparisons of the vector index with the catalogue"
    )
    ranker_file: Path | None = Field(
        None,
        description='ranker of searches that was trained by `make bench-retrieval ARGS="--train-ranker FILE"`; unset:'
        " an untrained sum of the features",
    )
    audit_interval_seconds: float = Field(0.3, gt=0, description="seconds between two looks for audit events to send")

    @model_validator(mode="after")
    def _everything_is_shared_with_the_catalogue(self) -> Self:
        shared = self.database_url is not None and not self.database_url.get_secret_value().startswith("sqlite")
        if shared and self.milvus_uri is None:
            raise ValueError(
                "with a shared database_url, milvus_uri is needed too: Milvus Lite belongs to one process, and what it"
                " holds the others would not find"
            )
        if shared and self.blobs_url is None:
            raise ValueError(
                "with a shared database_url, blobs_url is needed too: a directory belongs to one process, and what it"
                " holds the others would not find"
            )
        return self
