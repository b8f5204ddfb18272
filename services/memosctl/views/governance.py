"""Keys, vaults, permissions and audit events as tables."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from memosctl.names import short
from memosctl.views.text import enum_word, moment

if TYPE_CHECKING:
    from memos_api.v1.governance_service_pb2 import ApiKey, AuditEvent, CreateApiKeyResponse
    from memos_api.v1.vault_pb2 import Vault, VaultPermission


def made_key(response: "CreateApiKeyResponse") -> RenderableType:
    """Return a new key with its secret."""
    if not response.secret:
        return Text(f"{response.key.name} was made before by this request; its secret is shown once only.")
    return Group(
        Text.assemble(("secret  ", "dim"), (response.secret, "bold")),
        Text.assemble(("key     ", "dim"), response.key.name),
        Text("Keep the secret now; it is shown once only.", style="yellow"),
    )


def keys(found: "Iterable[ApiKey]") -> RenderableType:
    """Return API keys."""
    table = _table("key", "principal", "admin", "title", "made", "revoked")
    for key in found:
        table.add_row(
            short(key.name),
            short(key.principal),
            "yes" if key.admin else "",
            key.display_name,
            moment(key.create_time),
            Text(moment(key.revoke_time) if key.HasField("revoke_time") else "", style="red"),
        )
    return table


def vaults(found: "Iterable[Vault]") -> RenderableType:
    """Return vaults."""
    table = _table("vault", "title", "your role", "owner", "made")
    for vault in found:
        table.add_row(
            short(vault.name),
            vault.display_name,
            role(vault.caller_role),
            short(vault.owner),
            moment(vault.create_time),
        )
    return table


def permissions(found: "Iterable[VaultPermission]") -> RenderableType:
    """Return who has which role in a vault."""
    table = _table("principal", "role")
    for permission in found:
        table.add_row(short(permission.principal), role(permission.role) or "none")
    return table


def audit(events: "Iterable[AuditEvent]") -> RenderableType:
    """Return audit events, newest first."""
    table = _table("no", "time", "who", "action", "resource", "outcome")
    for event in events:
        denied = event.outcome != "ok"
        table.add_row(
            str(event.sequence),
            moment(event.time),
            short(event.principal),
            event.action,
            event.resource,
            Text(f"{event.outcome} {event.reason}".strip(), style="red" if denied else "green"),
        )
    return table


def role(value: int) -> str:
    """Return a role as a word; no role is empty."""
    from memos_api.v1.vault_pb2 import VaultRole

    word = enum_word(VaultRole.Name(value), "VAULT_ROLE_")  # type: ignore[arg-type]
    return "" if word == "unspecified" else word


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for column in columns:
        table.add_column(column, justify="right" if column == "no" else "left")
    return table
