"""Audit chains in tables, for both stores: policy changes are audited in their own transaction."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from memos_governance.adapters.sql.schema import audit_entries, audit_heads
from memos_governance.domain.audit import GENESIS, AuditEntry, AuditEvent, Head, link
from memos_kernel.names import TenantName
from memos_runtime.sql.engine import insert_or_ignore

_MEMBERS = ("event_id", "time", "principal", "service", "action", "resource", "outcome", "reason", "trace_id")


def append(connection: Connection, tenant: TenantName, events: Sequence[AuditEvent]) -> int:
    """Append the events whose ids are new and return how many they were. Locks the tenant's chain."""
    head = _lock(connection, tenant)
    known = _known(connection, tenant, [event.event_id for event in events])
    fresh = {event.event_id: event for event in reversed(events) if event.event_id not in known}
    entries = link(tenant, head, reversed(fresh.values()))
    if not entries:
        return 0
    connection.execute(audit_entries.insert(), [_values(tenant, entry) for entry in entries])
    last = entries[-1]
    connection.execute(
        update(audit_heads).where(audit_heads.c.tenant == tenant.tenant).values(sequence=last.sequence, hash=last.hash)
    )
    return len(entries)


def entry_of(row: Row[Any]) -> AuditEntry:
    """Return the entry of a row of the table."""
    event = AuditEvent(**{member: getattr(row, member) for member in _MEMBERS})
    return AuditEntry(row.sequence, event, row.previous_hash, row.hash)


def head_of(connection: Connection, tenant: TenantName, *, lock: bool = False) -> Head | None:
    """Return the recorded end of a chain, or None if there is no chain."""
    query = select(audit_heads.c.sequence, audit_heads.c.hash).where(audit_heads.c.tenant == tenant.tenant)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else Head(row.sequence, row.hash)


def _lock(connection: Connection, tenant: TenantName) -> Head:
    head = head_of(connection, tenant, lock=True)
    if head is None:
        first = insert_or_ignore(connection.dialect.name, audit_heads)
        connection.execute(first, {"tenant": tenant.tenant, "sequence": 0, "hash": GENESIS})
        head = head_of(connection, tenant, lock=True)
    assert head is not None, "the row was just inserted"
    return head


def _known(connection: Connection, tenant: TenantName, ids: Iterable[str]) -> set[str]:
    column = audit_entries.c.event_id
    query = select(column).where(audit_entries.c.tenant == tenant.tenant)
    return set(connection.scalars(query.where(column.in_(list(ids)))))


def _values(tenant: TenantName, entry: AuditEntry) -> dict[str, object]:
    return {
        "tenant": tenant.tenant,
        "sequence": entry.sequence,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
        **{member: getattr(entry.event, member) for member in _MEMBERS},
    }
