"""Keys, vaults, permissions and audit events as tables."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich import filesize
from rich.console import Group, RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.tables import table
from memosctl.views.text import day, enum_word, moment

if TYPE_CHECKING:
    from memos_api.v1.governance_service_pb2 import ApiKey, AuditEvent, CreateApiKeyResponse
    from memos_api.v1.vault_pb2 import Vault, VaultPermission, VaultUsage


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
    """Return vaults, with the caller's role in each, and their rules."""
    rows = [
        (
            short(vault.name),
            Text(vault.display_name),
            _purpose(vault.type),
            role(vault.caller_role),
            short(vault.owner),
            day(vault.create_time),
            Text(", ".join(_rules(vault))),
        )
        for vault in found
    ]
    return table("vault title type role owner made rules", rows)


def usage(vault: "Vault", held: "VaultUsage") -> RenderableType:
    """Return what a vault holds, beside what it may hold."""
    limits = vault.policy
    rows = [
        ("memories", f"{held.cubes:,}", f"{limits.max_cubes:,}" if limits.max_cubes else "no limit"),
        ("  in the archive", f"{held.cold_cubes:,}", ""),
        ("  deleted, not erased", f"{held.deleted_cubes:,}", ""),
        ("bytes", filesize.decimal(held.bytes), filesize.decimal(limits.max_bytes) if limits.max_bytes else "no limit"),
    ]
    return table("what held limit", rows)


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


def _rules(vault: "Vault") -> Iterator[str]:
    policy = vault.policy
    if everybody := role(policy.member_role):
        yield f"everybody is {everybody}"
    if policy.max_cubes:
        yield f"{policy.max_cubes:,} memories"
    if policy.max_bytes:
        yield filesize.decimal(policy.max_bytes)
    if age := policy.cold_after.seconds:
        yield f"cold after {_age(age)}"
    if age := policy.delete_after.seconds:
        yield f"deleted after {_age(age)}"


def _age(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _purpose(value: int) -> str:
    from memos_api.v1.vault_pb2 import VaultType

    return enum_word(VaultType, value)


def role(value: int) -> str:
    """Return a role as a word; no role is empty."""
    from memos_api.v1.vault_pb2 import VaultRole

    word = enum_word(VaultRole, value)
    return "" if word == "unspecified" else word
