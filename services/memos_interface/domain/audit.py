"""Entries of the audit log that the interface makes: reads and injections, by name, without content."""

from dataclasses import dataclass
from datetime import datetime

from memos_kernel.names import PrincipalName

READ, LIST, SEARCH, INJECT = "cube.read", "cube.list", "cube.search", "cube.inject"
EXPORT, IMPORT = "vault.export", "vault.import"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Who read or used what. `id` makes the entry unique however often it is sent."""

    id: str
    time: datetime
    principal: PrincipalName
    action: str
    resource: str
    trace_id: str = ""
