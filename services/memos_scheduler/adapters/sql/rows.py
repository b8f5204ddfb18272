"""A record of the queue as a row, and back."""

from typing import Any

from sqlalchemy import RowMapping

from memos_kernel.names import JobName, PrincipalName, VaultName
from memos_scheduler.domain.jobs import Job, JobState
from memos_scheduler.domain.records import Record

_SAME_IN_JOB = (
    "kind",
    "parameters",
    "progress",
    "attempts",
    "max_attempts",
    "last_error",
    "result",
    "create_time",
    "due_time",
    "start_time",
    "end_time",
)
_SAME_IN_RECORD = ("fence", "worker", "lease_expire", "cancel_requested", "unique_key", "quiet")


def row_of(record: Record) -> dict[str, Any]:
    """Return the columns of a record."""
    job = record.job
    return {
        "tenant": job.name.tenant,
        "id": job.name.id,
        "state": int(job.state),
        "principal": job.principal.id,
        "vaults": [vault.id for vault in job.vaults],
        **{name: getattr(job, name) for name in _SAME_IN_JOB},
        **{name: getattr(record, name) for name in _SAME_IN_RECORD},
    }


def record_of(row: RowMapping) -> Record:
    """Return the record of a row."""
    tenant = row["tenant"]
    job = Job(
        name=JobName(tenant, row["id"]),
        state=JobState(row["state"]),
        principal=PrincipalName(tenant, row["principal"]),
        vaults=tuple(VaultName(tenant, vault) for vault in row["vaults"]),
        **{name: row[name] for name in _SAME_IN_JOB},
    )
    return Record(job=job, **{name: row[name] for name in _SAME_IN_RECORD})
