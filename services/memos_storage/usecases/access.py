"""What a grant lets a call see, and the errors of what it does not."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_kernel.errors import CubeNotFound, LimitExceeded, VaultNotFound
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import VAULT_ACTIONS, Grant
from memos_storage.domain import usage
from memos_storage.domain.values import Scope, StoredCube
from memos_storage.ports import Transaction


def shown(cube: MemCube, grant: Grant, *, now: datetime) -> MemCube:
    """Return the cube as the caller sees it: permitted actions of the caller, heat of now."""
    current = usage.as_of(cube, now=now)
    if current.access is None:
        return current
    return replace(current, access=replace(current.access, permitted_actions=grant.actions & VAULT_ACTIONS))


def require_vault(grant: Grant, vault: VaultName, *, field: str) -> VaultName:
    """Return the vault if the grant covers it.

    Raises:
        VaultNotFound: it does not; whether there is such a vault stays secret.
    """
    if not grant.covers(vault):
        raise VaultNotFound(f"{vault} is not there for you; list your vaults.", name=str(vault), path=field)
    return vault


def narrowed(grant: Grant, vaults: Iterable[VaultName]) -> Scope:
    """Return the grant's scope, narrowed to some vaults if any are named.

    Raises:
        VaultNotFound: one is not covered.
        LimitExceeded: too many.
    """
    named = tuple(dict.fromkeys(vaults))
    if len(named) > limits.SEARCH_VAULTS:
        raise LimitExceeded(
            f"vaults has {len(named)} names; the limit is {limits.SEARCH_VAULTS}.",
            field="vaults",
            limit=str(limits.SEARCH_VAULTS),
            unit="names",
        )
    if not named:
        return Scope.of(grant)
    for index, vault in enumerate(named):
        require_vault(grant, vault, field=f"vaults[{index}]")
    return Scope(grant.principal.tenant, frozenset(named))


def require_cube(tx: Transaction, name: CubeName, grant: Grant) -> StoredCube:
    """Return a live cube that the grant covers. One look-up, whether the cube is missing or hidden.

    Raises:
        CubeNotFound: missing, deleted or hidden, in the same words.
    """
    stored = tx.live(name)
    if stored is None or not grant.covers(stored.cube.vault):
        raise cube_not_found(name)
    return stored


def cube_not_found(name: CubeName) -> CubeNotFound:
    """Return the error of a cube that is missing or hidden."""
    return CubeNotFound(f"{name} is not there for you.", name=str(name))
