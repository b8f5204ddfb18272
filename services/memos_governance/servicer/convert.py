"""Governance's messages <-> its domain."""

from collections.abc import Iterable
from datetime import timedelta

from memos_api.internal.v1 import ledger_service_pb2 as ledger
from memos_api.v1 import governance_service_pb2 as public
from memos_api.v1 import vault_pb2
from memos_governance.domain.audit import AuditEntry, AuditEvent, AuditFilter, TenantEvent
from memos_governance.domain.records import ApiKey, Membership, Permission
from memos_governance.domain.vaults import WantedVault
from memos_kernel.errors import InvalidField
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action, Role
from memos_kernel.quotas import VaultQuota
from memos_kernel.vaults import DEFAULT_POLICIES, VaultPolicy, VaultType
from memos_wire.cubes import enum_from_proto
from memos_wire.times import from_timestamp, optional_duration, to_duration, to_timestamp

_OUTPUT_ONLY = frozenset({"create_time", "owner", "caller_role"})


def actions_from_proto(actions: Iterable[str]) -> frozenset[Action]:
    """Return the actions of a request.

    Raises:
        InvalidField: not one of the known actions.
    """
    found = set()
    for index, action in enumerate(actions):
        try:
            found.add(Action(action))
        except ValueError as error:
            field = f"actions[{index}]"
            raise InvalidField(f"{field} is {action[:80]!r}, which is not an action.", field=field) from error
    return frozenset(found)


def vaults_from_proto(vaults: Iterable[str]) -> tuple[VaultName, ...]:
    """Return the vaults of a request."""
    return tuple(VaultName.parse(name, field=f"vaults[{index}]") for index, name in enumerate(vaults))


def key_to_proto(key: ApiKey) -> public.ApiKey:
    """Return the message of a key."""
    return public.ApiKey(
        name=str(key.name),
        principal=str(key.principal),
        admin=key.admin,
        display_name=key.display_name,
        create_time=to_timestamp(key.create_time),
        revoke_time=to_timestamp(key.revoke_time),
    )


def new_vault_from_proto(message: vault_pb2.Vault) -> WantedVault:
    """Return a vault to be made.

    Raises:
        InvalidField: the caller set what only the system sets, or a value is unknown.
        MissingField, MalformedName: no name, or one that cannot be read.
    """
    for descriptor, _ in message.ListFields():
        if descriptor.name in _OUTPUT_ONLY:
            field = f"vault.{descriptor.name}"
            raise InvalidField(f"{field} is set by the system; leave it out.", field=field)
    return wanted_vault_from_proto(message, made=True)


def wanted_vault_from_proto(message: vault_pb2.Vault, *, made: bool = False) -> WantedVault:
    """Return a vault as the caller wants it; what only the system sets is not looked at.

    `made`: what is unset of the policy is as the type has it, and not nothing.

    Raises:
        InvalidField, MissingField, MalformedName: a field.
    """
    kind = enum_from_proto(VaultType, message.type, field="vault.type") if message.type else VaultType.USER_PRIVATE
    return WantedVault(
        name=VaultName.parse(message.name, field="vault.name"),
        display_name=message.display_name,
        type=kind,
        policy=_policy_from_proto(message.policy, base=DEFAULT_POLICIES[kind] if made else VaultPolicy()),
    )


def _policy_from_proto(message: vault_pb2.VaultPolicy, *, base: VaultPolicy) -> VaultPolicy:
    quota, role = base.quota, base.member_role
    if message.HasField("member_role"):
        role = enum_from_proto(Role, message.member_role, field="vault.policy.member_role")
    return VaultPolicy(
        member_role=role,
        quota=VaultQuota(
            message.max_cubes if message.HasField("max_cubes") else quota.max_cubes,
            message.max_bytes if message.HasField("max_bytes") else quota.max_bytes,
        ),
        cold_after=_age(message, "cold_after", base.cold_after),
        delete_after=_age(message, "delete_after", base.delete_after),
    )


def _age(message: vault_pb2.VaultPolicy, name: str, base: timedelta | None) -> timedelta | None:
    """Return an age of a policy; 0 is never."""
    given = optional_duration(message, name, field=f"vault.policy.{name}")
    return base if given is None else given or None


def _policy_to_proto(policy: VaultPolicy) -> vault_pb2.VaultPolicy:
    return vault_pb2.VaultPolicy(
        member_role=vault_pb2.VaultRole.ValueType(policy.member_role),
        max_cubes=policy.quota.max_cubes,
        max_bytes=policy.quota.max_bytes,
        cold_after=to_duration(policy.cold_after),
        delete_after=to_duration(policy.delete_after),
    )


def vault_to_proto(membership: Membership) -> vault_pb2.Vault:
    """Return the message of a vault as a principal sees it."""
    vault = membership.vault
    return vault_pb2.Vault(
        name=str(vault.name),
        display_name=vault.display_name,
        create_time=to_timestamp(vault.create_time),
        owner=str(vault.owner),
        caller_role=vault_pb2.VaultRole.ValueType(membership.role),
        type=vault_pb2.VaultType.ValueType(vault.type),
        policy=_policy_to_proto(vault.policy),
    )


def permission_from_proto(message: vault_pb2.VaultPermission) -> Permission:
    """Return a permission to be set."""
    return Permission(
        VaultName.parse(message.vault, field="permission.vault"),
        PrincipalName.parse(message.principal, field="permission.principal"),
        enum_from_proto(Role, message.role, field="permission.role"),
    )


def permission_to_proto(permission: Permission) -> vault_pb2.VaultPermission:
    """Return the message of a permission."""
    return vault_pb2.VaultPermission(
        vault=str(permission.vault),
        principal=str(permission.principal),
        role=vault_pb2.VaultRole.ValueType(permission.role),
    )


def tenant_event_from_proto(message: ledger.TenantAuditEvent, *, field: str) -> TenantEvent:
    """Return an event of another service."""
    event = message.event
    return TenantEvent(
        TenantName.parse(message.tenant, field=f"{field}.tenant"),
        AuditEvent(
            event_id=event.event_id,
            time=from_timestamp(event.time, field=f"{field}.event.time"),
            principal=event.principal,
            service=event.service,
            action=event.action,
            resource=event.resource,
            outcome=event.outcome,
            reason=event.reason,
            trace_id=event.trace_id,
        ),
    )


def entry_to_proto(entry: AuditEntry) -> public.AuditEvent:
    """Return the message of an entry of the audit log."""
    event = entry.event
    return public.AuditEvent(
        sequence=entry.sequence,
        time=to_timestamp(event.time),
        principal=event.principal,
        service=event.service,
        action=event.action,
        resource=event.resource,
        outcome=event.outcome,
        reason=event.reason,
        trace_id=event.trace_id,
        hash=entry.hash,
        event_id=event.event_id,
    )


def filter_from_proto(message: public.QueryAuditRequest) -> AuditFilter:
    """Return which events are wanted."""
    return AuditFilter(
        principal=message.principal,
        action=message.action,
        resource=message.resource,
        after=from_timestamp(message.after, field="after") if message.HasField("after") else None,
        before=from_timestamp(message.before, field="before") if message.HasField("before") else None,
    )
