"""What the policy of a vault does to its cubes by their age, and what the vault holds."""

from dataclasses import dataclass
from datetime import datetime

from memos_kernel.cube import MemCube
from memos_kernel.errors import EtagMismatch, InvalidField, MissingField
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Grant
from memos_kernel.quotas import VaultUsage
from memos_storage.domain import revisions
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import require_cube, require_vault, shown
from memos_storage.usecases.create_cubes import SWEEP_SHARE, check_room
from memos_storage.usecases.derived import replace_source
from memos_storage.usecases.mutation import Mutation

AGED = 1_000
"""Most cubes of one list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAgedCubes:
    """Returns cubes that are old, or that nobody uses."""

    catalog: Catalog
    clock: Clock

    async def __call__(
        self,
        vault: VaultName,
        *,
        made_before: datetime | None,
        idle_since: datetime | None,
        limit: int,
        grant: Grant,
    ) -> list[MemCube]:
        """Return at most `limit` cubes that are not frozen, the oldest first.

        Raises:
            VaultNotFound: the grant does not cover the vault.
            MissingField: neither time is given.
            InvalidField: the limit is not from 1 to 1000.
        """
        require_vault(grant, vault, field="vault")
        if made_before is None and idle_since is None:
            raise MissingField("rule is empty; give made_before or idle_since.", field="rule")
        if not 1 <= limit <= AGED:
            raise InvalidField(f"limit is {limit}; give 1 to {AGED}.", field="limit")
        now = self.clock.now()
        rows = await self.catalog.aged(vault, made_before=made_before, idle_since=idle_since, limit=limit)
        return [shown(row.cube, grant, now=now) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireCube:
    """Deletes a cube for its age, by compare-and-set."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory

    async def __call__(self, name: CubeName, *, expected_revision: int, reason: str, mutation: Mutation) -> MemCube:
        """Return the cube with its delete and purge time.

        Raises:
            EtagMismatch: the cube has another revision than the decision was made on.
            CubeNotFound, CubeFrozen, Overloaded, StoreFull.
        """
        now = self.clock.now()

        def work(tx: Transaction) -> MemCube:
            stored = require_cube(tx, name, mutation.grant).cube
            if stored.revision != expected_revision:
                raise EtagMismatch(
                    f"{name} has changed since the decision; decide again.",
                    name=str(name),
                    revision=str(stored.revision),
                )
            check_room(tx, 1, share=SWEEP_SHARE)
            gone = revisions.deleted(stored, now=now)
            replace_source(tx, stored, gone, mutation, self.ids, now=now)
            tx.audit(mutation.event(self.ids, "cube.delete", gone, now=now, reason=reason))
            return gone

        return shown(await self.catalog.write(work), mutation.grant, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetVaultUsage:
    """Counts what a vault holds."""

    catalog: Catalog

    async def __call__(self, vault: VaultName, *, grant: Grant) -> VaultUsage:
        """Return it.

        Raises:
            VaultNotFound: the grant does not cover the vault.
        """
        return await self.catalog.usage(require_vault(grant, vault, field="name"))
