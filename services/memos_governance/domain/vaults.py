"""The rules of a vault: which there may be, and how they are changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from memos_governance.domain.records import Vault
from memos_kernel import limits
from memos_kernel.errors import ImmutableField, InvalidField, LimitExceeded, MissingField
from memos_kernel.names import VaultName
from memos_kernel.permission import Role
from memos_kernel.text import check_line
from memos_kernel.vaults import VaultPolicy, VaultType

_LIMIT = 2**53
"""Beyond it a client that reads numbers as floats sees another one."""

_POLICY = ("member_role", "max_cubes", "max_bytes", "cold_after", "delete_after")
PATHS = frozenset({"display_name", "policy", *(f"policy.{name}" for name in _POLICY)})
"""What can be changed of a vault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedVault:
    """A vault as a caller wants it."""

    name: VaultName
    display_name: str = ""
    type: VaultType = VaultType.USER_PRIVATE
    policy: VaultPolicy = field(default_factory=VaultPolicy)


def check_wanted(wanted: WantedVault) -> None:
    """Refuse a title or policy that there cannot be.

    Raises:
        LimitExceeded, InvalidField: as said.
    """
    check_line(wanted.display_name, field="vault.display_name")
    _check_policy(wanted.policy)


def check_mask(paths: Sequence[str]) -> frozenset[str]:
    """Return the paths of a mask.

    Raises:
        MissingField: there are none.
        ImmutableField: one that cannot be changed.
    """
    if not paths:
        raise MissingField("update_mask is empty; name what is to be changed.", field="update_mask")
    for path in paths:
        if path not in PATHS:
            raise ImmutableField(
                f"update_mask names {path[:80]!r}; of a vault {', '.join(sorted(PATHS))} can be changed.",
                field="update_mask",
                path=path[:80],
            )
    return frozenset(paths)


def updated(vault: Vault, wanted: WantedVault, *, paths: frozenset[str]) -> Vault:
    """Return the vault with the values of these paths."""
    policy, given = vault.policy, wanted.policy
    if "policy" in paths:
        policy = given
    for name in ("member_role", "cold_after", "delete_after"):
        if f"policy.{name}" in paths:
            policy = replace(policy, **{name: getattr(given, name)})
    for name in ("max_cubes", "max_bytes"):
        if f"policy.{name}" in paths:
            policy = replace(policy, quota=replace(policy.quota, **{name: getattr(given.quota, name)}))
    title = wanted.display_name if "display_name" in paths else vault.display_name
    return replace(vault, display_name=title, policy=policy)


def differences(before: Vault | None, after: Vault) -> list[str]:
    """Return what is different, for the audit log; a title is only named, as it may tell something."""
    old, new = _rules(before.policy if before is not None else VaultPolicy()), _rules(after.policy)
    found = [f"{name} {old[name]} -> {new[name]}" for name in new if old[name] != new[name]]
    return found + (["display_name"] if before is not None and before.display_name != after.display_name else [])


def _rules(policy: VaultPolicy) -> dict[str, str]:
    return {
        "member_role": policy.member_role.name,
        "max_cubes": str(policy.quota.max_cubes),
        "max_bytes": str(policy.quota.max_bytes),
        "cold_after": str(policy.cold_after),
        "delete_after": str(policy.delete_after),
    }


def check_shared(others: int) -> None:
    """Refuse one more vault with a role for everybody: every grant would have to hold it.

    Raises:
        LimitExceeded: the tenant has `limits.SHARED_VAULTS` others, or more.
    """
    if others >= limits.SHARED_VAULTS:
        raise LimitExceeded(
            f"The tenant has {others} vaults with a role for everybody; the limit is {limits.SHARED_VAULTS}."
            " Give roles to principals, or take member_role from a vault that does not need it.",
            field="vault.policy.member_role",
            limit=str(limits.SHARED_VAULTS),
            unit="vaults",
        )


def _check_policy(policy: VaultPolicy) -> None:
    if policy.member_role is Role.OWNER:
        raise InvalidField(
            "vault.policy.member_role is OWNER; not everybody can own a vault, give READER or WRITER.",
            field="vault.policy.member_role",
        )
    for name, value in (("max_cubes", policy.quota.max_cubes), ("max_bytes", policy.quota.max_bytes)):
        path = f"vault.policy.{name}"
        if value < 0:
            raise InvalidField(f"{path} is {value}; give 1 or more, or 0 for no limit.", field=path)
        if value > _LIMIT:
            raise LimitExceeded(
                f"{path} is {value}; the limit is {_LIMIT}. 0 is no limit.", field=path, limit=str(_LIMIT)
            )
    for name, age in (("cold_after", policy.cold_after), ("delete_after", policy.delete_after)):
        if age is not None:
            _check_age(age, field=f"vault.policy.{name}")


def _check_age(age: timedelta, *, field: str) -> None:
    if not limits.VAULT_AGE <= age <= limits.VAULT_AGE_MOST or age.microseconds:
        raise InvalidField(
            f"{field} is {age}; give whole seconds, from {limits.VAULT_AGE} to {limits.VAULT_AGE_MOST.days} days, or"
            " 0 for never.",
            field=field,
        )
