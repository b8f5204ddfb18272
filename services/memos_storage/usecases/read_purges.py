"""Read purges, and lift them."""

from dataclasses import dataclass
from datetime import datetime

from memos_kernel.errors import ResourceNotFound, StateConflict
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import PurgeName, VaultName
from memos_kernel.permission import Grant
from memos_storage.domain.purges import Purge
from memos_storage.domain.values import Answer, Scope
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import require_vault
from memos_storage.usecases.mutation import Mutation, once


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPurges:
    """Get and list."""

    catalog: Catalog

    async def get(self, name: PurgeName, *, grant: Grant) -> Purge:
        """Return one purge.

        Raises:
            ResourceNotFound: there is none, or it is hidden.
        """
        return required_purge(await self.catalog.purge(name, Scope.of(grant)), name, grant)

    async def list(
        self, vault: VaultName, *, after: tuple[datetime, str] | None, size: int, grant: Grant
    ) -> tuple[list[Purge], tuple[datetime, str] | None]:
        """Return a page, the newest first, and (create time, id) of its last one if there are more.

        Raises:
            VaultNotFound: the grant does not cover the vault.
        """
        require_vault(grant, vault, field="vault")
        found = await self.catalog.purges(vault, after=after, limit=size + 1)
        last = found[size - 1] if len(found) > size else None
        return found[:size], (last.create_time, last.name.id) if last is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftPurge:
    """Lets what a purge erased be stored again."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory

    async def __call__(self, name: PurgeName, *, mutation: Mutation) -> Purge:
        """Return the purge.

        Raises:
            ResourceNotFound: there is none, or it is hidden.
            StateConflict: it was lifted before.
            RequestIdReused, Overloaded, StoreFull.
        """
        now = self.clock.now()

        def work(tx: Transaction) -> Answer:
            purge = required_purge(tx.purges.find(name), name, mutation.grant)
            if purge.lift_time is not None:
                raise StateConflict(f"{name} is lifted already.", name=str(name))
            tx.purges.lift(name, now=now)
            tx.audit(mutation.note(self.ids, "purge.lift", name, now=now))
            return Answer(())

        def command(tx: Transaction) -> Purge:
            once(tx, mutation, lambda: work(tx), now=now)
            return required_purge(tx.purges.find(name), name, mutation.grant)

        return await self.catalog.write(command)


def required_purge(found: Purge | None, name: PurgeName, grant: Grant) -> Purge:
    """Return a purge that was looked up.

    Raises:
        ResourceNotFound: there is none, or it is hidden, in the same words.
    """
    if found is None or not grant.covers(found.vault):
        raise ResourceNotFound(f"{name} is not there for you.", name=str(name))
    return found
