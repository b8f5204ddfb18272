"""The audit log: one chain of hashes a tenant, in the order of arrival. It holds no content of memories."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from memos_kernel.errors import InvalidField, LimitExceeded, MissingField
from memos_kernel.names import PrincipalName, TenantName
from memos_kernel.text import check_plain

GENESIS = "0" * 64
"""The hash before the first entry."""

APPEND_EVENTS = 1_000
FIELD_BYTES = 512
OK, DENIED = "ok", "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What somebody did, as told by the service where it happened. See the contract for each field."""

    event_id: str
    time: datetime
    principal: str
    service: str
    action: str
    resource: str
    outcome: str = OK
    reason: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class TenantEvent:
    """An event and the tenant whose chain it belongs to."""

    tenant: TenantName
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the sequence and hash of its last entry."""

    sequence: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An event in its place in the chain; sequences count from 1 without gaps."""

    sequence: int
    event: AuditEvent
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events are wanted; an empty member asks for all. `after` is inclusive, `before` exclusive."""

    principal: str = ""
    action: str = ""
    resource: str = ""
    after: datetime | None = None
    before: datetime | None = None

    def admits(self, event: AuditEvent) -> bool:
        """Return whether the event is wanted."""
        return (
            self.principal in ("", event.principal)
            and self.action in ("", event.action)
            and self.resource in ("", event.resource)
            and (self.after is None or event.time >= self.after)
            and (self.before is None or event.time < self.before)
        )


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """The first place where a tenant's chain does not hold."""

    tenant: TenantName
    sequence: int
    problem: str


def link(tenant: TenantName, head: Head, events: Iterable[AuditEvent]) -> list[AuditEntry]:
    """Return the entries that continue the chain at its head."""
    entries = []
    for event in events:
        sequence = head.sequence + 1
        entry = AuditEntry(sequence, event, head.hash, _hash(tenant, sequence, head.hash, event))
        entries.append(entry)
        head = Head(sequence, entry.hash)
    return entries


def check_link(tenant: TenantName, before: Head, entry: AuditEntry) -> ChainProblem | None:
    """Return what is wrong with an entry that should follow `before`, or None."""
    if entry.sequence != before.sequence + 1:
        missing = before.sequence + 1
        return ChainProblem(tenant, missing, f"Entry {missing} is missing.")
    if entry.previous_hash != before.hash:
        return ChainProblem(tenant, entry.sequence, f"Entry {entry.sequence} does not continue the one before it.")
    if entry.hash != _hash(tenant, entry.sequence, entry.previous_hash, entry.event):
        return ChainProblem(tenant, entry.sequence, f"Entry {entry.sequence} was changed after it was written.")
    return None


def check_events(events: Sequence[TenantEvent]) -> None:
    """Refuse events that the log cannot keep or that could hold content.

    Raises:
        LimitExceeded: more than APPEND_EVENTS events, or a member of more than FIELD_BYTES bytes.
        MissingField: an event without id, service or action.
        InvalidField: a control character, an unknown outcome, or a principal of another tenant.
    """
    if len(events) > APPEND_EVENTS:
        raise LimitExceeded(
            f"The call has {len(events)} events; the limit is {APPEND_EVENTS}. Split it.",
            field="events",
            limit=str(APPEND_EVENTS),
            unit="events",
        )
    for index, item in enumerate(events):
        _check_event(item.tenant, item.event, field=f"events[{index}].event")


def _check_event(tenant: TenantName, event: AuditEvent, *, field: str) -> None:
    for name in ("event_id", "service", "action"):
        if not getattr(event, name):
            raise MissingField(f"{field}.{name} is required.", field=f"{field}.{name}")
    for name in ("event_id", "principal", "service", "action", "resource", "reason", "trace_id"):
        check_plain(getattr(event, name), field=f"{field}.{name}", limit=FIELD_BYTES)
    if event.outcome not in (OK, DENIED):
        raise InvalidField(f"{field}.outcome is {event.outcome!r}; it is ok or denied.", field=f"{field}.outcome")
    if event.principal and PrincipalName.parse(event.principal, field=f"{field}.principal").parent != tenant:
        raise InvalidField(f"{field}.principal belongs to another tenant.", field=f"{field}.principal")


def _hash(tenant: TenantName, sequence: int, previous_hash: str, event: AuditEvent) -> str:
    """Return the hex SHA-256 of the entry as a JSON array in this fixed order, all in ASCII."""
    content = [
        str(tenant),
        sequence,
        previous_hash,
        event.event_id,
        event.time.astimezone(UTC).isoformat(timespec="microseconds"),
        event.principal,
        event.service,
        event.action,
        event.resource,
        event.outcome,
        event.reason,
        event.trace_id,
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()
