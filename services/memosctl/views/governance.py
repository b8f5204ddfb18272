"""Keys, vaults, permissions and audit events as tables."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.tables import table
from memosctl.views.text import day, enum_word, moment

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
    rows = [
        (
            short(key.name),
            short(key.principal),
            "yes" if key.admin else "",
            Text(key.display_name),
            _since(key),
        )
        for key in found
    ]
    return table("key principal admin title since", rows)


def vaults(found: "Iterable[Vault]") -> RenderableType:
    """Return vaults, with the caller's role in each."""
    rows = [
        (
            short(vault.name),
            Text(vault.display_name),
            role(vault.caller_role),
            short(vault.owner),
            day(vault.create_time),
        )
        for vault in found
    ]
    return table("vault title role owner made", rows)


def permissions(found: "Iterable[VaultPermission]") -> RenderableType:
    """Return who has which role in a vault."""
    rows = [(short(permission.principal), role(permission.role) or "none") for permission in found]
    return table("principal role", rows)


def audit(events: "Iterable[AuditEvent]") -> RenderableType:
    """Return audit events, newest first; resources without their tenant."""
    rows = [
        (
            str(event.sequence),
            moment(event.time),
            short(event.principal),
            event.action,
            event.resource.split("/", 2)[-1],
            Text(f"{event.outcome} {event.reason}".strip(), style="green" if event.outcome == "ok" else "red"),
        )
        for event in events
    ]
    return table("no time who action resource outcome", rows)


def _since(key: "ApiKey") -> Text:
    if key.HasField("revoke_time"):
        return Text(f"revoked {day(key.revoke_time)}", style="red")
    return Text(day(key.create_time))


def role(value: int) -> str:
    """Return a role as a word; no role is empty."""
    from memos_api.v1.vault_pb2 import VaultRole

    word = enum_word(VaultRole.Name(value), "VAULT_ROLE_")  # type: ignore[arg-type]
    return "" if word == "unspecified" else word
