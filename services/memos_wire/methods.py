"""The method table: one row an rpc of the contract. A test compares it with the descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass

from memos_kernel.permission import Action

INTERFACE, SCHEDULER, LIFECYCLE = "interface", "scheduler", "lifecycle"
GOVERNANCE, STORAGE, INFERENCE = "governance", "storage", "inference"

SERVICES = (GOVERNANCE, STORAGE, INFERENCE, LIFECYCLE, SCHEDULER, INTERFACE)
"""The six services, in the order in which they start."""

CALLS: Mapping[str, frozenset[str]] = {
    INTERFACE: frozenset({GOVERNANCE, SCHEDULER, LIFECYCLE, STORAGE, INFERENCE}),
    SCHEDULER: frozenset({GOVERNANCE, LIFECYCLE, STORAGE, INFERENCE}),
    LIFECYCLE: frozenset({GOVERNANCE, STORAGE, INFERENCE}),
    INFERENCE: frozenset({STORAGE}),
    STORAGE: frozenset({GOVERNANCE}),
    GOVERNANCE: frozenset(),
}
"""Who may call whom; the servers check it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How one rpc is treated.

    Attributes:
        name: full name, `/package.Service/Method`.
        service: service that serves it.
        deadline: seconds it gets if the caller sets none, and the most it gets.
        retryable: whether a client may repeat it after UNAVAILABLE.
        mutating: whether it changes stored state for a caller; then its request carries a request id or key.
        actions: public: what the grant that is fetched for the call must allow; internal: what the
            presented grant must allow. Empty and internal: no grant, the calling service is enough.
        vaults: paths of request fields that name vaults; what they name narrows the grant.
        only: internal: the services that may call it, where these are fewer than the call graph allows.
    """

    name: str
    service: str
    deadline: float
    retryable: bool = False
    mutating: bool = False
    actions: frozenset[Action] = frozenset()
    vaults: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()

    @property
    def public(self) -> bool:
        """Whether the method is of the public contract."""
        return self.name.startswith("/memos.v1.")


def _row(name: str, service: str, deadline: float, *actions: Action, **options: object) -> Method:
    return Method(name=name, service=service, deadline=deadline, actions=frozenset(actions), **options)  # type: ignore[arg-type]


_A = Action
_READ = {"retryable": True}
_WRITE = {"mutating": True}
# only what does nothing the second time, with a request key or without: a lost answer must not cost a second key
_SAFE_WRITE = {"mutating": True, "retryable": True}
_LIFECYCLE_ONLY = {"only": frozenset({LIFECYCLE})}
_V1 = "/memos.v1"
_IN = "/memos.internal.v1"

_ROWS = (
    _row(
        f"{_V1}.MemoryService/AddMemories",
        INTERFACE,
        60,
        _A.CUBE_WRITE,
        _A.CUBE_READ,
        _A.MODEL_USE,
        vaults=("vault",),
        **_WRITE,
    ),
    _row(
        f"{_V1}.MemoryService/CreateMemory",
        INTERFACE,
        30,
        _A.CUBE_WRITE,
        _A.CUBE_READ,
        _A.MODEL_USE,
        vaults=("cube.vault",),
        **_WRITE,
    ),
    _row(
        f"{_V1}.MemoryService/ImportMemories",
        INTERFACE,
        3600,
        _A.CUBE_WRITE,
        _A.CUBE_READ,
        _A.MODEL_USE,
        vaults=("header.vault",),
    ),
    _row(f"{_V1}.MemoryService/GetMemory", INTERFACE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_V1}.MemoryService/BatchGetMemories", INTERFACE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_V1}.MemoryService/ListMemories", INTERFACE, 10, _A.CUBE_READ, vaults=("vault",), **_READ),
    _row(f"{_V1}.MemoryService/UpdateMemory", INTERFACE, 30, _A.CUBE_WRITE, _A.CUBE_READ, _A.MODEL_USE, **_WRITE),
    _row(f"{_V1}.MemoryService/DeleteMemory", INTERFACE, 10, _A.CUBE_WRITE, _A.CUBE_READ, **_WRITE),
    _row(f"{_V1}.MemoryService/UndeleteMemory", INTERFACE, 10, _A.CUBE_WRITE, _A.CUBE_READ, **_WRITE),
    _row(f"{_V1}.MemoryService/ListMemoryRevisions", INTERFACE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_V1}.MemoryService/DiffMemoryRevisions", INTERFACE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_V1}.MemoryService/WatchMemories", INTERFACE, 3600, _A.CUBE_READ, vaults=("vault",)),
    _row(f"{_V1}.MemoryService/RollbackMemory", INTERFACE, 30, _A.CUBE_WRITE, _A.CUBE_READ, _A.MODEL_USE, **_WRITE),
    _row(f"{_V1}.MemoryService/FreezeMemory", INTERFACE, 10, _A.CUBE_WRITE, _A.CUBE_READ, **_WRITE),
    _row(f"{_V1}.MemoryService/UnfreezeMemory", INTERFACE, 10, _A.CUBE_WRITE, _A.CUBE_READ, **_WRITE),
    _row(f"{_V1}.MemoryService/ListMemoryLinks", INTERFACE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_V1}.MemoryService/SettleMemoryLink", INTERFACE, 10, _A.CUBE_WRITE, _A.CUBE_READ, **_WRITE),
    _row(f"{_V1}.MemoryService/SearchMemories", INTERFACE, 10, _A.CUBE_READ, _A.MODEL_USE, vaults=("vaults",), **_READ),
    _row(f"{_V1}.MemoryService/GetProvenance", INTERFACE, 10, _A.CUBE_READ, _A.LINEAGE_READ, **_READ),
    _row(
        f"{_V1}.ChatService/Chat",
        INTERFACE,
        120,
        _A.CUBE_READ,
        _A.CUBE_USE,
        _A.MODEL_USE,
        _A.LINEAGE_WRITE,
        vaults=("vaults",),
        **_WRITE,
    ),
    _row(
        f"{_V1}.ConversionService/BuildActivation",
        INTERFACE,
        10,
        _A.CUBE_WRITE,
        _A.CUBE_READ,
        _A.CUBE_USE,
        _A.MODEL_USE,
        _A.JOB_WRITE,
        vaults=("vault",),
        **_WRITE,
    ),
    _row(
        f"{_V1}.ConversionService/TrainAdapter",
        INTERFACE,
        10,
        _A.CUBE_WRITE,
        _A.CUBE_READ,
        _A.CUBE_USE,
        _A.MODEL_USE,
        _A.JOB_WRITE,
        vaults=("vault",),
        **_WRITE,
    ),
    _row(
        f"{_V1}.ConversionService/RecoverText",
        INTERFACE,
        10,
        _A.CUBE_WRITE,
        _A.CUBE_READ,
        _A.CUBE_USE,
        _A.MODEL_USE,
        _A.JOB_WRITE,
        vaults=("vault",),
        **_WRITE,
    ),
    _row(f"{_V1}.BlobService/UploadBlob", INTERFACE, 3600, _A.CUBE_WRITE, vaults=("header.vault",)),
    _row(f"{_V1}.BlobService/DownloadBlob", INTERFACE, 3600, _A.CUBE_READ),
    _row(
        f"{_V1}.ArchiveService/ExportVault",
        INTERFACE,
        24 * 3600,
        _A.VAULT_ADMIN,
        _A.CUBE_READ,
        _A.LINEAGE_READ,
        vaults=("vault",),
    ),
    _row(
        f"{_V1}.ArchiveService/ImportVault",
        INTERFACE,
        24 * 3600,
        _A.VAULT_ADMIN,
        _A.CUBE_WRITE,
        _A.CUBE_READ,
        _A.MODEL_USE,
        _A.LINEAGE_WRITE,
        vaults=("header.vault",),
    ),
    _row(f"{_V1}.SnapshotService/CreateSnapshot", INTERFACE, 10, _A.CUBE_WRITE, vaults=("snapshot.vault",), **_WRITE),
    _row(f"{_V1}.SnapshotService/GetSnapshot", INTERFACE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_V1}.SnapshotService/ListSnapshots", INTERFACE, 10, _A.CUBE_READ, vaults=("vault",), **_READ),
    _row(f"{_V1}.SnapshotService/DeleteSnapshot", INTERFACE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_V1}.SnapshotService/RestoreSnapshot", INTERFACE, 10, _A.CUBE_WRITE, _A.CUBE_READ, _A.JOB_WRITE, **_WRITE),
    _row(
        f"{_V1}.PurgeService/PurgeMemories",
        INTERFACE,
        30,
        _A.CUBE_PURGE,
        _A.CUBE_READ,
        _A.JOB_WRITE,
        vaults=("vault",),
        **_WRITE,
    ),
    _row(f"{_V1}.PurgeService/GetPurge", INTERFACE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_V1}.PurgeService/ListPurges", INTERFACE, 10, _A.CUBE_READ, vaults=("vault",), **_READ),
    _row(f"{_V1}.PurgeService/LiftPurge", INTERFACE, 10, _A.CUBE_PURGE, _A.CUBE_READ, **_WRITE),
    _row(f"{_V1}.JobService/GetJob", INTERFACE, 10, _A.JOB_READ, **_READ),
    _row(f"{_V1}.JobService/ListJobs", INTERFACE, 10, _A.JOB_READ, **_READ),
    _row(f"{_V1}.JobService/CancelJob", INTERFACE, 10, _A.JOB_WRITE, **_WRITE),
    _row(f"{_V1}.JobService/RetryJob", INTERFACE, 10, _A.JOB_WRITE, **_WRITE),
    _row(f"{_V1}.JobService/WatchJob", INTERFACE, 3600, _A.JOB_READ),
    _row(f"{_V1}.GovernanceService/CreateApiKey", INTERFACE, 10, _A.TENANT_ADMIN, **_WRITE),
    _row(f"{_V1}.GovernanceService/ListApiKeys", INTERFACE, 10, _A.TENANT_ADMIN, **_READ),
    _row(f"{_V1}.GovernanceService/RevokeApiKey", INTERFACE, 10, _A.TENANT_ADMIN, **_WRITE),
    _row(f"{_V1}.GovernanceService/CreateVault", INTERFACE, 10, _A.TENANT_ADMIN, **_WRITE),
    _row(f"{_V1}.GovernanceService/GetVault", INTERFACE, 10, _A.VAULT_READ, vaults=("name",), **_READ),
    _row(f"{_V1}.GovernanceService/UpdateVault", INTERFACE, 10, _A.VAULT_ADMIN, vaults=("vault.name",), **_WRITE),
    _row(f"{_V1}.GovernanceService/GetVaultUsage", INTERFACE, 10, _A.VAULT_READ, vaults=("name",), **_READ),
    _row(f"{_V1}.GovernanceService/ListVaults", INTERFACE, 10, _A.TENANT_READ, **_READ),
    _row(
        f"{_V1}.GovernanceService/SetVaultPermission",
        INTERFACE,
        10,
        _A.VAULT_ADMIN,
        vaults=("permission.vault",),
        **_WRITE,
    ),
    _row(f"{_V1}.GovernanceService/ListVaultPermissions", INTERFACE, 10, _A.VAULT_ADMIN, vaults=("vault",), **_READ),
    _row(f"{_V1}.GovernanceService/QueryAudit", INTERFACE, 10, _A.TENANT_ADMIN, **_READ),
    _row(f"{_IN}.PolicyService/Authenticate", GOVERNANCE, 5, **_READ, only=frozenset({INTERFACE})),
    _row(f"{_IN}.PolicyService/IssueGrant", GOVERNANCE, 5, **_READ, only=frozenset({INTERFACE, SCHEDULER})),
    _row(f"{_IN}.PolicyService/ListTenants", GOVERNANCE, 5, **_READ, only=frozenset({SCHEDULER})),
    _row(f"{_IN}.PolicyService/CreateApiKey", GOVERNANCE, 10, _A.TENANT_ADMIN, **_WRITE),
    _row(f"{_IN}.PolicyService/ListApiKeys", GOVERNANCE, 10, _A.TENANT_ADMIN, **_READ),
    _row(f"{_IN}.PolicyService/RevokeApiKey", GOVERNANCE, 10, _A.TENANT_ADMIN, **_SAFE_WRITE),
    _row(f"{_IN}.PolicyService/CreateVault", GOVERNANCE, 10, _A.TENANT_ADMIN, **_WRITE),
    _row(f"{_IN}.PolicyService/GetVault", GOVERNANCE, 10, _A.VAULT_READ, **_READ),
    _row(f"{_IN}.PolicyService/UpdateVault", GOVERNANCE, 10, _A.VAULT_ADMIN, **_SAFE_WRITE),
    _row(f"{_IN}.PolicyService/ListSweptVaults", GOVERNANCE, 10, _A.CUBE_EXPIRE, **_READ, only=frozenset({SCHEDULER})),
    _row(f"{_IN}.PolicyService/ListVaults", GOVERNANCE, 10, _A.TENANT_READ, **_READ),
    _row(f"{_IN}.PolicyService/SetVaultPermission", GOVERNANCE, 10, _A.VAULT_ADMIN, **_SAFE_WRITE),
    _row(f"{_IN}.PolicyService/ListVaultPermissions", GOVERNANCE, 10, _A.VAULT_ADMIN, **_READ),
    _row(f"{_IN}.LedgerService/AppendAudit", GOVERNANCE, 10, **_SAFE_WRITE),
    _row(f"{_IN}.LedgerService/QueryAudit", GOVERNANCE, 10, _A.TENANT_ADMIN, **_READ),
    _row(f"{_IN}.LedgerService/RecordLineage", GOVERNANCE, 10, _A.LINEAGE_WRITE, **_SAFE_WRITE),
    _row(f"{_IN}.LedgerService/GetLineage", GOVERNANCE, 10, _A.LINEAGE_READ, **_READ),
    _row(f"{_IN}.StorageService/BatchCreateMemCubes", STORAGE, 30, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.StorageService/BatchGetMemCubes", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.StorageService/ListDerivedMemCubes", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.StorageService/ListMemCubes", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.StorageService/UpdateMemCube", STORAGE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.StorageService/DeleteMemCube", STORAGE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.StorageService/UndeleteMemCube", STORAGE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.StorageService/ListMemCubeRevisions", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.StorageService/DiffMemCubeRevisions", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.StorageService/ListMemCubeChanges", STORAGE, 30, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.StorageService/RollbackMemCube", STORAGE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.StorageService/ApplyTransition", STORAGE, 10, **_WRITE, **_LIFECYCLE_ONLY),
    _row(f"{_IN}.StorageService/RecordUsage", STORAGE, 10, _A.CUBE_USE, **_LIFECYCLE_ONLY),
    _row(f"{_IN}.StorageService/ListDueMemCubes", STORAGE, 10, _A.CUBE_EXPIRE, **_READ, **_LIFECYCLE_ONLY),
    _row(f"{_IN}.StorageService/ListAgedMemCubes", STORAGE, 10, _A.CUBE_EXPIRE, **_READ, **_LIFECYCLE_ONLY),
    _row(f"{_IN}.StorageService/RetireMemCube", STORAGE, 10, _A.CUBE_EXPIRE, **_LIFECYCLE_ONLY),
    _row(f"{_IN}.StorageService/GetVaultUsage", STORAGE, 10, _A.VAULT_READ, **_READ),
    _row(f"{_IN}.StorageService/ListMemCubeLinks", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.StorageService/SettleMemCubeLink", STORAGE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.StorageService/SearchMemCubes", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.BlobService/UploadBlob", STORAGE, 3600, _A.CUBE_WRITE),
    _row(f"{_IN}.BlobService/DownloadBlob", STORAGE, 600, _A.CUBE_READ),
    _row(f"{_IN}.ArchiveService/ExportMemCubes", STORAGE, 60, _A.VAULT_ADMIN, _A.CUBE_READ),
    _row(f"{_IN}.ArchiveService/ImportMemCubes", STORAGE, 60, _A.VAULT_ADMIN, _A.CUBE_WRITE, retryable=True),
    _row(f"{_IN}.ArchiveService/SignArchive", STORAGE, 10, _A.VAULT_ADMIN, **_READ, only=frozenset({INTERFACE})),
    _row(f"{_IN}.SnapshotService/CreateSnapshot", STORAGE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.SnapshotService/GetSnapshot", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.SnapshotService/ListSnapshots", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.SnapshotService/DeleteSnapshot", STORAGE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(
        f"{_IN}.SnapshotService/RestoreMemCubes",
        STORAGE,
        30,
        _A.CUBE_WRITE,
        retryable=True,
        only=frozenset({SCHEDULER}),
    ),
    _row(f"{_IN}.VectorService/GetEmbedder", STORAGE, 5, **_READ),
    _row(f"{_IN}.VectorService/ListTexts", STORAGE, 30, _A.CUBE_EMBED, **_READ, only=frozenset({SCHEDULER})),
    _row(f"{_IN}.VectorService/PutVectors", STORAGE, 30, _A.CUBE_EMBED, retryable=True, only=frozenset({SCHEDULER})),
    _row(f"{_IN}.VectorService/AdoptEmbedder", STORAGE, 60, _A.CUBE_EMBED, retryable=True, only=frozenset({SCHEDULER})),
    _row(f"{_IN}.PurgeService/PlanPurge", STORAGE, 30, _A.CUBE_PURGE, **_WRITE),
    _row(f"{_IN}.PurgeService/PlanDuePurge", STORAGE, 30, _A.CUBE_EXPIRE, retryable=True, only=frozenset({SCHEDULER})),
    _row(f"{_IN}.PurgeService/RunPurge", STORAGE, 600, retryable=True, only=frozenset({SCHEDULER})),
    _row(f"{_IN}.PurgeService/GetPurge", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.PurgeService/ListPurges", STORAGE, 10, _A.CUBE_READ, **_READ),
    _row(f"{_IN}.PurgeService/LiftPurge", STORAGE, 10, _A.CUBE_PURGE, **_WRITE),
    _row(f"{_IN}.InferenceService/Embed", INFERENCE, 30, _A.MODEL_USE, **_READ),
    _row(f"{_IN}.InferenceService/CountTokens", INFERENCE, 10, _A.MODEL_USE, **_READ),
    _row(f"{_IN}.InferenceService/Generate", INFERENCE, 120, _A.MODEL_USE),
    _row(
        f"{_IN}.InferenceService/BuildActivation",
        INFERENCE,
        3600,
        _A.MODEL_USE,
        _A.CUBE_USE,
        only=frozenset({SCHEDULER}),
    ),
    _row(
        f"{_IN}.InferenceService/TrainAdapter",
        INFERENCE,
        3600,
        _A.MODEL_USE,
        _A.CUBE_USE,
        only=frozenset({SCHEDULER}),
    ),
    _row(
        f"{_IN}.InferenceService/RecoverText",
        INFERENCE,
        3600,
        _A.MODEL_USE,
        _A.CUBE_USE,
        only=frozenset({SCHEDULER}),
    ),
    _row(f"{_IN}.InferenceService/DescribeEngine", INFERENCE, 10, **_READ),
    _row(f"{_IN}.InferenceService/DescribeEmbedder", INFERENCE, 10, **_READ),
    _row(f"{_IN}.SchedulerService/PlanInjection", SCHEDULER, 30, _A.CUBE_READ, _A.CUBE_USE, _A.MODEL_USE, **_READ),
    _row(f"{_IN}.SchedulerService/EnqueueJob", SCHEDULER, 10, _A.JOB_WRITE, **_WRITE),
    _row(f"{_IN}.SchedulerService/GetJob", SCHEDULER, 10, _A.JOB_READ, **_READ),
    _row(f"{_IN}.SchedulerService/ListJobs", SCHEDULER, 10, _A.JOB_READ, **_READ),
    _row(f"{_IN}.SchedulerService/CancelJob", SCHEDULER, 10, _A.JOB_WRITE, **_WRITE),
    _row(f"{_IN}.SchedulerService/RetryJob", SCHEDULER, 10, _A.JOB_WRITE, **_WRITE),
    _row(f"{_IN}.SchedulerService/WatchJob", SCHEDULER, 3600, _A.JOB_READ),
    _row(f"{_IN}.LifecycleService/RecordUse", LIFECYCLE, 10, _A.CUBE_USE),
    _row(f"{_IN}.LifecycleService/TransitionMemCube", LIFECYCLE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.LifecycleService/FreezeMemCube", LIFECYCLE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.LifecycleService/UnfreezeMemCube", LIFECYCLE, 10, _A.CUBE_WRITE, **_WRITE),
    _row(f"{_IN}.LifecycleService/SweepExpired", LIFECYCLE, 60, _A.CUBE_EXPIRE),
    _row(f"{_IN}.LifecycleService/SweepVault", LIFECYCLE, 60, _A.CUBE_EXPIRE),
)

METHODS: Mapping[str, Method] = {row.name: row for row in _ROWS}
"""Every rpc of the contract by its full name."""


def callers_of(method: Method) -> frozenset[str]:
    """Return the services that may call an internal method."""
    return method.only or frozenset(caller for caller, callees in CALLS.items() if method.service in callees)
