"""Configuration of the interface."""

from pydantic import Field

from memos_runtime.config import Section


class InterfaceConfig(Section):
    """The public edge and the memory loop."""

    auth_cache_seconds: float = Field(
        10.0,
        ge=0,
        le=30,
        description="seconds for which an API key stays known; bounds how long a revoked one opens calls",
    )
    edge_cache_entries: int = Field(
        10_000, ge=1, description="most principals, and most grants, that are kept in memory"
    )
    embed_timeout_seconds: float = Field(
        3.0, gt=0, description="seconds that a search waits for the vector of its query before it runs without"
    )
    embedder_seconds: float = Field(
        5.0, ge=0, description="seconds that it is remembered which embedder searches go by"
    )
    audit_interval_seconds: float = Field(
        0.5, gt=0, le=1, description="seconds between two writes of audit events of reads"
    )
    audit_buffer_events: int = Field(
        20_000, ge=1, description="most audit events that wait while governance is away; more are lost and counted"
    )
