"""A desk with every port of the interface as a twin, a stopped clock, and two vaults of one tenant."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from memos_interface.adapters.memory import MemoryLifecycle, MemoryLineage, MemoryPlanner, MemoryStorage
from memos_interface.adapters.memory_archives import MemoryHistories, MemoryNotary, MemoryVaults
from memos_interface.adapters.memory_edge import (
    MemoryAudit,
    MemoryAuthority,
    MemoryBlobs,
    MemoryDelegation,
    MemoryModels,
    MemorySpans,
)
from memos_interface.adapters.parquet_archive import ParquetTables
from memos_interface.usecases.assembly import Ports, UseCases, assemble
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Principal

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


class StoppedClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class Desk:
    """Everything a use case works with."""

    clock: StoppedClock = field(default_factory=StoppedClock)
    caller: Principal = field(default_factory=lambda: Principal(PrincipalName("t", "nora")))
    vault: VaultName = field(default_factory=lambda: VaultName("t", "notes"))
    other: VaultName = field(default_factory=lambda: VaultName("t", "other"))

    def __post_init__(self) -> None:
        ids = count(1)
        self.new_id = lambda: f"id-{next(ids):04d}"
        self.models = MemoryModels()
        self.storage = MemoryStorage(
            [self.vault, self.other], owner=self.caller.name, clock=self.clock, new_id=self.new_id
        )
        self.blobs = MemoryBlobs()
        self.histories, self.notary, self.vaults = MemoryHistories(), MemoryNotary(), MemoryVaults()
        self.lifecycle = MemoryLifecycle(self.storage)
        self.lineage = MemoryLineage()
        self.audit = MemoryAudit()
        self.spans = MemorySpans()
        self.authority = MemoryAuthority(clock=self.clock, new_id=self.new_id)
        self.authority.keys["mk_nora"] = self.caller
        self.authority.vaults[self.caller.name] = {self.vault, self.other}
        self.delegation = MemoryDelegation(self.authority)
        self.planner = MemoryPlanner(self.storage, tenant="t", new_id=self.new_id)
        self.allowed: list[float] = []
        self.ports = Ports(
            embedder=self.models,
            generator=self.models,
            store=self.storage,
            blobs=self.blobs,
            blob_writer=self.blobs,
            histories=self.histories,
            notary=self.notary,
            tables=ParquetTables(),
            vaults=self.vaults,
            planner=self.planner,
            lifecycle=self.lifecycle,
            lineage=self.lineage,
            audit_trail=self.audit,
            delegation=self.delegation,
            spans=self.spans,
            clock=self.clock,
            new_id=self.new_id,
            allow=self.allowed.append,
        )
        self.do: UseCases = assemble(self.ports, embed_timeout=1.0)
