"""Settings of the scheduler."""

from pydantic import Field, SecretStr

from memos_runtime.config import Section


class SchedulerConfig(Section):
    """Settings of the scheduler."""

    database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL of the job queue; empty is a SQLite file in the state directory"
    )
    page_token_key: SecretStr = Field(
        SecretStr(""),
        description="secret that seals page tokens, the same in all replicas; empty makes one in the state directory",
    )
    policy: str = Field("similarity", description="order in which memories are tried for a prompt: similarity or usage")
    candidates: int = Field(30, ge=1, le=100, description="memories retrieved for a plan")
    budget_share: float = Field(
        0.4, gt=0, le=1, description="part of the model's context for memories, unless the caller names a budget"
    )
    budget_cap: int = Field(2_000, ge=1, description="most tokens of memory, unless the caller names a budget")
    requested_share: float = Field(
        0.7, gt=0, le=1, description="part of the model's context that a budget named by the caller may take"
    )
    kv_least_tokens: int = Field(
        256,
        ge=1,
        description="tokens of the memories found that a KV cache has to hold to be chosen without being asked for",
    )
    engine_patience_seconds: float = Field(
        5.0, gt=0, description="seconds that one call to inference gets while planning, before planning without it"
    )
    engine_cache_seconds: float = Field(60.0, ge=0, description="seconds that the model's description is remembered")
    embedder_seconds: float = Field(
        5.0, ge=0, description="seconds that it is remembered which embedder searches go by"
    )
    embed_sweep_seconds: float = Field(
        3600.0, gt=0, description="seconds between two sweeps for texts without a vector, while no embedder is changed"
    )
    embed_batch: int = Field(
        32, ge=1, le=256, description="texts that one step gives vectors of a new embedder; searches wait for one step"
    )
    jobs_at_once: int = Field(2, ge=1, le=64, description="jobs that one process runs at the same time")
    poll_seconds: float = Field(1.0, gt=0, description="seconds between two looks for due jobs")
    watch_seconds: float = Field(0.5, gt=0, description="seconds between two looks at a watched job")
    lease_seconds: float = Field(
        60.0, ge=1, description="seconds after which a job of a worker that stopped answering is taken over"
    )
    max_attempts: int = Field(
        5,
        ge=1,
        le=20,
        description="attempts before a job becomes a dead letter; while a part is away, none counts for a day",
    )
    backoff_seconds: float = Field(2.0, gt=0, description="seconds before the second attempt; doubles from there")
    backoff_cap_seconds: float = Field(600.0, gt=0, description="most seconds between two attempts")
    queued_limit: int = Field(10_000, ge=1, description="waiting jobs of a tenant; more are refused with OVERLOADED")
    sweep_seconds: float = Field(60.0, gt=0, description="seconds between two sweeps for expired cubes")
    vault_sweep_seconds: float = Field(
        3600.0, gt=0, description="seconds between two sweeps that carry out what vaults say about the age of cubes"
    )
    purge_sweep_seconds: float = Field(
        3600.0, gt=0, description="seconds between two sweeps for deleted cubes whose purge time has come"
    )
    restore_batch: int = Field(100, ge=1, le=200, description="cubes that one step of a way back to a moment takes")
    sweep_batch: int = Field(200, ge=1, le=1_000, description="cubes that one step of a sweep takes")
    quiet_retention_seconds: float = Field(
        600.0,
        ge=0,
        description="seconds that an ended job with nothing to tell is kept, and a dead one that a timer puts in again",
    )
    ended_retention_days: float = Field(
        30.0, ge=7, description="days that ended jobs and their request ids are kept; dead letters of callers stay"
    )
