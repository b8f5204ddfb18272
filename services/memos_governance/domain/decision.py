"""What a principal may do: a pure function of its standing. Everything is denied unless something allows it."""

from collections.abc import Sequence

from memos_governance.domain.records import Standing
from memos_kernel.errors import PermissionDenied, VaultNotFound
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import (
    ADMIN_ACTIONS,
    MEMBER_ACTIONS,
    ROLE_ACTIONS,
    SYSTEM_ACTIONS,
    SYSTEM_ALSO,
    VAULT_ACTIONS,
    Action,
    Role,
)


def decide(standing: Standing, actions: frozenset[Action], vaults: Sequence[VaultName]) -> tuple[VaultName, ...]:
    """Return the vaults that a grant of these actions covers, sorted by name.

    Without named vaults it covers every vault where all of the requested vault actions are allowed, possibly
    none. A grant travels with every call between services; that it fits is seen to where roles are given, for a
    cube's name does not tell its vault (see `records.check_vaults`).

    Raises:
        PermissionDenied: an action that the principal does not have, or not in a named vault.
        VaultNotFound: a named vault in which the principal has no role; whether it exists stays secret.
    """
    for action in sorted(actions - VAULT_ACTIONS):
        if not _allowed_in_tenant(action, admin=standing.admin):
            raise denied(action, resource=str(standing.principal.parent))
    wanted = actions & VAULT_ACTIONS
    if vaults:
        return _named(standing, wanted, vaults)
    return tuple(sorted((vault for vault, role in standing.roles.items() if _allows(role, wanted)), key=str))


def decide_for_system(actions: frozenset[Action], *, tenant: str, by_scheduler: bool) -> None:
    """Refuse unless the scheduler asks for nothing but the system's own actions.

    Raises:
        PermissionDenied: another service asks, or for another action.
    """
    for action in sorted(actions):
        if action not in SYSTEM_ACTIONS | SYSTEM_ALSO or not by_scheduler:
            raise denied(action, resource=tenant)


def denied(action: Action, *, resource: str) -> PermissionDenied:
    """Return the refusal of an action on a resource that the caller may know of."""
    return PermissionDenied(
        f"You may not {action} in {resource}; ask an owner or admin for it.", action=str(action), resource=resource
    )


def vault_not_found(vault: VaultName) -> VaultNotFound:
    """Return the one answer for a vault that is absent and one that is secret."""
    return VaultNotFound(f"There is no vault {vault}; check its name, or ask its owner for a role.", name=str(vault))


def unknown_principal(principal: PrincipalName) -> PermissionDenied:
    """Return the refusal of a principal that governance does not know."""
    return PermissionDenied(f"{principal} is not known.", resource=str(principal.parent))


def _allowed_in_tenant(action: Action, *, admin: bool) -> bool:
    return action in MEMBER_ACTIONS or (admin and action in ADMIN_ACTIONS)


def _allows(role: Role, wanted: frozenset[Action]) -> bool:
    return role is not Role.NONE and wanted <= ROLE_ACTIONS[role]


def _named(standing: Standing, wanted: frozenset[Action], vaults: Sequence[VaultName]) -> tuple[VaultName, ...]:
    covered = tuple(sorted(set(vaults), key=str))
    for vault in covered:
        if standing.roles.get(vault, Role.NONE) is Role.NONE:
            raise vault_not_found(vault)
    for vault in covered:
        for action in sorted(wanted - ROLE_ACTIONS[standing.roles[vault]]):
            raise denied(action, resource=str(vault))
    return covered
